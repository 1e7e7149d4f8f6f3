"""What is submitted for an execution: no more than its pool allows when it is placed, and the same image at each attempt."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastlane.errors import ImageRefused, RegistryDown
from fastlane.executors.port import Image, Order
from fastlane.models.container import DEFAULT_POLICY, Container, Mount, MountKind, Policy, Resources
from fastlane.models.job import Execution, Spec
from fastlane.models.pool import Pool
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import Schedule
from fastlane.models.status import Status
from fastlane.services.results import Enqueued
from tests.support.fastlane import HOST, Fastlane
from tests.support.intercept import Call, Intercepted, answering, intercept, keeping
from tests.support.redis import RealRedis

WIDE = Pool("wide", "", (HOST,), policy=Policy(mounts=("/srv/",), user=("*",)), limits=Resources(cpus=2, memory=1 << 30, pids=100))
ASKS = Container(user="1000", mounts=(Mount(MountKind.BIND, "/data", "/srv/data"),))


class Watched(Fastlane):
    """A crew whose executor keeps what was parked."""

    def __init__(self, folder: Path, redis_url: str, *, pools: tuple[Pool, ...] = (WIDE,), **settings: Any) -> None:
        super().__init__(folder, redis_url, pools=pools, **settings)
        self._parks: list[Call] = []
        intercept(self.executor, "park", keeping(self._parks))

    @property
    def parked(self) -> list[tuple[Order, str]]:
        """The orders, each with its image's reference."""
        return [(order, image.reference) for _host, order, image in (call.arguments for call in self._parks)]

    async def runs(self, *command: str, **spec: object) -> Enqueued:
        return await self.services.submissions.enqueue("task", Spec("ubuntu:latest", command or None, **spec), Schedule())

    async def second_attempt(self, job: Enqueued, meanwhile: Callable[[], object]) -> None:
        """Lets the first attempt end after ``meanwhile``, and the one after it, too."""
        first = await self.reaches(job, "running")
        meanwhile()
        self.executor.release(first.id)

        async def follows() -> Execution | None:
            latest = await self.latest_execution(job)
            return latest if latest is not None and latest.attempt == 2 and latest.status is Status.RUNNING else None

        second = await self.until(follows, "the second attempt")
        assert second is not None
        self.executor.release(second.id)
        await self.cleaned(job)

    def change_pool(self, **changes: object) -> None:
        """Workers hired from here on have the pool changed so."""
        self.settings = replace(self.settings, pools=(replace(self.settings.pools[0], **changes),))


def crew(folder: Path, redis: RealRedis, **options) -> Watched:
    return Watched(folder, redis.url, **options)


async def test_a_container_gets_what_was_asked_for_and_the_limits_of_its_pool(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with crew(tmp_path, shared_redis) as made:
        await made.hire()
        job = await made.runs(container=ASKS, resources=Resources(cpus=0.5, reserve_memory=4096))
        await made.cleaned(job)
        ((order, _),) = made.parked
    assert order.container == ASKS
    assert order.resources == Resources(0.5, 1 << 30, 100, None, 4096)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"policy": DEFAULT_POLICY}, ["container.user: ", "container.mounts: ", "'/srv/data'", "policy of pool 'wide'"]),
        ({"limits": Resources(memory=1024)}, ["resources.memory: ", "limits of pool 'wide'"]),
    ],
    ids=["policy", "limits"],
)
async def test_what_its_pool_has_come_to_forbid_is_rejected_and_never_parked(
    shared_redis: RealRedis, tmp_path: Path, change: dict[str, object], words: list[str]
) -> None:
    async with crew(tmp_path, shared_redis) as made:
        job = await made.runs(container=ASKS, resources=Resources(memory=4096), retries=3)
        made.change_pool(**change)
        await made.hire()
        ended = await made.cleaned(job)
        assert (ended.status, ended.attempt, made.parked, made.executor.starts) == (Status.FAILED, 1, [], [])
        assert ended.failure is not None
        assert ended.failure.reason is FailureReason.REJECTED
        assert [word for word in words if word not in ended.failure.message] == []
        await made.idle()


async def test_each_attempt_runs_the_same_image_though_its_tag_moved_and_a_retry_by_hand_asks_anew(
    shared_redis: RealRedis, tmp_path: Path
) -> None:
    async with crew(tmp_path, shared_redis) as made:
        await made.hire()
        job = await made.runs("hold", "exit", "3", retries=1, retry_delay=1)
        await made.second_attempt(job, lambda: made.executor.tags.update({"ubuntu:latest": "another image"}))
        first, second = await made.attempts(job)
        assert first.image_digest == second.image_digest is not None
        assert {reference for _, reference in made.parked} == {first.image_reference}
        by_hand = await made.services.manual_runs.retry("task", job.job_id)
        assert (await made.reaches(by_hand, "running")).image_digest not in {None, first.image_digest}


async def test_an_attempt_whose_host_has_not_the_local_image_of_the_one_before_asks_anew(shared_redis: RealRedis, tmp_path: Path) -> None:
    local = "sha256:" + "0" * 64
    async with crew(tmp_path, shared_redis) as made:

        async def elsewhere(call: Call) -> Any:
            host, image, _pull = call.arguments
            if image == local:
                raise ImageRefused(f"there is no image {local} on {host}")
            return await call.carry()

        made.executor = Intercepted(made.executor)
        made.executor.around("resolve", answering(Image(local, local)))
        await made.hire()
        job = await made.runs("hold", "exit", "3", retries=1, retry_delay=1)
        await made.second_attempt(job, lambda: made.executor.around("resolve", elsewhere))
        first, second = await made.attempts(job)
        assert first.image_reference == local
        assert str(second.image_reference).startswith("ubuntu:latest@sha256:")


async def test_credentials_that_cannot_be_had_are_waited_for_until_the_deadline(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with crew(tmp_path, shared_redis, pull_deadline=4) as made:
        made.executor.refusals = [RegistryDown("the file with the password for r cannot be read") for _ in range(3)]
        await made.hire()
        assert (await made.cleaned(await made.runs("exit", "0"))).status is Status.DONE
        made.executor.refusals = [RegistryDown("the file with the password for r cannot be read") for _ in range(1000)]
        ended = await made.cleaned(await made.runs("exit", "0"))
        assert ended.failure is not None
        assert ended.failure.reason is FailureReason.IMAGE
        words = "could not be looked up in its registry for 4 s: the file with the password for r cannot be read"
        assert ended.failure.message == f"the image {ended.spec.image} {words}"
