"""A node whose clock differs from the worker's: an engine whose clock is right, and a worker that goes by a Redis whose clock is not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastlane.models.job import Execution, Spec
from fastlane.models.pool import Pool
from fastlane.models.schedule import Schedule
from tests.support.clock import ShiftedClock
from tests.support.defaults import default_executor
from tests.support.engine import IMAGE, open_probed, remove_all
from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis

AHEAD = 1_900
SHORT = 1_500
TOLERANCE = 500


@asynccontextmanager
async def crew_with(ahead: int, folder: Path, shared_redis: RealRedis, engine: str) -> AsyncIterator[Fastlane]:
    """A crew whose queue, and so its worker, is ahead of the engine by so many milliseconds."""
    clock = ShiftedClock(ahead)
    async with Fastlane(folder, shared_redis.url, pools=(Pool("default", "", (engine,)),), queue_time=clock.now) as crew:
        crew.clock = clock
        crew.executor = executor = default_executor([engine], crew.installation, clock=crew.clock, probe_every=0.2)
        await open_probed(executor)
        try:
            await crew.hire()
            yield crew
        finally:
            await crew.dismiss()
            await executor.close()
            await asyncio.to_thread(remove_all, engine, crew.installation)


async def run(crew: Fastlane, *command: str, timeout: int) -> Execution:
    job = await crew.services.submissions.enqueue("task", Spec(IMAGE, command, timeout=timeout), Schedule())
    return await crew.reaches(job, "done", "failed", "timedout")


async def test_a_node_that_is_behind_ends_nothing_before_its_timeout(engine: str, shared_redis: RealRedis, tmp_path: Path) -> None:
    async with crew_with(AHEAD, tmp_path, shared_redis, engine) as crew:
        await crew.until(lambda: skew_shown(crew, -AHEAD), "the node's skew to be shown")
        ended = await run(crew, "sleep", "0.5", timeout=SHORT)
        assert ended.status.value == "done"
        check_order(crew, ended)


async def test_a_node_that_is_ahead_ends_what_runs_at_its_timeout(engine: str, shared_redis: RealRedis, tmp_path: Path) -> None:
    async with crew_with(-AHEAD, tmp_path, shared_redis, engine) as crew:
        await crew.until(lambda: skew_shown(crew, AHEAD), "the node's skew to be shown")
        ended = await run(crew, "sleep", "600", timeout=SHORT)
        assert ended.status.value == "timedout"
        check_order(crew, ended)


def check_order(crew: Fastlane, ended: Execution) -> None:
    """All times are of one clock."""
    times = [ended.placed_at, ended.bound_at, ended.started_at, ended.finished_at, crew.clock.now()]
    assert times == sorted(moment or 0 for moment in times), times


async def skew_shown(crew: Fastlane, skew: int) -> bool:
    (host,) = (await crew.get("/status")).json["hosts"]
    return host["clockSkewMs"] is not None and abs(host["clockSkewMs"] - skew) < TOLERANCE
