"""Jobs that run as the container of a service: how they are asked for, which swarm is asked, and what becomes of one that is gone."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from fastlane.executors.port import Order, ServiceTemplate
from fastlane.models.container import Resources
from fastlane.models.job import Execution, ServiceVersion, Spec
from fastlane.models.pool import HostRule, Pool
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import Schedule
from fastlane.models.status import Status
from tests.http.posted import OK, faults
from tests.support.fastlane import HOST, Fastlane
from tests.support.intercept import Call, intercept, keeping
from tests.support.redis import RealRedis

HOSTS = ("unix:///a", "unix:///b", "unix:///c")
POOL = Pool("wide", "", HOSTS, services=("shop_*",), limits=Resources(cpus=2))
WEB = {"service": "shop_web"}


def template(version: int, image: str = "shop:1") -> ServiceTemplate:
    return ServiceTemplate(ServiceVersion("service-id", version), image, {})


class Shop(Fastlane):
    """A crew whose executor keeps what was parked, with services on some of its hosts."""

    def __init__(self, folder: Path, redis: RealRedis, deployed: Mapping[str, Mapping[str, ServiceTemplate]], pool: Pool = POOL) -> None:
        super().__init__(folder, redis.url, pools=(pool,))
        self.executor.deployed = {host: dict(services) for host, services in deployed.items()}
        self._parks: list[Call] = []
        intercept(self.executor, "park", keeping(self._parks))

    @property
    def parked(self) -> list[tuple[str, Order, str]]:
        """The hosts and orders, each with its image's reference."""
        return [(host, order, image.reference) for host, order, image in (call.arguments for call in self._parks)]

    async def ends(self, command: tuple[str, ...] | None = None, **spec: object) -> Execution:
        made = await self.services.submissions.enqueue("task", Spec("", command, service="shop_web", **spec), Schedule())
        return await self.cleaned(made)


