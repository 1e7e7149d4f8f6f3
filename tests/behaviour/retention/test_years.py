"""A cron of every minute for a year, in virtual time: the real store stays as small as its rules say, however long it goes on."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from fastlane.models.cron import Cron
from fastlane.models.job import Execution, Job
from fastlane.models.job_change import fire
from fastlane.models.log import STDOUT, Head, Piece
from fastlane.models.retention import Retention
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.tick import Tick
from fastlane.scheduler.pruner import Pruner, RetentionRules
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.factories import chunk, make_spec, new_job
from tests.support.ledger import count_executions, count_ticks
from tests.support.virtual_time import POOLS, SkippingClock
from tests.support.waiting import LONG_PATIENCE

DAY, MINUTES = 86_400_000, 1_440
START = 1_700_006_400_000  # midnight
KEPT, LOGGED = 500, 10
"""How many executions stay; every tenth writes something."""
RULES = RetentionRules(Retention(executions=7 * DAY, max_executions=KEPT, logs=DAY // 8))
TO_SPARE = 1.3
"""Free pages that stay in the file, and a day of history that waits for its removal."""


async def day(store: SqliteStore, job: Job) -> Job:
    """Fires all ticks of a day by the rules of a worker, and writes what comes of them; the job after it."""
    seen, ticks, ended = job, list[Tick](), list[Execution]()
    for _ in range(MINUTES):
        assert job.next_tick is not None
        change = fire(job, now=job.next_tick)
        assert change.execution is not None
        job, ticks = change.job, [*ticks, *change.ticks]
        end = change.execution.scheduled_for + 1_000
        ended.append(replace(change.execution, status=Status.DONE, finished_at=end, settled=True, cleaned=True))
    assert await store.advance(seen, job, ticks, None)
    assert all(await asyncio.gather(*(store.insert(execution) for execution in ended)))
    logs = [chunk(execution.id, Head(), [Piece(STDOUT, 1, b"a line of its log\n" * 50)]) for execution in ended[::LOGGED]]
    assert all(await asyncio.gather(*(store.append(log) for log in logs)))
    return job


@pytest.mark.sqlite
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "days",
    [pytest.param(10, marks=pytest.mark.thorough), pytest.param(365, marks=[pytest.mark.thorough, pytest.mark.repeated])],
    ids=["days", "a year"],
)
async def test_a_cron_of_every_minute_stays_small(tmp_path: Path, days: int) -> None:
    clock, store = SkippingClock(START), SqliteStore(tmp_path / "store.db", busy_timeout=LONG_PATIENCE)
    await store.open()
    schedule = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))
    job = replace(new_job("t", at=START + 60_000, now=START, sequence=0, spec=make_spec()), schedule=schedule)
    await store.create(job, None, None)
    pruner, sizes = Pruner(store, clock, POOLS, RULES), list[int]()
    for number in range(1, days + 1):
        job = await day(store, job)
        clock.set(START + number * DAY + 1)
        await pruner.prune()
        current = await store.job(job.id)
        assert current is not None
        job = current
        assert (await count_executions(store, job.id), await count_ticks(store, job.id)) == (KEPT, KEPT)
        with_log = [(await store.log_head(row.id)).offset > 0 for row in await store.executions_of(job.id, KEPT)]
        assert sum(with_log) in range(MINUTES // 8 // LOGGED - 1, MINUTES // 8 // LOGGED + 2)
        sizes.append((tmp_path / "store.db").stat().st_size)
    counts = await store.counts()
    assert (counts.jobs, counts.executions[Status.DONE], job.sequence) == (1, KEPT, days * MINUTES)
    await store.close()
    assert max(sizes) < TO_SPARE * max(sizes[:5])
