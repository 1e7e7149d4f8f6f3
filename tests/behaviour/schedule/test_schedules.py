"""Crons and jobs for a moment, seen from outside: a real store, a real Redis, workers, and an executor that counts every start."""

from collections.abc import Sequence
from typing import Any

import pytest

from fastlane.errors import QueueDown
from fastlane.models.cron import Cron
from fastlane.models.job import job_status
from fastlane.models.schedule import CatchUp, Overlap, Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.tick import cron_key, tick_id
from fastlane.queue.port import TICKS, Entry, EntryKind, Lane, Lease
from fastlane.scheduler.timer import Timer
from tests.support.defaults import ports_of
from tests.support.fastlane import HOST, Fastlane
from tests.support.intercept import Call, Intercepted
from tests.support.scenarios import come_due, has_executions, hourly

MINUTE = 60_000
HOUR = 60 * MINUTE


async def test_a_cron_runs_at_each_tick_and_stands_at_the_next(crew: Fastlane) -> None:
    await crew.hire()
    schedule, last = hourly(crew.clock.now())
    job = await crew.submit("exit", "0", schedule=schedule)
    assert job.execution_id is None
    stored = await crew.store.job(job.job_id)
    assert stored is not None
    assert stored.next_tick == last + HOUR
    assert job.tick_id == tick_id(stored.incarnation, cron_key(last + HOUR))
    for count in (1, 2, 3):
        due = crew.clock.now() + 200
        await crew.move(job, due)
        ticks = await crew.ledger(job, *["started"] * count)
        ended = await crew.cleaned(job)
        assert (ended.status, ended.scheduled_for, ended.attempt) == (Status.DONE, due, 1)
        assert ended.created_at >= due
        assert (ticks[-1].due, ticks[-1].key, ticks[-1].execution_id) == (due, cron_key(due), ended.id)
        stored = await crew.store.job(job.job_id)
        assert stored is not None
        assert (stored.next_tick, stored.last_tick) == (last + HOUR, due)
    assert crew.executor.starts == [one.id for one in await crew.attempts(job)]
    assert len(crew.executor.starts) == 3


async def test_a_job_of_every_minute_runs_each_minute_that_comes_due_once(crew: Fastlane) -> None:
    """Three workers, and a minute whose tick is long known: it is fired by one of them."""
    for _ in range(3):
        await crew.hire()
    job = await crew.submit(schedule=Schedule(ScheduleKind.CRON, None, Cron("* * * * *")))
    stored = await crew.store.job(job.job_id)
    assert stored is not None
    due = int(stored.next_tick or 0) - MINUTE
    await crew.move(job, due)
    await crew.reaches(job, "done")
    executions = [one for one in await crew.attempts(job) if one.scheduled_for == due]
    assert len(executions) == 1
    assert crew.executor.starts.count(executions[0].id) == 1
    after = await crew.store.job(job.job_id)
    assert after is not None
    assert after.next_tick == int(after.last_tick or 0) + MINUTE


async def test_a_tick_is_skipped_while_the_one_before_holds_and_runs_after_it(crew: Fastlane) -> None:
    await crew.hire()
    schedule, _ = hourly(crew.clock.now(), overlap=Overlap.SKIP)
    job = await crew.submit("hold", schedule=schedule)
    await crew.move(job, crew.clock.now())
    first = await crew.reaches(job, "running")
    await crew.move(job, crew.clock.now())
    started, skipped = await crew.ledger(job, "started", "skipped")
    assert (started.execution_id, skipped.execution_id) == (first.id, None)
    assert "overlap: skip" in str(skipped.reason)
    crew.executor.release(first.id)
    await crew.cleaned(job)
    await crew.move(job, crew.clock.now())
    third = (await crew.ledger(job, "started", "skipped", "started"))[-1]
    second = await crew.reaches(job, "running")
    assert second.id == third.execution_id
    assert crew.executor.starts == [first.id, second.id]


async def test_without_a_rule_for_overlap_two_ticks_run_side_by_side(crew: Fastlane) -> None:
    await crew.hire()
    schedule, _ = hourly(crew.clock.now())
    job = await crew.submit("hold", schedule=schedule)
    for count in (1, 2):
        await crew.move(job, crew.clock.now())
        await crew.ledger(job, *["started"] * count)
        await crew.reaches(job, "running")
    assert len([run for run in crew.executor.world[HOST].values() if run.running]) == 2


async def test_a_tick_is_skipped_while_a_failed_one_waits_for_its_retry(crew: Fastlane) -> None:
    await crew.hire()
    schedule, _ = hourly(crew.clock.now(), overlap=Overlap.SKIP)
    job = await crew.submit("exit", "1", schedule=schedule, retries=1, retry_delay=HOUR)
    await crew.move(job, crew.clock.now())
    await crew.until(lambda: has_executions(crew, job, 2), "the attempt that follows")
    await come_due(crew, job)
    await crew.ledger(job, "started", "skipped")


