"""Jobs that labels declare, with several swarms and several workers: where they run, who looks, and what a swarm that is gone leaves."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fastlane.errors import HostDown, OrderRefused
from fastlane.executors.port import ServiceTemplate
from fastlane.models.host import EngineIdentity, HostView
from fastlane.models.job import ServiceVersion
from fastlane.models.job_source import declared_id
from fastlane.models.pool import Pool
from fastlane.models.status import Status
from fastlane.queue.port import Report
from tests.behaviour.labels.test_label_jobs import MINUTE, NIGHTLY, STACK, SWARM, Swarm
from tests.support.clock import FakeClock
from tests.support.fastlane import HOST, Fastlane
from tests.support.intercept import Call, Intercepted, failing, intercept, keeping
from tests.support.redis import RealRedis

OTHER = "10.0.0.8:2375"
MANUAL = {**STACK, "fastlane.manual": "true"}


@pytest.fixture
async def swarm(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Swarm]:
    """The swarms of two hosts, in one pool."""
    async with Fastlane(tmp_path, shared_redis.url, pools=(Pool("default", "", (HOST, OTHER), services=("shop_*",)),)) as server:
        yield Swarm(server)


async def test_a_job_runs_in_the_swarm_whose_service_declares_it(swarm: Swarm) -> None:
    server, hosts = swarm.server, (HOST, OTHER)
    service = swarm.deploy(MANUAL)
    swarm.executor.labelled_services[OTHER][service.name] = service
    for version, host in enumerate(hosts):
        swarm.executor.deployed[host] = {"shop_web": ServiceTemplate(ServiceVersion("id", version), "shop:1", {})}
    await swarm.look()
    await server.hire()
    for host in hosts:
        job_id = declared_id(f"swarm of {host}", "shop_web", "")
        made = (await server.post(f"/tasks/shop/jobs/{job_id}/run")).json

        async def ended(id: str = made["executionId"]) -> object:
            execution = await server.store.execution(id)
            return execution if execution is not None and execution.status.final else None

        execution = await server.until(ended, f"the end of the run on {host}")
        assert (execution.status, execution.host) == (Status.DONE, host)


async def test_a_change_of_a_service_without_labels_of_jobs_has_nothing_compared(swarm: Swarm) -> None:
    swarm.deploy(NIGHTLY)
    calls: list[Call] = []
    source = swarm.another(Intercepted(swarm.server.store, keeping(calls)))
    await source.look()
    calls.clear()
    for name, labels in (("shop_db", STACK), ("fastlane-1", {"fastlane.installation": "x", "fastlane.job": "y"}), ("shop_db", STACK)):
        swarm.deploy(labels, name)
        await source.look()
    assert calls == []
    swarm.deploy(STACK)
    await source.look()
    assert (await swarm.job()).stopped


async def test_a_worker_that_can_reach_a_swarm_looks_at_it_whatever_its_id(swarm: Swarm) -> None:
    executor, reports = swarm.executor, swarm.server.queue.reports
    here, there = executor.hosts()

    async def another(*views: HostView, unread: tuple[str, ...] = ()) -> None:
        """A worker with a lower id, that has these hosts."""
        await reports.announce(Report("a", 1, views, reads_labels=True, labels_unread=unread), ttl=600_000)

    async def is_there(host: str) -> bool:
        return await swarm.server.store.job(declared_id(f"swarm of {host}", "shop_web", "")) is not None

    executor.labelled_services[OTHER]["shop_web"] = swarm.deploy(NIGHTLY)
    await another(here, there)
    await swarm.look()
    assert (await is_there(HOST), await is_there(OTHER)) == (False, False)
    await another(here, replace(there, usable=False))
    await swarm.look()
    assert (await is_there(HOST), await is_there(OTHER)) == (False, True)
    await another(here, unread=(f"swarm of {HOST}",))
    await swarm.look()
    assert await is_there(HOST)


async def test_a_worker_that_cannot_list_services_reports_it_until_it_can(swarm: Swarm) -> None:
    intercept(swarm.executor, "labelled", failing(HostDown("no answer"), times=2))
    swarm.executor.down(OTHER)
    await swarm.look()
    assert swarm.source.unread() == ()
    await swarm.look(after=15_000)
    assert swarm.source.unread() == (f"swarm of {HOST}",)
    swarm.deploy(NIGHTLY)
    await swarm.server.queue.reports.announce(Report("z", 1, tuple(swarm.executor.hosts()), reads_labels=True), ttl=600_000)
    await swarm.look(after=5_000)
    assert swarm.source.unread() == ()


async def test_a_swarm_that_no_worker_can_see_stops_nothing(swarm: Swarm) -> None:
    """Its only worker may be away for an upgrade. What a swarm left behind that was made anew runs nowhere, and can be deleted."""
    swarm.deploy(NIGHTLY)
    await swarm.look()
    old = await swarm.job()
    swarm.executor.engines = {HOST: EngineIdentity("engine", "a new swarm")}
    swarm.executor.down(OTHER)
    swarm.executor.up(OTHER)
    for _ in range(5):
        await swarm.look(after=MINUTE)
    assert await swarm.job() == old
    assert await swarm.server.store.job(declared_id("a new swarm", "shop_web", "")) is not None


async def test_a_stopped_job_can_be_deleted_while_no_worker_reads_the_labels_of_its_swarm(swarm: Swarm) -> None:
    swarm.deploy(NIGHTLY)
    await swarm.look()
    path, reports = f"/tasks/shop/jobs/{(await swarm.job()).id}", swarm.server.queue.reports
    here, there = swarm.executor.hosts()
    assert (await swarm.server.ask("DELETE", path)).status == 409
    assert await swarm.act("stop") == 200
    for views in ((here, there), (replace(there, swarm_id=None),)):
        await reports.announce(Report("a", 1, views, reads_labels=True), ttl=600_000)
        assert (await swarm.server.ask("DELETE", path)).status == 409
    await reports.announce(Report("a", 1, (there,), reads_labels=True), ttl=600_000)
    await reports.announce(Report("b", 1, (here,)), ttl=600_000)
    assert (await swarm.server.ask("DELETE", path)).status == 200


async def test_a_fault_is_recorded_once_for_each_version_of_the_labels(swarm: Swarm) -> None:
    swarm.deploy(NIGHTLY)
    await swarm.look()
    calls: list[Call] = []
    source = swarm.another(Intercepted(swarm.server.store, keeping(calls)))
    wrong = {**NIGHTLY, "fastlane.retries": "many", "fastlane.job.weekly.cron": "8 days"}
    for _ in range(2):
        swarm.deploy(wrong)
        calls.clear()
        await source.look()
        assert [call.verb for call in calls if call.verb != "jobs_of_services"]
        calls.clear()
        swarm.clock.now_at += 2 * MINUTE
        await source.look()
        assert {call.verb for call in calls} == {"jobs_of_services"}


async def test_events_that_a_manager_refuses_are_asked_for_less_and_less_and_by_the_chosen_worker_only(swarm: Swarm) -> None:
    tries: list[str] = []
    reports, hosts = swarm.server.queue.reports, tuple(swarm.executor.hosts())

    async def refused(call: Call) -> None:
        tries.append(call.arguments[0])
        raise OrderRefused("a proxy lets no events through")

    async def both_sleep() -> bool:
        return clock.sleeping >= 2

    intercept(swarm.executor, "watch_services", refused)
    await reports.announce(Report("a", 1, hosts[:1], reads_labels=True), ttl=600_000)
    clock = FakeClock()
    swarm.clock, end = clock, clock.now() + 5 * MINUTE
    running = asyncio.create_task(swarm.another().run())
    try:
        while clock.now() < end:
            await swarm.server.until(both_sleep, "the pauses of the looks and of the events")
            clock.step()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert 8 < len(tries) < 15
    assert set(tries) == {OTHER}


async def test_labels_of_a_swarm_that_was_restored_count_when_two_managers_show_them_for_a_minute(swarm: Swarm) -> None:
    later, executor = {**NIGHTLY, "fastlane.cron": "0 4 * * *"}, swarm.executor
    executor.engines = {host: EngineIdentity(host, SWARM) for host in (HOST, OTHER)}
    before = swarm.deploy(NIGHTLY)
    await swarm.look()
    follows = await swarm.job()
    restored = replace(before, version=7, labels=later)
    swarm.services["shop_web"], executor.labelled_services[OTHER]["shop_web"] = restored, before
    for _ in range(3):
        await swarm.look(after=MINUTE)
    assert await swarm.job() == follows  # one manager is cut off
    executor.down(OTHER)
    await swarm.look(after=MINUTE)
    assert "restored from a backup" in (await swarm.shown())["source"]["fault"]
    executor.up(OTHER)
    executor.labelled_services[OTHER]["shop_web"] = restored
    await swarm.look(after=MINUTE)
    shown = await swarm.shown()
    assert (shown["schedule"]["cron"], shown["source"]["fault"]) == ("0 4 * * *", None)
    for host in (HOST, OTHER):
        executor.labelled_services[host]["shop_web"] = replace(restored, version=8, labels=STACK)
    await swarm.look(after=MINUTE)
    assert (await swarm.job()).stopped
