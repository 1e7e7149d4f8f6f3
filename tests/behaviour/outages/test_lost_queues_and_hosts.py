"""A queue that lost everything and hosts that are away, for a while or for good: no job is lost, and none runs twice."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fastlane.errors import HostDown, QueueDown
from fastlane.models.status import Status
from fastlane.scheduler.rebuilder import BUILDER_LOST_AFTER, Rebuilder
from fastlane.storage.base import Generation
from tests.support.clock import ShiftedClock
from tests.support.defaults import ports_of
from tests.support.fastlane import HOST, Fastlane
from tests.support.instant import InstantExecutor
from tests.support.intercept import Call, intercept
from tests.support.redis import RealRedis

HOUR = 3_600_000


async def test_a_queue_that_lost_everything_is_built_anew(crew: Fastlane, shared_redis: RealRedis) -> None:
    await crew.hire()
    held = await crew.submit("hold")
    running = await crew.reaches(held, "running")
    later = await crew.submit(at=crew.clock.now() + 1500)
    await crew.queue.generation.wipe()
    assert (await crew.cleaned(later)).status is Status.DONE
    crew.executor.release(running.id)
    assert (await crew.cleaned(held)).status is Status.DONE
    assert Counter(crew.executor.starts) == {running.id: 1, (await crew.cleaned(later)).id: 1}
    await crew.idle()


async def test_a_redis_that_restarts_empty_loses_no_job(own_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, own_redis.url) as crew:
        await crew.hire()
        await crew.hire()
        held = await crew.submit("hold")
        running = await crew.reaches(held, "running")
        later = [await crew.submit(at=crew.clock.now() + 1000 + 10 * number) for number in range(20)]
        await asyncio.to_thread(own_redis.kill)
        with pytest.raises(QueueDown):
            await crew.queue.check()
        await asyncio.to_thread(own_redis.start)
        for job in later:
            assert (await crew.cleaned(job)).status is Status.DONE
        crew.executor.release(running.id)
        assert (await crew.cleaned(held)).status is Status.DONE
        assert set(Counter(crew.executor.starts).values()) == {1}


async def test_a_worker_whose_clock_is_ahead_leaves_a_rebuild_to_its_builder(crew: Fastlane) -> None:
    seen = await crew.store.generation()
    building = Generation(seen.number + 1, "run", "builder", await crew.queue.time())
    assert await crew.store.change_generation(seen, building)
    rebuilder = Rebuilder(ports_of(crew.store, crew.queue, ShiftedClock(2 * BUILDER_LOST_AFTER), pools=crew.pools, owner="ahead"))
    with pytest.raises(QueueDown, match="worker builder is rebuilding"):
        await rebuilder.ensure()


async def test_a_builder_that_died_before_the_clock_of_redis_was_set_back_is_not_waited_for(crew: Fastlane) -> None:
    """Its last sign of life lies an hour ahead."""
    seen = await crew.store.generation()
    building = Generation(seen.number + 1, "run", "builder", await crew.queue.time() + HOUR)
    assert await crew.store.change_generation(seen, building)
    job = await crew.submit()
    await crew.hire()
    assert (await crew.cleaned(job)).status is Status.DONE


@pytest.mark.parametrize("write", [2, 3], ids=["before anything may start", "amid the rest"])
async def test_a_rebuild_that_a_worker_leaves_undone_as_it_stops_is_begun_anew_at_once(crew: Fastlane, write: int) -> None:
    """The other workers do not wait until its sign of life is old, which would take longer than this test waits."""
    left, is_amid = [write], asyncio.Event()

    async def sleep(call: Call) -> Any:
        left[0] -= 1
        if left[0] == 0:
            is_amid.set()
            await asyncio.Event().wait()
        return await call.carry()

    async def is_built() -> bool:
        return (await crew.store.generation()).builder is None

    intercept(crew.store, "change_generation", sleep)
    waiting = await crew.submit()
    await crew.hire()
    await is_amid.wait()
    begun = await crew.store.generation()
    await crew.dismiss()
    await crew.hire()
    await crew.until(is_built, "the queue to be whole")
    assert (await crew.store.generation()).number == begun.number + 1
    assert (await crew.cleaned(waiting)).status is Status.DONE


async def test_a_worker_that_stops_leaves_the_rebuild_of_another_alone(crew: Fastlane) -> None:
    seen = await crew.store.generation()
    building = Generation(seen.number + 1, "run", "builder", await crew.queue.time())
    assert await crew.store.change_generation(seen, building)
    rebuilder = Rebuilder(ports_of(crew.store, crew.queue, crew.clock, pools=crew.pools, owner="another"))
    await rebuilder.leave()
    assert await crew.store.generation() == building


async def test_a_worker_whose_clock_was_set_back_looks_again_whether_the_queue_is_whole(crew: Fastlane) -> None:
    clock = ShiftedClock(0)
    rebuilder = Rebuilder(ports_of(crew.store, crew.queue, clock, pools=crew.pools, owner="set back"))
    first = await rebuilder.ensure()

    async def is_built() -> bool:
        return (await crew.store.generation()).builder is None

    await crew.until(is_built, "the queue to be whole")
    await crew.queue.generation.wipe()
    clock.ahead = -HOUR
    assert await rebuilder.ensure() != first
    await rebuilder.close()


async def test_an_entry_that_was_never_put_is_found_by_the_reconciler(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("hold")
    running = await crew.reaches(job, "running")
    await crew.dismiss()
    await crew.queue.finish({running.id: 0})
    await crew.hire()
    crew.executor.release(running.id)
    assert (await crew.cleaned(job)).status is Status.DONE


async def test_a_host_that_is_away_delays_jobs_and_they_run_when_it_is_back(crew: Fastlane) -> None:
    crew.executor.down(HOST)
    await crew.hire()
    job = await crew.submit()
    await crew.until(lambda: _waits(crew), "the job to wait")
    assert (await crew.store.execution(str(job.execution_id))).status is Status.ENQUEUED
    crew.executor.up(HOST)
    assert (await crew.cleaned(job)).status is Status.DONE


async def _waits(crew: Fastlane) -> bool:
    counts = await crew.queue.counts(["default"])
    return counts["default"].ready + counts["default"].timed == 1


def lose_at_activation(executor: InstantExecutor) -> None:
    """The host goes away in the moment of the first activation."""
    left = [1]

    async def activate(call: Call) -> Any:
        if left:
            left.clear()
            executor.down(HOST)
            raise HostDown(f"{HOST} refused the connection")
        return await call.carry()

    intercept(executor, "activate", activate)


async def test_a_host_that_goes_away_before_the_start_and_comes_back_starts_it_once(crew: Fastlane) -> None:
    lose_at_activation(crew.executor)
    await crew.hire()
    job = await crew.submit("exit", "4")
    await crew.reaches(job, "pulling")
    await crew.until(lambda: _is_down(crew), "the host to go away")
    crew.executor.up(HOST)
    ended = await crew.cleaned(job)
    assert (ended.exit_code, ended.epoch) == (4, 1)
    assert crew.executor.starts == [ended.id]


async def _is_down(crew: Fastlane) -> bool:
    return not crew.executor.hosts()[0].usable


async def test_a_host_that_stays_away_ends_what_was_placed_there_as_lost(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, host_lost_after=1.0) as crew:
        lose_at_activation(crew.executor)
        await crew.hire()
        waiting = await crew.submit("exit", "0")
        ended = await crew.reaches(waiting, "failed")
        assert ended.failure is not None
        assert ended.failure.reason == "host-lost"
        assert ended.truncated, "what its container may have written there is lost"
        assert crew.executor.starts == []
        crew.executor.up(HOST)
        await crew.cleaned(waiting)
        assert not crew.executor.world[HOST]


async def test_a_host_that_is_lost_while_a_job_runs_ends_it_as_asked_for_when_a_stop_was(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, host_lost_after=1.0) as crew:
        await crew.hire()
        lost, stopped = await crew.submit("hold"), await crew.submit("hold")
        for job in (lost, stopped):
            await crew.reaches(job, "running")
        crew.executor.down(HOST)
        await crew.services.stops.stop_job("task", stopped.job_id)
        assert (await crew.reaches(lost, "failed")).truncated
        assert (await crew.reaches(stopped, "stopped")).failure is None
