"""The manager through which a job was placed is away: another one of the same swarm shows its end, and takes its service away."""

from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from pathlib import Path

import pytest

from fastlane.clock import SystemClock
from fastlane.executors.port import ClusterSnapshot
from fastlane.models.host import HostView
from fastlane.models.pool import Pool
from fastlane.models.status import Status
from fastlane.scheduler import watcher
from tests.support.fastlane import Fastlane
from tests.support.instant import InstantExecutor
from tests.support.redis import RealRedis

FIRST, SECOND = "unix:///a", "unix:///b"


class Managers(InstantExecutor):
    """Two managers of one swarm."""

    def __init__(self) -> None:
        super().__init__([FIRST, SECOND], SystemClock())
        self.world[SECOND] = self.world[FIRST]
        self.looks = 0

    async def snapshot(self, watched: Collection[str] | None = None) -> ClusterSnapshot:
        self.looks += 1
        return await super().snapshot(watched)

    def _view(self, name: str) -> HostView:
        return replace(super()._view(name), swarm_id="one")


@pytest.fixture
async def crew(shared_redis: RealRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fastlane]:
    monkeypatch.setattr(watcher, "RECHECK", 600.0)
    async with Fastlane(tmp_path, shared_redis.url, pools=(Pool("default", "", (FIRST, SECOND)),)) as crew:
        crew.executor = Managers()
        await crew.hire()
        yield crew


async def test_an_end_is_seen_and_cleaned_up_after_through_another_manager(crew: Fastlane) -> None:
    executor = crew.executor
    assert isinstance(executor, Managers)

    job = await crew.submit("out", "one", "hold", "out", "two", "exit", "3")
    row = await crew.reaches(job, "running")
    assert row.host == FIRST
    executor.down(FIRST)
    before = executor.looks

    async def looked() -> bool:
        return executor.looks > before + 3

    await crew.until(looked, "looks without the first manager")
    executor.release(row.id)
    ended = await crew.cleaned(job)
    assert (ended.status, ended.exit_code, ended.host, ended.truncated) == (Status.FAILED, 3, FIRST, False)
    assert await crew.stored_log(ended) == b"onetwo"
    assert crew.executor.starts == [row.id]
    assert not crew.executor.world[FIRST]
    await crew.idle()
