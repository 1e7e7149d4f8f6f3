"""A log that the engine cannot give: waited for, and then the job ends as its command did, with ``truncated``. A real store and Redis."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path

import pytest

from fastlane.clock import SystemClock
from fastlane.errors import FastlaneError, HostDown, LogLost
from fastlane.models.log import Mark, Portion
from fastlane.models.status import Status
from tests.support.fastlane import HOST, Fastlane
from tests.support.instant import InstantExecutor
from tests.support.redis import RealRedis


class Mute(InstantExecutor):
    """An engine whose logs break off with ``fault`` after the first portion, or before it; ``left`` times (forever without)."""

    def __init__(self, fault: FastlaneError, *, after: int, left: int = 1 << 30) -> None:
        super().__init__([HOST], SystemClock())
        self.fault, self.after, self.left = fault, after, left
        self.readings = 0

    async def logs(self, host: str, task_id: str, marks: Mapping[int, Mark], *, follow: bool) -> AsyncIterator[Portion]:
        self.readings += 1
        given = 0
        async with aclosing(super().logs(host, task_id, marks, follow=follow)) as portions:
            async for portion in portions:
                if given == self.after and self.left:
                    break
                given += 1
                yield portion
        if self.left:
            self.left -= 1
            raise self.fault


FAULTS = pytest.mark.parametrize("fault", [HostDown("its node is away"), LogLost("it is gone")], ids=["may pass", "gone"])


@FAULTS
async def test_a_log_that_stays_away_ends_truncated_with_what_came_and_the_real_exit_code(
    shared_redis: RealRedis, tmp_path: Path, fault: FastlaneError
) -> None:
    async with Fastlane(tmp_path, shared_redis.url, gone_after=2.0, host_lost_after=3.0) as crew:
        crew.executor = executor = Mute(fault, after=1)
        await crew.hire()
        job = await crew.submit("out", "first", "err", "second", "exit", "3")
        ended = await crew.cleaned(job)
        assert (ended.status, ended.exit_code, ended.truncated) == (Status.FAILED, 3, True)
        assert await crew.stored_log(ended) in (b"first", b"firstsecond")
        assert 2 <= executor.readings < 20
        await crew.idle()


@FAULTS
async def test_a_log_that_comes_back_in_time_is_whole(shared_redis: RealRedis, tmp_path: Path, fault: FastlaneError) -> None:
    async with Fastlane(tmp_path, shared_redis.url) as crew:
        crew.executor = Mute(fault, after=0, left=1)
        await crew.hire()
        job = await crew.submit("out", "first", "err", "second", "exit", "3")
        ended = await crew.cleaned(job)
        assert (ended.status, ended.exit_code, ended.truncated) == (Status.FAILED, 3, False)
        assert await crew.stored_log(ended) == b"firstsecond"
