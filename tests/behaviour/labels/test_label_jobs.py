"""Jobs that the labels of a swarm's services declare: what a change of the labels, a deploy, a removal and a person do to them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fastlane import app
from fastlane.clock import SystemClock, iso
from fastlane.errors import StoreDown
from fastlane.metrics import Metrics
from fastlane.models.host import EngineIdentity
from fastlane.models.job import Job
from fastlane.models.job_source import DeclaredJob, LabelledService, declared_id
from fastlane.models.pool import Pool
from fastlane.models.schedule import Schedule
from fastlane.queue.port import TICKS
from fastlane.sources.labels import LabelSource, SourcePorts
from fastlane.web.api.job_body import job_rules
from fastlane.web.api.serializer import RenderContext
from fastlane.web.api.service_labels import label_reader
from tests.support.fastlane import HOST, Fastlane
from tests.support.instant import InstantExecutor
from tests.support.intercept import Call, Died, Intercepted, dies, failing, keeping
from tests.support.redis import RealRedis

SWARM = f"swarm of {HOST}"
STACK = {"com.docker.stack.namespace": "shop"}
NIGHTLY = {**STACK, "fastlane.cron": "0 3 * * *"}
MINUTE = 60_000
POOLS = (Pool("other", "other", ("10.0.0.8:2375",)), Pool("default", "", (HOST,), services=("shop_*", "other_*")))


@dataclass
class Time:
    """The clock of a source, which a test moves on."""

    now_at: int = 1_800_000_000_000

    def now(self) -> int:
        return self.now_at


class Later(SystemClock):
    """A clock that is ahead by some milliseconds."""

    def __init__(self, by: int) -> None:
        super().__init__()
        self._by = by

    def now(self) -> int:
        return super().now() + self._by


class Swarm:
    """A server, the services of a swarm, and a source that looks when it is told to."""

    def __init__(self, server: Fastlane) -> None:
        self.server = server
        self.executor: InstantExecutor = server.executor
        self.services = self.executor.labelled_services[HOST]
        self.clock = Time()
        self.version = 100
        context = RenderContext("", ())
        self.read = label_reader(lambda task: job_rules(server.settings, task, None, context))
        self.source = self.another()

    def another(self, store: Any = None, read: Any = None, later: int = 0) -> LabelSource:
        """The source of one more worker, on a store of its own or on that of the server. ``later``: milliseconds by which it writes later
        than the server."""
        server = self.server
        writes_at: Any = Later(later) if later else server.clock
        clock: Any = self.clock
        store, directory = store or server.store, server.api.directory
        services = app.make_services(server.settings, store, server.queue, server.hub, writes_at, directory)
        ports = SourcePorts(store, self.executor, directory.pools, server.queue.reports, clock, "worker")
        return LabelSource(ports, services.declared, read or self.read)

    def deploy(self, labels: dict[str, str], name: str = "shop_web", id: str | None = None) -> LabelledService:
        """A service with these labels, new or changed."""
        self.version += 1
        before = self.services.get(name)
        own = id or (before.id if before else f"id of {name}")
        service = self.services[name] = LabelledService(own, name, self.version, labels)
        self.executor.tell_of_services()
        return service

    def remove(self, name: str = "shop_web") -> None:
        del self.services[name]

    async def look(self, *, after: int = 0) -> None:
        self.clock.now_at += after
        await self.source.look()

    async def job(self, name: str = "shop_web", suffix: str = "") -> Job:
        job = await self.server.store.job(declared_id(SWARM, name, suffix))
        assert job is not None
        return job

    async def shown(self, name: str = "shop_web") -> dict[str, Any]:
        job = await self.job(name)
        return (await self.server.get(f"/tasks/{job.task_id}/jobs/{job.id}")).json["job"]

    async def act(self, verb: str) -> int:
        job = await self.job()
        return (await self.server.post(f"/tasks/{job.task_id}/jobs/{job.id}/{verb}")).status

    async def events(self, kind: str) -> list[dict[str, Any]]:
        return (await self.server.get(f"/events?kind={kind}")).json["items"]


@pytest.fixture
async def swarm(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Swarm]:
    async with Fastlane(tmp_path, shared_redis.url, pools=POOLS) as server:
        yield Swarm(server)


async def test_a_labelled_service_becomes_a_job_and_a_second_look_changes_nothing(swarm: Swarm) -> None:
    swarm.deploy(NIGHTLY)
    await swarm.look()
    job, shown = await swarm.job(), await swarm.shown()
    assert (job.task_id, shown["name"], shown["status"], shown["schedule"]["cron"]) == ("shop", "web", "scheduled", "0 3 * * *")
    assert shown["source"] == {"service": "shop_web", "suffix": None, "fault": None, "gone": None}
    await swarm.look(after=2 * MINUTE)
    await swarm.another().look()
    assert await swarm.job() == job


async def test_a_changed_label_changes_the_job_and_keeps_its_history(swarm: Swarm) -> None:
    swarm.deploy(NIGHTLY)
    await swarm.look()
    before = await swarm.job()
    assert await swarm.act("run") == 200
    swarm.deploy({**NIGHTLY, "fastlane.timeout": "5m", "fastlane.cron": "0 4 * * *"})
    await swarm.look()
    job, shown = await swarm.job(), await swarm.shown()
    assert (job.incarnation, job.spec.timeout, shown["executionCount"]) == (before.incarnation, 300_000, 1)
    assert shown["schedule"]["cron"] == "0 4 * * *"
    (event,) = await swarm.events("job.changed")
    assert event["detail"]["how"] == "labels"
    assert {change["field"] for change in event["detail"]["changes"]} == {"timeout", "cron"}


async def test_a_service_that_lost_its_labels_stops_the_job_and_its_labels_start_it_again(swarm: Swarm) -> None:
    swarm.deploy(NIGHTLY)
    await swarm.look()
    swarm.deploy(STACK)
    await swarm.look()
    assert (await swarm.shown())["status"] == "stopped"
    (event,) = await swarm.events("job.stopped")
    assert event["detail"]["reason"] == "the service shop_web has no labels of this job any more"
    swarm.deploy(NIGHTLY)
    await swarm.look()
    assert (await swarm.shown())["status"] == "scheduled"


async def test_a_stop_and_a_pause_of_a_person_survive_a_deploy(swarm: Swarm) -> None:
    swarm.deploy(NIGHTLY)
    await swarm.look()
    assert await swarm.act("pause") == 200
    swarm.deploy({**NIGHTLY, "fastlane.cron": "0 4 * * *"})
    await swarm.look()
    assert ((await swarm.shown())["status"], (await swarm.job()).schedule.cron.text) == ("paused", "0 4 * * *")
    swarm.deploy(STACK)
    await swarm.look()
    swarm.deploy(NIGHTLY)
    await swarm.look()
    assert (await swarm.shown())["status"] == "paused"
    assert await swarm.act("stop") == 200
    for labels in ({**NIGHTLY, "fastlane.cron": "0 5 * * *"}, STACK, NIGHTLY):
        swarm.deploy(labels)
        await swarm.look()
        assert (await swarm.shown())["status"] == "stopped"
    assert await swarm.act("start") == 200
    assert (await swarm.shown())["status"] == "scheduled"


async def test_a_service_is_gone_when_it_is_missing_for_a_minute_and_its_id_is_not_known(swarm: Swarm) -> None:
    service = swarm.deploy(NIGHTLY)
    await swarm.look()
    swarm.remove()
    await swarm.look(after=1)
    await swarm.look(after=MINUTE - 1)
    assert (await swarm.shown())["status"] == "scheduled"
    swarm.deploy(NIGHTLY, id="another id")  # the stack was removed and deployed again
    await swarm.look(after=1)
    assert ((await swarm.job()).source.service_id, (await swarm.shown())["status"]) == ("another id", "scheduled")
    swarm.remove()
    await swarm.look(after=MINUTE)
    assert (await swarm.shown())["status"] == "scheduled"
    await swarm.look(after=MINUTE)
    assert (await swarm.shown())["status"] == "stopped"
    assert (await swarm.shown())["source"]["gone"] == "the service shop_web is gone"
    swarm.services["shop_web"] = service  # an old list
    await swarm.look(after=1)
    assert (await swarm.shown())["status"] == "stopped"


async def test_an_old_list_with_a_later_version_of_a_service_that_is_gone_starts_nothing(swarm: Swarm) -> None:
    swarm.deploy(NIGHTLY)
    await swarm.look()
    old = swarm.deploy(NIGHTLY)  # another image: the labels are the same
    await swarm.look()
    swarm.remove()
    await swarm.look(after=1)
    await swarm.look(after=MINUTE)
    swarm.services["shop_web"] = old
    await swarm.look(after=1)
    assert (await swarm.shown())["status"] == "stopped"
    swarm.deploy(NIGHTLY)
    await swarm.look(after=1)
    assert (await swarm.shown())["status"] == "scheduled"


async def test_old_lists_change_nothing(swarm: Swarm) -> None:
    old = swarm.deploy(NIGHTLY)
    older = replace(old, version=1, labels=STACK)
    new = swarm.deploy({**NIGHTLY, "fastlane.cron": "0 4 * * *"})
    await swarm.look()
    job = await swarm.job()
    for service in (old, older, new):
        swarm.services["shop_web"] = service
        await swarm.look()
        assert await swarm.job() == job


async def test_a_fault_is_an_event_and_leaves_the_job_as_it_was(swarm: Swarm) -> None:
    swarm.deploy({**STACK, "fastlane.cron": "61 * * * *"})
    await swarm.look()
    assert await swarm.server.store.job(declared_id(SWARM, "shop_web", "")) is None
    swarm.deploy(NIGHTLY)
    await swarm.look()
    swarm.deploy({**NIGHTLY, "fastlane.retries": "many", "fastlane.job.weekly.cron": "0 4 * * 1"})
    await swarm.look()
    await swarm.another().look()
    job, shown = await swarm.job(), await swarm.shown()
    assert (job.spec.retries, shown["status"], (await swarm.job(suffix="weekly")).spec.name) == (0, "scheduled", "web-weekly")
    assert "fastlane.retries" in shown["source"]["fault"]
    events = await swarm.events("labels.refused")
    assert [(event["taskId"], event["detail"]["service"]) for event in events] == [("shop", "shop_web")] * 2
    assert [event["jobId"] for event in events] == [job.id, None]
    why = (await swarm.server.get(f"{shown['url']}why")).json["waitingFor"]
    assert "fastlane.retries" in next(wait["message"] for wait in why if wait["reason"] == "labels")
    swarm.deploy(NIGHTLY)
    await swarm.look()
    assert (await swarm.shown())["source"]["fault"] is None


async def test_labels_that_name_an_unknown_calendar_are_refused_as_a_request_is_until_it_exists(swarm: Swarm) -> None:
    """A job that is there stays as it was. One whose calendar was deleted by force follows its other labels."""
    swarm.deploy(NIGHTLY)
    dated = {**NIGHTLY, "fastlane.skip-dates": "2027-01-01,holidays"}
    swarm.deploy(dated, "shop_mail")
    await swarm.look()
    swarm.deploy(dated)
    await swarm.look()
    assert await swarm.server.store.job(declared_id(SWARM, "shop_mail", "")) is None
    job, shown = await swarm.job(), await swarm.shown()
    assert (job.schedule.skip, "is not the name of a calendar" in shown["source"]["fault"]) == ((), True)
    assert [event["jobId"] for event in await swarm.events("labels.refused")] == [job.id, None]
    made = await swarm.server.ask("PUT", "/calendars/holidays", json={"dates": ["2027-01-01"]})
    assert made.status == 200
    await swarm.look(after=MINUTE)
    for name in ("shop_web", "shop_mail"):
        assert [str(dates) for dates in (await swarm.job(name)).schedule.skip] == ["2027-01-01", "holidays"]
    assert (await swarm.shown())["source"]["fault"] is None
    assert (await swarm.server.ask("DELETE", "/calendars/holidays?force=1")).status == 200
    swarm.deploy({**dated, "fastlane.timeout": "5m"})
    await swarm.look()
    assert ((await swarm.job()).spec.timeout, (await swarm.shown())["source"]["fault"]) == (300_000, None)


async def test_a_service_that_cannot_be_read_is_told_and_the_next_one_is_read(swarm: Swarm) -> None:
    swarm.deploy(NIGHTLY, "shop_mail")
    await swarm.look()

    def read(service: LabelledService, now: int) -> Any:
        if service.name == "shop_mail":
            raise RecursionError
        return swarm.read(service, now)

    swarm.deploy({**NIGHTLY, "fastlane.timeout": "5m"}, "shop_mail")
    swarm.deploy({**NIGHTLY, "fastlane.timeout": "5m"})
    await swarm.another(read=read).look()
    job, shown = await swarm.job("shop_mail"), await swarm.shown("shop_mail")
    assert (job.spec.timeout, shown["status"], (await swarm.job()).spec.timeout) == (None, "scheduled", 300_000)
    assert "cannot be read" in shown["source"]["fault"]
    assert [event["jobId"] for event in await swarm.events("labels.refused")] == [job.id]


async def test_a_service_that_names_another_stack_or_none_that_can_be_a_task_writes_into_no_task(swarm: Swarm) -> None:
    swarm.deploy(NIGHTLY, "other_web")
    swarm.deploy({**NIGHTLY, "com.docker.stack.namespace": "a/b"}, "shop_mail")
    await swarm.look()
    assert await swarm.server.store.jobs_of_services(10) == []
    events = {event["detail"]["service"]: event for event in await swarm.events("labels.refused")}
    assert {name: event["taskId"] for name, event in events.items()} == {"other_web": None, "shop_mail": None}
    assert all("com.docker.stack.namespace" in event["detail"]["reason"] for event in events.values())


async def test_a_moment_that_is_over_when_its_job_is_made_does_not_run(swarm: Swarm) -> None:
    swarm.deploy({**STACK, "fastlane.start-at": "2026-01-02T03:04:00Z"})
    swarm.deploy({**STACK, "fastlane.start-at": "2036-01-02T03:04:00Z"}, "shop_mail")
    await swarm.look()
    (job,) = await swarm.server.store.jobs_of_services(10)
    assert (job.spec.service, job.next_tick) == ("shop_mail", 2082855840_000)
    (event,) = await swarm.events("labels.refused")
    assert event["detail"]["service"] == "shop_web"
    assert "2026-01-02T03:04:00" in event["detail"]["reason"]


async def test_a_start_that_goes_back_to_a_moment_that_is_over_runs_nothing(swarm: Swarm) -> None:
    swarm.deploy({**STACK, "fastlane.start-at": "2036-01-02T03:04:00Z"})
    await swarm.look()
    swarm.deploy({**STACK, "fastlane.start-at": "2026-01-02T03:04:00Z", "fastlane.timeout": "5m"})
    await swarm.look()
    job, shown = await swarm.job(), await swarm.shown()
    assert (job.next_tick, job.spec.timeout, shown["executionCount"]) == (2082855840_000, None, 0)
    (event,) = await swarm.events("labels.refused")
    assert shown["source"]["fault"] == event["detail"]["reason"]
    assert event["detail"]["reason"].startswith("fastlane.start-at was 2026-01-02T03:04:00")


async def test_an_expiration_that_changes_to_a_moment_that_is_over_leaves_the_job_as_it_was(swarm: Swarm) -> None:
    swarm.deploy(NIGHTLY)
    await swarm.look()
    swarm.deploy({**NIGHTLY, "fastlane.expiration": "2026-01-02T03:04:00Z"})
    await swarm.look()
    assert ((await swarm.job()).spec.expiration, (await swarm.shown())["status"]) == (None, "scheduled")
    (event,) = await swarm.events("labels.refused")
    assert event["detail"]["reason"].startswith("fastlane.expiration is before")


@pytest.mark.parametrize("away", [30, 120])
async def test_a_moment_that_passed_while_the_service_was_gone_is_a_missed_row(swarm: Swarm, away: int) -> None:
    moment = swarm.server.clock.now() + 60 * MINUTE
    labels = {**STACK, "fastlane.start-at": iso(moment)}
    swarm.deploy(labels)
    await swarm.look()
    swarm.remove()
    await swarm.look(after=1)
    await swarm.look(after=MINUTE)
    assert (await swarm.shown())["status"] == "stopped"
    swarm.deploy(labels)
    await swarm.another(later=away * MINUTE).look()
    job, shown = await swarm.job(), await swarm.shown()
    ticks = (await swarm.server.get(f"{shown['url']}ticks/")).json["items"]
    if away == 30:
        assert (job.next_tick, ticks) == (moment, [])
        return
    assert (job.next_tick, job.last_tick, shown["executionCount"]) == (None, moment, 0)
    assert [(tick["outcome"], tick["reason"]) for tick in ticks] == [("missed", "its service was gone at this moment")]
    swarm.deploy(STACK)
    await swarm.another(later=away * MINUTE).look()
    swarm.deploy(labels)
    await swarm.another(later=away * MINUTE).look()
    assert (await swarm.job()).next_tick is None


async def test_a_moment_to_come_is_kept_by_a_job_that_ran_by_another_schedule_before(swarm: Swarm) -> None:
    swarm.deploy({**STACK, "fastlane.cron": "* * * * *"})
    await swarm.another(later=-5 * MINUTE).look()
    swarm.deploy({**STACK, "fastlane.start-at": "2036-01-02T03:04:00Z"})
    await swarm.look()
    assert (await swarm.job()).last_tick is not None
    for labels in (STACK, {**STACK, "fastlane.start-at": "2036-01-02T03:04:00Z"}):
        swarm.deploy(labels)
        await swarm.look()
    assert (await swarm.job()).next_tick == 2082855840_000


@pytest.mark.parametrize("kind", ["expiration", "expires-in"])
async def test_a_moment_that_passes_later_is_no_fault_of_the_labels_unless_the_job_is_new(swarm: Swarm, kind: str) -> None:
    moment = iso(swarm.server.clock.now() + 60 * MINUTE)
    start = {"fastlane.cron": "* * * * *"} if kind == "expiration" else {"fastlane.start-at": moment}
    labels = {**STACK, **start, f"fastlane.{kind}": moment if kind == "expiration" else "1h"}
    swarm.deploy(labels)
    await swarm.look()
    assert await swarm.events("labels.refused") == []
    day = 24 * 60 * MINUTE
    swarm.clock.now_at += day
    swarm.deploy({**labels, "fastlane.timeout": "5m"})
    await swarm.another(later=day).look()
    job = await swarm.job()
    assert (job.spec.timeout, job.source and job.source.fault) == (300_000, None)
    swarm.deploy(labels, "shop_mail")
    await swarm.another(later=day).look()
    (event,) = await swarm.events("labels.refused")
    field = "fastlane.expiration is before" if kind == "expiration" else "fastlane.start-at was"
    assert (event["detail"]["service"], event["detail"]["reason"].startswith(field)) == ("shop_mail", True)


async def test_a_fault_that_is_over_without_a_change_of_the_labels_is_over_for_the_job(swarm: Swarm) -> None:
    longest = [1_800.0]
    context = RenderContext("", ())
    source = swarm.another(read=label_reader(lambda task: job_rules(swarm.server.settings, task, longest[0], context)))
    swarm.deploy({**NIGHTLY, "fastlane.timeout": "2h"})
    await source.look()
    assert await swarm.server.store.jobs_of_services(10) == []
    longest[0] = 7_200.0
    swarm.clock.now_at += 2 * MINUTE
    await source.look()
    assert (await swarm.job()).spec.timeout == 7_200_000


async def test_a_declaration_without_a_start_makes_no_job(swarm: Swarm) -> None:
    swarm.deploy(NIGHTLY)
    await swarm.look()
    spec = (await swarm.job()).spec
    swarm.deploy(NIGHTLY, "shop_mail")
    await swarm.another(read=lambda *_: [DeclaredJob("", spec, Schedule())]).look()
    assert await swarm.server.store.job(declared_id(SWARM, "shop_mail", "")) is None
    assert ["would run at once" in event["detail"]["reason"] for event in await swarm.events("labels.refused")] == [True, True]


async def test_what_the_pool_refuses_is_a_fault_too(swarm: Swarm) -> None:
    swarm.deploy({**NIGHTLY, "fastlane.container.networks": "host"})
    swarm.deploy({"com.docker.stack.namespace": "other", "fastlane.cron": "@daily"}, "other_web")
    swarm.deploy({**NIGHTLY, "com.docker.stack.namespace": "bank"}, "bank_web")
    await swarm.look()
    refused = {event["detail"]["service"]: event["detail"]["reason"] for event in await swarm.events("labels.refused")}
    assert "container.networks" in refused["shop_web"]
    assert "has no host in this service's swarm" in refused["other_web"]
    assert "bank_web" in refused["bank_web"]
    assert await swarm.server.store.jobs_of_services(10) == []


async def test_a_job_that_follows_its_labels_has_no_fault_while_the_host_of_its_pool_is_away(swarm: Swarm) -> None:
    swarm.deploy(NIGHTLY)
    await swarm.look()
    job = await swarm.job()
    other = POOLS[0].hosts[0]
    swarm.executor.engines = {other: EngineIdentity(other, SWARM), HOST: EngineIdentity(HOST, "not known yet")}
    swarm.executor.labelled_services[other] = swarm.services
    swarm.executor.down(HOST)
    await swarm.look(after=2 * MINUTE)
    assert await swarm.events("labels.refused") == []
    assert await swarm.job() == job


async def test_a_job_that_somebody_put_under_the_id_is_taken_over_in_its_task_and_left_alone_in_another(swarm: Swarm) -> None:
    for name, task in (("shop_web", "shop"), ("shop_mail", "mine")):
        path = f"/tasks/{task}/jobs/{declared_id(SWARM, name, '')}"
        assert (await swarm.server.put(path, {"image": "ubuntu:latest", "cron": "0 5 * * *"})).status == 200
        swarm.deploy(NIGHTLY, name)
    await swarm.look()
    (event,) = await swarm.events("labels.refused")
    assert (event["taskId"], event["jobId"], event["detail"]["service"]) == ("shop", None, "shop_mail")
    assert "is in the task 'mine'" in event["detail"]["reason"]
    jobs = [await swarm.job("shop_web"), await swarm.job("shop_mail")]
    assert [(job.task_id, job.spec.service, job.is_declared) for job in jobs] == [("shop", "shop_web", True), ("mine", None, False)]


async def test_replicas_of_swarm_cronjob_above_one_are_an_event(swarm: Swarm) -> None:
    own = {"swarm.cronjob.enable": "true", "swarm.cronjob.schedule": "0 3 * * *", "swarm.cronjob.replicas": "3"}
    swarm.deploy({**STACK, **own})
    await swarm.look()
    (event,) = await swarm.events("labels.limited")
    assert "swarm.cronjob.replicas is 3" in event["detail"]["reason"]
    assert (await swarm.shown())["schedule"]["overlap"] == "replace"


async def test_only_the_labels_change_and_delete_the_job(swarm: Swarm) -> None:
    swarm.deploy(NIGHTLY)
    await swarm.look()
    job = await swarm.job()
    path = f"/tasks/shop/jobs/{job.id}"
    edits = [
        await swarm.server.put(path, {"image": "ubuntu:latest"}),
        await swarm.server.ask("PATCH", path, json={"timeout": "5m"}),
        await swarm.server.ask("DELETE", f"{path}?stop=1"),
        await swarm.server.ask("DELETE", "/tasks/shop?stop=1"),
    ]
    assert [(answer.status, "'shop_web'" in answer.json["detail"]) for answer in edits] == [(409, True)] * 4
    assert await swarm.job() == job
    assert await swarm.act("stop") == 200
    swarm.deploy(STACK)
    await swarm.look()
    assert await swarm.act("start") == 409
    assert (await swarm.server.ask("DELETE", f"{path}?stop=1")).status == 200


async def test_two_workers_that_look_at_once_make_one_job_and_one_change(swarm: Swarm) -> None:
    other = swarm.another()
    for labels in (NIGHTLY, {**NIGHTLY, "fastlane.timeout": "5m"}, STACK, NIGHTLY):
        swarm.deploy(labels)
        await asyncio.gather(swarm.source.look(), other.look())
    job = await swarm.job()
    assert len(await swarm.events("job.changed")) == 2
    assert len(await swarm.events("job.stopped")) == 1
    assert (job.sequence, job.stopped) == (2, False)


async def test_labels_that_are_back_while_their_job_is_given_up_keep_its_entry_in_the_queue(swarm: Swarm) -> None:
    swarm.deploy(NIGHTLY)
    await swarm.look()
    swarm.deploy(STACK)
    store = Intercepted(swarm.server.store)

    async def back() -> None:
        swarm.deploy({**NIGHTLY, "fastlane.cron": "0 4 * * *"})
        await swarm.another().look()

    store.before("advance", back)
    await swarm.another(store).look()
    assert store.quiet
    assert ((await swarm.shown())["status"], (await swarm.job()).schedule.cron.text) == ("scheduled", "0 4 * * *")
    assert (await swarm.server.queue.counts([TICKS]))[TICKS].timed == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("verb", "labels", "status"),
    [
        ("create", [NIGHTLY], "scheduled"),
        ("advance", [NIGHTLY, {**NIGHTLY, "fastlane.cron": "0 4 * * *"}], "scheduled"),
        ("advance", [NIGHTLY, STACK], "stopped"),
        ("advance", [NIGHTLY, STACK, NIGHTLY], "scheduled"),
        ("add_events", [NIGHTLY, {**NIGHTLY, "fastlane.retries": "many"}], "scheduled"),
        ("advance", [NIGHTLY, {**NIGHTLY, "fastlane.retries": "many"}], "scheduled"),
    ],
)
async def test_what_a_worker_leaves_that_is_killed_the_next_one_does(
    swarm: Swarm, verb: str, when: str, labels: list[dict[str, str]], status: str
) -> None:
    for one in labels[:-1]:
        swarm.deploy(one)
        await swarm.look()
    swarm.deploy(labels[-1])
    store = Intercepted(swarm.server.store)
    getattr(store, when)(verb, dies)
    with pytest.raises(Died):
        await swarm.another(store).look()
    assert store.quiet
    await swarm.another().look()
    job = await swarm.job()
    assert (await swarm.shown())["status"] == status
    assert (job.schedule.cron is not None and job.schedule.cron.text) == labels[-1].get("fastlane.cron", "0 3 * * *")
    assert len(await swarm.events("labels.refused")) == ("fastlane.retries" in labels[-1])
    assert len(await swarm.events("job.stopped")) == (STACK in labels)
    assert len(await swarm.server.store.jobs_of_services(10)) == 1
    await swarm.another().look()
    assert await swarm.job() == job


async def test_a_look_at_services_that_have_not_changed_is_one_list_and_reads_no_job(swarm: Swarm) -> None:
    swarm.deploy(NIGHTLY)
    calls: list[Call] = []
    source = swarm.another(Intercepted(swarm.server.store, keeping(calls)))
    await source.look()
    assert calls
    calls.clear()
    await source.look()
    assert calls == []


async def test_when_the_labels_of_a_swarm_were_compared_is_a_figure_that_stands_while_they_cannot_be(swarm: Swarm) -> None:
    store, metrics = Intercepted(swarm.server.store), Metrics()
    source = swarm.another(store)
    metrics.show_compared(source.compared)

    def age() -> float | None:
        (family,) = (one for one in text_string_to_metric_families(metrics.text().decode()) if "labels_compared" in one.name)
        moments = {sample.labels["swarm"]: sample.value for sample in family.samples}
        return swarm.clock.now_at / 1000 - moments[SWARM] if SWARM in moments else None

    assert age() is None
    await source.look()
    assert age() == 0
    store.around("jobs_of_services", failing(StoreDown("away"), times=2))  # of both swarms
    swarm.clock.now_at += 2 * MINUTE
    await source.look()
    assert age() == 120
    await source.look()
    assert age() == 0
    swarm.executor.engines = {host: EngineIdentity(host, "another") for host in (HOST, POOLS[0].hosts[0])}
    await source.look()
    assert age() is None


async def test_workers_with_the_setting_follow_the_labels_and_one_that_is_left_goes_on(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, pools=POOLS, workers=2, service_labels=True) as server:
        swarm = Swarm(server)

        async def declared(name: str) -> Job | None:
            swarm.executor.tell_of_services()
            return await server.store.job(declared_id(SWARM, name, ""))

        for name in ("shop_web", "shop_mail"):
            swarm.deploy(NIGHTLY, name)
            job = await server.until(lambda name=name: declared(name), f"the job of {name}")
            assert job is not None
            assert job.spec.service == name
            await server.dismiss()