@pytest.mark.parametrize(("catch_up", "outcomes", "missed"), [(CatchUp.LATEST, ("missed", "started"), 2), (CatchUp.NONE, ("missed",), 3)])
async def test_after_downtime_the_latest_missed_tick_runs_or_none(
    crew: Fastlane, catch_up: CatchUp, outcomes: Sequence[str], missed: int
) -> None:
    schedule, last = hourly(crew.clock.now(), catch_up=catch_up)
    job = await crew.submit(schedule=schedule)
    await crew.move(job, last - 2 * HOUR)
    await crew.hire()
    rows = await crew.ledger(job, *outcomes)
    assert (rows[0].due, rows[0].until, rows[0].count) == (last - 2 * HOUR, last - (3 - missed) * HOUR, missed)
    if catch_up is CatchUp.LATEST:
        ended = await crew.cleaned(job)
        assert (ended.scheduled_for, ended.status) == (last, Status.DONE)
        assert rows[1].execution_id == ended.id
    stored = await crew.store.job(job.job_id)
    assert stored is not None
    assert (stored.next_tick, stored.last_tick) == (last + HOUR, last)
    await crew.ledger(job, *outcomes)
    assert len(crew.executor.starts) == len(outcomes) - 1


async def test_a_stopped_cron_fires_no_more_and_is_stopped(crew: Fastlane) -> None:
    await crew.hire()
    schedule, _ = hourly(crew.clock.now())
    job = await crew.submit(schedule=schedule)
    await crew.move(job, crew.clock.now())
    await crew.cleaned(job)
    assert (await crew.services.stops.stop_job("task", job.job_id)).status == "stopped"
    await crew.idle()
    stored = await crew.store.job(job.job_id)
    assert stored is not None
    assert stored.next_tick is None
    await crew.ledger(job, "started")


async def test_a_cron_ends_with_its_expiration(crew: Fastlane) -> None:
    await crew.hire()
    schedule, _ = hourly(crew.clock.now())
    job = await crew.submit(schedule=schedule, expiration=crew.clock.now() + 1)
    await crew.move(job, crew.clock.now() + 2)
    await crew.ledger(job, "expired")
    await crew.idle()
    assert crew.executor.starts == []


async def test_a_job_for_a_moment_that_comes_up_too_late_is_expired(crew: Fastlane) -> None:
    job = await crew.submit(at=crew.clock.now() - 10_000, expires_in=5_000)
    await crew.hire()
    (tick,) = await crew.ledger(job, "expired")
    assert tick.id == job.tick_id
    stored = await crew.store.job(job.job_id)
    assert stored is not None
    assert job_status(stored, None, crew.clock.now()) == "expired"
    assert await crew.latest_execution(job) is None
    await crew.idle()


async def test_an_execution_whose_put_was_lost_is_put_when_its_job_is_looked_at_again(crew: Fastlane) -> None:
    """Two ticks are due; after each the queue goes away. Nothing is left to the reconciler."""
    boundary = (crew.clock.now() // MINUTE + 1) * MINUTE
    job = await crew.submit(schedule=Schedule(ScheduleKind.CRON, None, Cron("* * * * *")))
    await crew.move(job, boundary - 40_000)
    await crew.queue.cancel(job.job_id)
    await crew.queue.put([Entry(job.job_id, EntryKind.JOB, TICKS, 1)])
    await crew.queue.generation.set_generation("1")
    queue, puts = Intercepted(crew.queue), list[Call]()

    async def lose_the_first_and_the_third(call: Call) -> Any:
        puts.append(call)
        if len(puts) in {1, 3}:
            raise QueueDown("the connection was lost")
        return await call.carry()

    queue.around("put", lose_the_first_and_the_third)
    timer = Timer(ports_of(crew.store, queue, crew.clock, pools=crew.pools, owner="w"))
    (lease,) = await _claim(crew, Lane(TICKS, None))
    for _ in range(2):
        with pytest.raises(QueueDown):
            await timer.handle(lease, boundary + 10_000)
    await timer.handle(lease, boundary + 10_000)
    made = await crew.attempts(job)
    assert [one.scheduled_for for one in made] == [boundary - 40_000, boundary]
    waiting = await crew.queue.counts(["default"])
    assert waiting["default"].timed + waiting["default"].ready == 2
    stored = await crew.store.job(job.job_id)
    assert stored is not None
    assert stored.next_tick == boundary + MINUTE


async def _claim(crew: Fastlane, *lanes: Lane) -> Sequence[Lease]:
    return (await crew.queue.claim("1", "w", lanes, 10, lease=60_000)).leases