async def test_it_goes_to_a_host_of_a_swarm_that_has_the_service_and_records_what_it_was(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Shop(tmp_path, shared_redis, {"unix:///c": {"shop_web": template(7)}}) as crew:
        await crew.hire()
        ended = await crew.ends(("exit", "0"), resources=Resources(pids=5))
        ((host, order, image),) = crew.parked
        assert (ended.status, ended.host, host) == (Status.DONE, "unix:///c", "unix:///c")
        assert (ended.service_version, ended.image_reference) == (ServiceVersion("service-id", 7), image)
        assert image.startswith("shop:1@sha256:")
        assert (order.like, order.resources, order.defaults) == (template(7), Resources(pids=5), Resources(cpus=2))


@pytest.mark.parametrize(
    ("deployed", "pool", "words"),
    [
        ({}, POOL, "no swarm of pool 'wide' has a service named 'shop_web'; deploy it, or name another"),
        ({HOSTS[0]: {"shop_web": template(1)}}, replace(POOL, services=("bank_*",)), "does not allow it (it allows bank_*)"),
        ({HOSTS[0]: {"shop_web": template(1)}}, replace(POOL, services=()), "does not allow it (it allows none)"),
    ],
    ids=["gone", "no longer allowed", "none allowed"],
)
async def test_a_service_that_is_gone_or_no_longer_allowed_is_rejected_and_nothing_runs(
    shared_redis: RealRedis, tmp_path: Path, deployed: dict[str, dict[str, ServiceTemplate]], pool: Pool, words: str
) -> None:
    async with Shop(tmp_path, shared_redis, deployed) as crew:
        made = await crew.services.submissions.enqueue("task", Spec("", service="shop_web", retries=3), Schedule())
        crew.settings = replace(crew.settings, pools=(pool,))
        await crew.hire()
        ended = await crew.cleaned(made)
        assert (ended.status, ended.attempt, crew.parked) == (Status.FAILED, 1, [])
        assert ended.failure is not None
        assert ended.failure.reason is FailureReason.REJECTED
        assert words in ended.failure.message


async def test_while_a_swarm_that_may_have_the_service_cannot_be_asked_it_waits_and_says_so(
    shared_redis: RealRedis, tmp_path: Path
) -> None:
    async with Shop(tmp_path, shared_redis, {"unix:///c": {"shop_web": template(7)}}) as crew:
        crew.executor.down("unix:///c")
        made = await crew.services.submissions.enqueue("task", Spec("", ("exit", "0"), service="shop_web"), Schedule())
        await crew.hire()

        async def waits() -> bool:
            explained = (await crew.get(f"/tasks/task/jobs/{made.job_id}/why")).json["waitingFor"]
            return any(
                "has a service named 'shop_web', among the hosts that can be asked: unix:///c" in wait["message"] for wait in explained
            )

        await crew.until(waits, "what it waits for")
        crew.executor.up("unix:///c")
        ended = await crew.cleaned(made)
        assert (ended.status, ended.host) == (Status.DONE, "unix:///c")


async def test_when_it_has_waited_for_too_long_it_says_which_host_it_could_not_ask(shared_redis: RealRedis, tmp_path: Path) -> None:
    """The service may still be there: to deploy it again would not help."""
    async with Shop(tmp_path, shared_redis, {"unix:///c": {"shop_web": template(7)}}) as crew:
        crew.executor.down("unix:///c")
        crew.settings = replace(crew.settings, pending_deadline=0.1)
        made = await crew.services.submissions.enqueue("task", Spec("", service="shop_web"), Schedule())
        await crew.hire()
        ended = await crew.cleaned(made)
        assert ended.failure is not None
        assert ended.failure.reason is FailureReason.REJECTED
        assert "among the hosts that can be asked: unix:///c" in ended.failure.message
        assert "deploy it" not in ended.failure.message


async def test_while_the_hosts_of_its_service_are_full_it_waits_for_as_long_as_that_takes(shared_redis: RealRedis, tmp_path: Path) -> None:
    pool = replace(POOL, hosts=HOSTS[1:], rules={HOSTS[2]: HostRule(max_running=1)})
    async with Shop(tmp_path, shared_redis, {HOSTS[2]: {"shop_web": template(7)}}, pool) as crew:
        crew.settings = replace(crew.settings, pending_deadline=0.1)
        await crew.hire()
        submissions = crew.services.submissions
        first = await submissions.enqueue("task", Spec("", ("hold", "exit", "0"), service="shop_web"), Schedule())
        running = await crew.reaches(first, "running")
        second = await submissions.enqueue("task", Spec("", ("exit", "0"), service="shop_web"), Schedule())

        async def waits() -> bool:
            explained = (await crew.get(f"/tasks/task/jobs/{second.job_id}/why")).json["waitingFor"]
            words = "the service 'shop_web' is in the swarm of a host that takes no new work now: unix:///c has as many running as it may"
            return any(words in wait["message"] for wait in explained)

        await crew.until(waits, "what it waits for")
        crew.executor.release(running.id)
        assert [(await crew.cleaned(made)).status for made in (first, second)] == [Status.DONE, Status.DONE]


async def test_while_the_host_of_its_service_is_drained_it_waits_for_as_long_as_that_takes(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Shop(tmp_path, shared_redis, {HOSTS[2]: {"shop_web": template(7)}}) as crew:
        crew.settings = replace(crew.settings, pending_deadline=0.1)
        host = {"host": HOSTS[2]}
        assert (await crew.ask("POST", "/docker-executor/blacklist", json=host)).status == 200
        made = await crew.services.submissions.enqueue("task", Spec("", ("exit", "0"), service="shop_web"), Schedule())
        await crew.hire()

        async def waits() -> bool:
            explained = (await crew.get(f"/tasks/task/jobs/{made.job_id}/why")).json["waitingFor"]
            return any("takes no new work now: unix:///c is drained" in wait["message"] for wait in explained)

        await crew.until(waits, "what it waits for")
        assert (await crew.ask("DELETE", "/docker-executor/blacklist", json=host)).status == 200
        assert (await crew.cleaned(made)).status is Status.DONE


async def test_each_attempt_reads_the_service_anew(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Shop(tmp_path, shared_redis, {HOST: {"shop_web": template(1)}}, replace(POOL, hosts=(HOST,))) as crew:
        await crew.hire()
        made = await crew.services.submissions.enqueue("task", Spec("", ("hold", "exit", "3"), service="shop_web", retries=1), Schedule())
        first = await crew.reaches(made, "running")
        crew.executor.deployed[HOST]["shop_web"] = template(2, "shop:2")
        crew.executor.release(first.id)

        async def follows() -> Execution | None:
            latest = await crew.latest_execution(made)
            return latest if latest is not None and latest.attempt == 2 and latest.status is Status.RUNNING else None

        second = await crew.until(follows, "the second attempt")
        assert second is not None
        assert (second.service_version, (second.image_reference or "")[:7]) == (ServiceVersion("service-id", 2), "shop:2@")
        crew.executor.release(second.id)
        await crew.cleaned(made)


async def test_what_a_job_with_a_service_takes_shows_and_refuses(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, pools=(Pool("wide", "", (HOST,), services=("shop_*",)),)) as server:
        reply = (await server.post("/tasks/task", WEB | {"manual": True})).json
        job = (await server.get(reply["jobUrl"])).json["job"]
        assert job["definition"] == WEB | {"manual": True}
        assert (job["spec"]["image"], job["spec"]["service"]) == (None, "shop_web")
        row = (await server.get("/jobs?query=shop_web")).json["items"][0]
        assert (row["image"], row["service"]) == (None, "shop_web")
        assert (await server.put(reply["jobUrl"], job["definition"])).status == 200
        assert (await server.get("/pools")).json["items"][0]["services"] == ["shop_*"]

        async def changed(body):
            answer = await server.ask("PATCH", reply["jobUrl"], json=body)
            return answer if answer.status != 200 else (await server.get(reply["jobUrl"])).json["job"]["definition"]

        assert await changed({"image": "ubuntu"}) == {"image": "ubuntu", "manual": True}
        assert await changed({"service": "shop_db"}) == {"service": "shop_db", "manual": True}
        assert await changed({"command": "x"}) == {"service": "shop_db", "command": "x", "manual": True}
        assert "a job needs an image or a service" in faults(await changed({"service": None}))["service"]
        assert "keep one of them" in faults(await changed(OK | WEB))["service"]
        assert (await changed({"service": "bank_vault"})).status == 403
        for body, field, words in (
            ({}, "image", "or name a service of the swarm"),
            (OK | WEB, "service", "keep one of them"),
            ({"service": 5}, "service", "is not text"),
            ({"service": "a/b"}, "service", "is not the name of a service of the swarm"),
            ({"service": "{{.X}}"}, "service", "is not the name of a service of the swarm"),
        ):
            assert words in faults(await server.post("/tasks/task", body or {"manual": True}))[field]
        refused = await server.post("/tasks/task?dryRun=1", {"service": "bank_vault"})
        assert (refused.status, refused.json["errors"][0]["field"]) == (403, "service")
        assert "(it allows shop_*)" in refused.json["errors"][0]["message"]
