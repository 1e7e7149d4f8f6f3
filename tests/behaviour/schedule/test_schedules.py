"""Crons, retries, timeouts, expiry and priority, seen from outside: a real store, a real Redis, workers, and an executor that counts
every start."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fastlane.errors import QueueDown
from fastlane.executors.base import Image, Order
from fastlane.models import transitions
from fastlane.models.execution import Ending, Execution, Failure, FailureReason
from fastlane.models.job import job_status
from fastlane.models.placement.pool import Pool
from fastlane.models.schedule.cron import Cron
from fastlane.models.schedule.schedule import CatchUp, Overlap, Schedule, ScheduleKind
from fastlane.models.schedule.tick import Outcome, cron_key, execution_id, next_execution, tick_id
from fastlane.models.status import Status
from fastlane.queue.base import TICKS, Entry, EntryKind, Lane, Lease
from fastlane.queue.redis.queue import RedisQueue
from fastlane.scheduler.settler import Settler
from fastlane.scheduler.timer import Timer
from fastlane.services.results import Enqueued
from tests.support.fastlane import HOST, Fastlane
from tests.support.instant import InstantExecutor
from tests.support.ledger import count_executions, tick_of
from tests.support.redis import RealRedis

MINUTE = 60_000
HOUR = 60 * MINUTE


@pytest.fixture
async def crew(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    async with Fastlane(tmp_path, shared_redis.url) as crew:
        yield crew


@pytest.fixture
async def small(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    """A pool in which one runs at a time."""
    async with Fastlane(tmp_path, shared_redis.url, pools=(Pool("small", "", (HOST,), max_running=1),)) as crew:
        yield crew


def hourly(now: int, **rules: Any) -> tuple[Schedule, int]:
    """A schedule whose ticks are half an hour from now, and the last one that was due: no test meets one by chance."""
    last = now // MINUTE * MINUTE - 30 * MINUTE
    return Schedule(ScheduleKind.CRON, None, Cron(f"{datetime.fromtimestamp(last / 1000, UTC).minute} * * * *"), **rules), last


# crons


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
    await crew.until(lambda: _count(crew, job, 2), "the attempt that follows")
    await _wait_for_tick(crew, job)
    await crew.ledger(job, "started", "skipped")


async def _wait_for_tick(crew: Fastlane, job: Enqueued) -> None:
    """As ``Fastlane.move``, where an execution waits in the queue too."""
    stored = await crew.store.job(job.job_id)
    assert stored is not None
    now = crew.clock.now()
    assert await crew.store.advance(stored, replace(stored, revision=stored.revision + 1, next_tick=now), [], None)
    await crew.queue.put([Entry(job.job_id, EntryKind.JOB, TICKS, now, stored.revision + 1)])


async def _count(crew: Fastlane, job: Enqueued, count: int) -> bool:
    return await count_executions(crew.store, job.job_id) == count


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
    assert job_status(stored, None) == "expired"
    assert await crew.latest_execution(job) is None
    await crew.idle()


class Losing(RedisQueue):
    """Goes away in the moment of the puts that are named, counted from 1."""

    losses: frozenset[int] = frozenset()
    puts = 0

    async def put(self, entries: Sequence[Entry]) -> None:
        self.puts += 1
        if self.puts in self.losses:
            raise QueueDown("the connection was lost")
        await super().put(entries)


async def test_an_execution_whose_put_was_lost_is_put_when_its_job_is_looked_at_again(crew: Fastlane) -> None:
    """Two ticks are due; after each the queue goes away. Nothing is left to the reconciler."""
    boundary = (crew.clock.now() // MINUTE + 1) * MINUTE
    job = await crew.submit(schedule=Schedule(ScheduleKind.CRON, None, Cron("* * * * *")))
    await crew.move(job, boundary - 40_000)
    await crew.queue.cancel(job.job_id)
    await crew.queue.put([Entry(job.job_id, EntryKind.JOB, TICKS, 1)])
    await crew.queue.generation.set_generation("1")
    lost = Losing(crew.redis_url, crew.installation)
    lost.losses = frozenset({1, 3})
    timer = Timer(crew.store, lost, crew.clock, "w", crew.pools)
    (lease,) = await _claim(crew, Lane(TICKS, None))
    try:
        await lost.open()
        for _ in range(2):
            with pytest.raises(QueueDown):
                await timer.handle(lease, boundary + 10_000)
        await timer.handle(lease, boundary + 10_000)
    finally:
        await lost.close()
    made = await crew.attempts(job)
    assert [one.scheduled_for for one in made] == [boundary - 40_000, boundary]
    waiting = await crew.queue.counts(["default"])
    assert waiting["default"].timed + waiting["default"].ready == 2
    stored = await crew.store.job(job.job_id)
    assert stored is not None
    assert stored.next_tick == boundary + MINUTE


async def _claim(crew: Fastlane, *lanes: Lane) -> Sequence[Lease]:
    return (await crew.queue.claim("1", "w", lanes, 10, lease=60_000)).leases


# retries


class Failing(InstantExecutor):
    """The first attempts at everything end with exit code 1, the next one well."""

    failures = 2

    async def park(self, host: str, order: Order, image: Image) -> str:
        command = ("exit", "1") if order.attempt <= self.failures else ("exit", "0")
        return await super().park(host, replace(order, command=command), image)


async def test_a_job_that_fails_twice_is_done_at_the_third_attempt(crew: Fastlane) -> None:
    crew.executor = Failing([HOST], crew.clock)
    for _ in range(2):
        await crew.hire()
    job = await crew.submit(retries=5, retry_delay=100)
    await crew.reaches(job, "done")
    last = await crew.cleaned(job)
    attempts = await crew.attempts(job)
    assert [one.attempt for one in attempts] == [1, 2, 3]
    assert [one.status.value for one in attempts] == ["failed", "failed", "done"]
    assert [one.id for one in attempts] == [execution_id(job.tick_id, attempt) for attempt in (1, 2, 3)]
    assert [one.scheduled_for for one in attempts[1:]] == [int(one.finished_at or 0) + 100 for one in attempts[:2]]
    assert all(one.tick_id == job.tick_id and one.sequence == last.sequence for one in attempts)
    assert all(one.settled and one.cleaned for one in attempts)
    assert crew.executor.starts == [one.id for one in attempts]
    (tick,) = await crew.ledger(job, "started")
    assert (tick.id, tick.execution_id) == (job.tick_id, attempts[0].id)
    await crew.idle()


async def test_a_job_that_keeps_failing_ends_failed_after_its_last_retry(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("exit", "7", retries=2, retry_delay=0)
    await crew.until(lambda: _count(crew, job, 3), "the third attempt")
    ended = await crew.cleaned(job)
    assert (ended.attempt, ended.status, ended.exit_code) == (3, Status.FAILED, 7)
    await crew.idle()
    assert len(crew.executor.starts) == 3


async def test_each_tick_of_a_cron_has_its_own_count_of_retries(crew: Fastlane) -> None:
    await crew.hire()
    schedule, _ = hourly(crew.clock.now())
    job = await crew.submit("exit", "1", schedule=schedule, retries=1, retry_delay=0)
    for count in (1, 2):
        await crew.move(job, crew.clock.now())
        await crew.until(lambda count=count: _count(crew, job, 2 * count), "the tick's second attempt")
        await crew.cleaned(job)
    assert [one.attempt for one in await crew.attempts(job)] == [1, 2, 1, 2]


async def test_a_retry_waits_for_its_back_off(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("exit", "1", retries=1)
    await crew.until(lambda: _count(crew, job, 2), "the attempt that follows")
    first, second = await crew.attempts(job)
    assert 1_000 <= second.scheduled_for - int(first.finished_at or 0) <= 1_200
    assert second.status is Status.ENQUEUED
    ended = await crew.cleaned(job)
    assert ended.id == second.id
    assert int(ended.started_at or 0) >= second.scheduled_for


async def test_a_stop_between_an_attempt_and_its_retry_ends_it_there(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("exit", "1", retries=3, retry_delay=HOUR)
    await crew.until(lambda: _count(crew, job, 2), "the attempt that follows")
    assert (await crew.services.stops.stop_job("task", job.job_id)).status == "stopped"
    ended = await crew.cleaned(job)
    assert (ended.attempt, ended.status) == (2, Status.STOPPED)
    await crew.idle()
    assert len(crew.executor.starts) == 1
    await crew.ledger(job, "started")


async def failed(crew: Fastlane, job: Enqueued) -> Execution:
    """The job's first execution ran and failed, and its worker died before it could settle it."""
    execution = await crew.latest_execution(job)
    assert execution is not None
    now = crew.clock.now()
    for step in (
        lambda one: transitions.claim(one, host=HOST, pool="default", now=now),
        lambda one: transitions.bind(one, service_id="gone", swarm_id="w", image_digest=None, now=now),
        lambda one: transitions.end(one, Ending(Status.FAILED, now, 1, Failure(FailureReason.EXIT, "1"))),
    ):
        execution = await crew.store.change(step(execution))
        assert execution is not None
    return execution


