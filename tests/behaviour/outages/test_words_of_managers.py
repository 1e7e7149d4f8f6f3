"""What a manager says that was cut off from its swarm: that services are gone, then nothing, then perhaps the same again."""

import asyncio
from pathlib import Path

from fastlane.clock import SystemClock
from fastlane.errors import HostDown, ServiceGone
from fastlane.executors.base import ClusterSnapshot, EngineService
from fastlane.models.execution import FailureReason
from fastlane.models.status import Status
from tests.support.fastlane import HOST, Fastlane
from tests.support.instant import InstantExecutor
from tests.support.redis import RealRedis


class Moody(InstantExecutor):
    """An executor whose services cannot be seen while ``mood`` is set."""

    def __init__(self) -> None:
        super().__init__([HOST], SystemClock())
        self.mood: type[HostDown] | type[ServiceGone] | None = None
        self.answers = 0

    async def inspect(self, host: str, service_id: str) -> EngineService:
        self.answers += 1
        if self.mood is not None:
            raise self.mood("so it says")
        return await super().inspect(host, service_id)

    async def snapshot(self) -> ClusterSnapshot:
        return await super().snapshot() if self.mood is None else ClusterSnapshot({})

    async def lasts(self, mood: type[HostDown] | type[ServiceGone], seconds: float) -> None:
        """It is so for some time, and was asked about it."""
        self.mood, self.answers = mood, 0
        await asyncio.sleep(seconds)
        assert self.answers


async def test_a_word_that_a_service_is_gone_is_not_believed_when_silence_came_between(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, gone_after=3.0, host_lost_after=60) as crew:
        crew.executor = executor = Moody()
        await crew.hire()
        job = await crew.submit("hold", "exit", "3")
        row = await crew.reaches(job, "running")
        await executor.lasts(ServiceGone, 1)
        await executor.lasts(HostDown, 3.5)
        await executor.lasts(ServiceGone, 1)
        executor.mood = None
        executor.release(row.id)
        ended = await crew.cleaned(job)
        assert (ended.status, ended.exit_code) == (Status.FAILED, 3)


async def test_a_word_that_a_service_is_gone_is_believed_when_it_holds(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, gone_after=1.0) as crew:
        crew.executor = executor = Moody()
        await crew.hire()
        job = await crew.submit("hold")
        await crew.reaches(job, "running")
        executor.mood = ServiceGone
        ended = await crew.reaches(job, "failed")
        assert ended.failure is not None
        assert ended.failure.reason is FailureReason.KILLED
        executor.mood = None
        await crew.cleaned(job)
