"""Two thousand short jobs on real processes, while Redis is killed, emptied and frozen, the store is locked, and workers die and freeze:
each runs exactly once, by the word of an engine that knows nothing of fastlane.
"""

import contextlib
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.behaviour.outages.short_jobs import ShortJobs, short_jobs
from tests.support.waiting import outlast, wait_until

pytestmark = pytest.mark.sqlite

JOBS = 400
"""Jobs that are posted around each disaster."""
LEASE = 3.0
LOCKED = 7.0
"""Seconds for which the store stays locked: longer than a write waits for it (5 s)."""
FROZEN = 30.0


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process (this one) has the store's file, and writes nothing."""
    with contextlib.closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


@contextlib.contextmanager
def in_the_midst(jobs: ShortJobs) -> Iterator[None]:
    """The block begins when some of a batch of jobs have started, and others have not; all are accepted when it has ended."""
    before = len(jobs.accepted)
    with jobs.posting(JOBS):
        wait_until(lambda: jobs.started(before)[0] >= JOBS // 8, "the first jobs of a batch to start")
        some, known = jobs.started(before)
        assert some < known or len(jobs.accepted) < before + JOBS
        yield
    wait_until(lambda: jobs.started(before)[0] > JOBS // 4, "more jobs of a batch to start")


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_two_thousand_jobs_each_run_once_through_every_disaster(tmp_path: Path) -> None:
    with short_jobs(tmp_path, workers=4, lease=f"{LEASE:g}s", renew="1s") as jobs:
        frozen, killed, *_ = jobs.fastlane.workers
        with in_the_midst(jobs):
            jobs.redis.kill()
            killed.kill()
            jobs.redis.start()
        jobs.fastlane.start("worker")
        with in_the_midst(jobs):
            jobs.redis.flush()
        with in_the_midst(jobs):
            frozen.send_signal(signal.SIGSTOP)
            outlast(1.5 * LEASE)
            frozen.send_signal(signal.SIGCONT)
        with in_the_midst(jobs), ThreadPoolExecutor() as pool, locked(tmp_path / "fastlane.db"):
            one_more = pool.submit(jobs.post_some, 1)  # on a slow machine, all others are accepted before
            outlast(LOCKED)
            wait_until(lambda: jobs.refusals, "a job to be refused")
        one_more.result()
        with in_the_midst(jobs):
            jobs.redis.pause()
            outlast(FROZEN)
            jobs.redis.go_on()
        jobs.check_all_ran_once(5 * JOBS + 1)