def settler(crew: Fastlane) -> Settler:
    return Settler(crew.store, crew.queue, crew.executor, crew.clock, crew.pools)


async def test_a_stop_after_the_failure_and_before_the_retry_is_made_leaves_none(crew: Fastlane) -> None:
    job = await crew.submit(retries=1, retry_delay=0)
    execution = await failed(crew, job)
    await crew.services.stops.stop_job("task", job.job_id)
    assert (await settler(crew).settle(execution)).settled
    await crew.hire()
    await crew.idle()
    assert [one.status.value for one in await crew.attempts(job)] == ["failed"]
    assert crew.executor.starts == []


async def test_a_worker_that_died_after_it_made_the_retry_makes_no_second_one(crew: Fastlane) -> None:
    """The retry is in the store, the failed attempt is not settled, and the queue knows of neither: the reconciler finds both."""
    job = await crew.submit(retries=1, retry_delay=0)
    execution = await failed(crew, job)
    assert await crew.store.insert(next_execution(execution, due=int(execution.finished_at or 0), now=crew.clock.now()))
    await crew.queue.finish({execution.id: 0})
    await crew.hire()
    ended = await crew.cleaned(job)

    async def settled() -> bool:
        first = await crew.store.execution(execution.id)
        return first is not None and first.settled

    await crew.until(settled, "the failed attempt to be settled")
    await crew.idle()
    assert (ended.id, ended.attempt, ended.status) == (execution_id(job.tick_id, 2), 2, Status.DONE)
    assert crew.executor.starts == [ended.id]
    assert await _count(crew, job, 2)


