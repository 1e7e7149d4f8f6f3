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
from tests.support.company import Company, company

JOBS = 100
FACTOR = 5
"""A machine may be busy with something else in one of the two cases. An answer that waited for a worker would take a thousand times as
long."""


@contextlib.contextmanager
def gone(fastlane: Company) -> Iterator[None]:
    """No worker is there."""
    fastlane.dismiss(*fastlane.workers)
    yield
    for _ in range(2):
        fastlane.hire()


@contextlib.contextmanager
def hung(fastlane: Company) -> Iterator[None]:
    """Every worker is stopped, with its connections and its leases."""
    for worker in fastlane.workers:
        worker.send_signal(signal.SIGSTOP)
    yield
    for worker in fastlane.workers:
        worker.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def cold(fastlane: Company) -> Iterator[None]:
    """The queue is of another generation than the workers': somebody has emptied it and is building it anew, and does not come on."""

    async def begin(store: SqliteStore, queue: RedisQueue) -> Generation:
        seen = await store.generation()
        builder = Generation(seen.number + 1, seen.run_id, "somebody", seen.since + 3_600_000)
        assert await store.change_generation(seen, builder)
        await queue.generation.wipe(generation=f"{builder.number}, in the making by somebody")
        return builder

    async def die(store: SqliteStore, queue: RedisQueue) -> bool:
        return await store.change_generation(builder, replace(builder, since=0))

    builder = fastlane.look(begin)
    yield
    assert fastlane.look(die)


@pytest.mark.parametrize("case", [gone, hung, cold])
def test_jobs_are_accepted_as_fast_while_workers_are_not_there_and_run_when_they_are(
    case: Callable[[Company], AbstractContextManager[None]], tmp_path: Path
) -> None:
    with company(tmp_path, workers=2, LEASE="3s", RENEW="1s") as fastlane:
        fastlane.post_some(JOBS // 4)  # code and caches are warm after them
        healthy = statistics.median(fastlane.post_some(JOBS))
        before = len(fastlane.accepted)
        # No worker writes any more: one that is stopped amid a commit keeps SQLite's lock, and all others out.
        fastlane.check_all_ran_once(before)
        with case(fastlane):
            alone = statistics.median(fastlane.post_some(JOBS))
            assert fastlane.started(before) == (0, JOBS)
        assert fastlane.refusals == 0
        assert alone < FACTOR * healthy
        fastlane.check_all_ran_once(before + JOBS)
