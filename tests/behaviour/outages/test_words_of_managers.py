"""What a manager says that was cut off from its swarm: that services are gone, then nothing, then perhaps the same again."""

import asyncio
from pathlib import Path
from typing import Any

from fastlane.errors import HostDown, ServiceGone
from fastlane.executors.port import ClusterSnapshot
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from tests.support.fastlane import Fastlane
from tests.support.instant import InstantExecutor
from tests.support.intercept import Call, intercept
from tests.support.redis import RealRedis


class Mood:
    """What an executor says of its services: ``mood`` while it is set."""

    def __init__(self, executor: InstantExecutor) -> None:
        self.mood: type[HostDown] | type[ServiceGone] | None = None
        self.answers = 0
        intercept(executor, "inspect", self._inspect)
        intercept(executor, "snapshot", self._snapshot)

    async def _inspect(self, call: Call) -> Any:
        self.answers += 1
        if self.mood is not None:
            raise self.mood("so it says")
        return await call.carry()

    async def _snapshot(self, call: Call) -> Any:
        return await call.carry() if self.mood is None else ClusterSnapshot({})

    async def lasts(self, mood: type[HostDown] | type[ServiceGone], seconds: float) -> None:
        """It is so for some time, and was asked about it."""
        self.mood, self.answers = mood, 0
        await asyncio.sleep(seconds)
        assert self.answers


async def test_a_word_that_a_service_is_gone_is_not_believed_when_silence_came_between(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, gone_after=3.0, host_lost_after=60) as crew:
        manager = Mood(crew.executor)
        await crew.hire()
        job = await crew.submit("hold", "exit", "3")
        row = await crew.reaches(job, "running")
        await manager.lasts(ServiceGone, 1)
        await manager.lasts(HostDown, 3.5)
        await manager.lasts(ServiceGone, 1)
        manager.mood = None
        crew.executor.release(row.id)
        ended = await crew.cleaned(job)
        assert (ended.status, ended.exit_code) == (Status.FAILED, 3)


async def test_a_word_that_a_service_is_gone_is_believed_when_it_holds(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, gone_after=1.0) as crew:
        manager = Mood(crew.executor)
        await crew.hire()
        job = await crew.submit("hold")
        await crew.reaches(job, "running")
        manager.mood = ServiceGone
        ended = await crew.reaches(job, "failed")
        assert ended.failure is not None
        assert ended.failure.reason is FailureReason.KILLED
        manager.mood = None
        await crew.cleaned(job)