async def test_settling_again_after_the_retry_has_ended_starts_nothing(crew: Fastlane) -> None:
    job = await crew.submit(retries=1, retry_delay=0)
    execution = await failed(crew, job)
    await settler(crew).settle(execution)
    await crew.hire()
    ended = await crew.cleaned(job)
    assert ended.attempt == 2
    await settler(crew).settle(execution)
    await crew.idle()
    assert crew.executor.starts == [ended.id]
    assert await crew.attempts(job) == [await crew.store.execution(execution.id), ended]


async def test_many_who_settle_at_once_make_one_retry(crew: Fastlane) -> None:
    for _ in range(3):
        await crew.hire()
    jobs = [await crew.submit("exit", "1", retries=2, retry_delay=0) for _ in range(20)]
    for job in jobs:
        await crew.until(lambda job=job: _count(crew, job, 3), "the third attempt")
        await crew.cleaned(job)
    await crew.idle()
    assert len(crew.executor.starts) == len(set(crew.executor.starts)) == 60


async def test_no_retry_is_made_that_could_only_expire(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("exit", "1", retries=3, retry_delay=HOUR, expires_in=10_000)
    ended = await crew.cleaned(job)
    assert (ended.attempt, ended.status) == (1, Status.FAILED)
    assert await _count(crew, job, 1)
    await crew.idle()


# timeout, expiry, priority


async def test_a_job_that_runs_longer_than_its_timeout_is_stopped_and_not_retried(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("out", "begun", "hold", timeout=300, retries=2, retry_delay=0)
    ended = await crew.cleaned(job)
    assert (ended.status, ended.exit_code, ended.failure) == (Status.TIMEDOUT, 143, None)
    assert int(ended.finished_at or 0) - int(ended.started_at or 0) >= 300
    assert await _count(crew, job, 1)
    await crew.idle()


async def test_what_waits_in_a_full_pool_until_its_time_is_over_never_starts(small: Fastlane) -> None:
    await small.hire()
    holder = await small.submit("hold")
    running = await small.reaches(holder, "running")
    late = await small.submit(expires_in=200)
    early = await small.submit(expires_in=600_000)
    waiting = await small.latest_execution(late)
    assert waiting is not None
    assert waiting.expires_at == waiting.scheduled_for + 200

    async def over() -> bool:
        return small.clock.now() > int(waiting.expires_at or 0)

    await small.until(over, "its time to be over")
    small.executor.release(running.id)
    ended = await small.cleaned(late)
    assert (ended.status, ended.started_at, ended.host, ended.service_id) == (Status.EXPIRED, None, None, None)
    assert (await small.cleaned(early)).status is Status.DONE
    assert ended.id not in small.executor.starts
    tick = await tick_of(small.store, late.job_id, late.tick_id)
    assert tick is not None
    assert (tick.outcome, tick.execution_id) == (Outcome.EXPIRED, ended.id)
    assert tick.reason
    await small.idle()


async def test_a_job_that_starts_in_time_runs_on_after_its_time_to_start(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("hold", expires_in=1_500)
    running = await crew.reaches(job, "running")

    async def over() -> bool:
        return crew.clock.now() > int(running.expires_at or 0) + 100

    await crew.until(over, "its time to start to be over")
    crew.executor.release(running.id)
    assert (await crew.cleaned(job)).status is Status.DONE


async def test_a_host_that_is_away_until_the_time_is_over_starts_nothing_when_it_is_back(crew: Fastlane) -> None:
    crew.executor.down(HOST)
    await crew.hire()
    job = await crew.submit(expires_in=200)
    execution = await crew.latest_execution(job)
    assert execution is not None

    async def over() -> bool:
        return crew.clock.now() > int(execution.expires_at or 0)

    await crew.until(over, "its time to be over")
    crew.executor.up(HOST)
    assert (await crew.cleaned(job)).status is Status.EXPIRED
    assert crew.executor.starts == []


async def test_what_waits_in_a_full_pool_starts_by_priority(small: Fastlane) -> None:
    await small.hire()
    holder = await small.submit("hold")
    running = await small.reaches(holder, "running")
    jobs = {priority: await small.submit(priority=priority) for priority in (-100, 0, 5, -1, 100)}
    small.executor.release(running.id)
    for job in jobs.values():
        await small.cleaned(job)
    ids = {str(job.execution_id): priority for priority, job in jobs.items()}
    assert [ids[id] for id in small.executor.starts[1:]] == [100, 5, 0, -1, -100]


async def test_among_equals_the_one_that_was_due_first_starts_first(small: Fastlane) -> None:
    await small.hire()
    holder = await small.submit("hold")
    running = await small.reaches(holder, "running")
    jobs = [await small.submit(priority=7) for _ in range(4)]
    small.executor.release(running.id)
    for job in jobs:
        await small.cleaned(job)
    assert small.executor.starts[1:] == [job.execution_id for job in jobs]
