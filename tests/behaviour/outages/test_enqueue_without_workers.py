"""An API that enqueues answers as fast while workers are gone, hung or cold, and all that it took in runs once they are back."""

import contextlib
import signal
import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from fastlane.queue.redis.queue import RedisQueue
from fastlane.storage.base import Generation
from fastlane.storage.sqlite.store import SqliteStore
from tests.behaviour.outages.short_jobs import ShortJobs, short_jobs

pytestmark = pytest.mark.sqlite

JOBS = 100
FACTOR = 5
"""A machine may be busy with something else in one of the two cases. An answer that waited for a worker would take a thousand times as
long."""


@contextlib.contextmanager
def gone(jobs: ShortJobs) -> Iterator[None]:
    """No worker is there."""
    jobs.fastlane.terminate(*jobs.fastlane.workers)
    yield
    for _ in range(2):
        jobs.fastlane.start("worker")


@contextlib.contextmanager
def hung(jobs: ShortJobs) -> Iterator[None]:
    """Every worker is stopped, with its connections and its leases."""
    for worker in jobs.fastlane.workers:
        worker.send_signal(signal.SIGSTOP)
    yield
    for worker in jobs.fastlane.workers:
        worker.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def cold(jobs: ShortJobs) -> Iterator[None]:
    """The queue is of another generation than the workers': somebody has emptied it and is building it anew, and does not come on."""

    async def begin(store: SqliteStore, queue: RedisQueue) -> Generation:
        seen = await store.generation()
        builder = Generation(seen.number + 1, seen.run_id, "somebody", await queue.time())  # it counts as alive for half a minute
        assert await store.change_generation(seen, builder)
        await queue.generation.wipe(generation=f"{builder.number}, in the making by somebody")
        return builder

    async def die(store: SqliteStore, queue: RedisQueue) -> bool:
        return await store.change_generation(builder, replace(builder, since=0))

    builder = jobs.look(begin)
    yield
    assert jobs.look(die)


@pytest.mark.thorough
@pytest.mark.parametrize("case", [gone, hung, cold])
def test_jobs_are_accepted_as_fast_while_workers_are_not_there_and_run_when_they_are(
    case: Callable[[ShortJobs], AbstractContextManager[None]], tmp_path: Path
) -> None:
    with short_jobs(tmp_path, workers=2, lease="3s", renew="1s") as jobs:
        jobs.post_some(JOBS // 4)  # code and caches are warm after them
        healthy = statistics.median(jobs.post_some(JOBS))
        before = len(jobs.accepted)
        # No worker writes any more: one that is stopped amid a commit keeps SQLite's lock, and all others out.
        jobs.check_all_ran_once(before)
        with case(jobs):
            alone = statistics.median(jobs.post_some(JOBS))
            assert jobs.started(before) == (0, JOBS)
        assert jobs.refusals == 0
        assert alone < FACTOR * healthy
        jobs.check_all_ran_once(before + JOBS)
