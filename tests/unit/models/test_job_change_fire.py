"""What a due job comes to: the rows of its ledger, its execution, and the job after it, by name and number."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from fastlane.models.access import Requester
from fastlane.models.cron import Cron
from fastlane.models.job import Execution, Failure, Job, Spec, is_under_way
from fastlane.models.job_change import JobChange, fire
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import CatchUp, Overlap, Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, Tick, cron_key, execution_id, make_tick, once_key, tick_id
from tests.support.factories import make_execution, make_job, make_spec

MINUTE = 60_000
HOUR = 60 * MINUTE
TEN = 1_700_000_000_000 // HOUR * HOUR + 10 * HOUR
"""A full hour."""

INCARNATION = "96812ec5-4574-46da-9474-f901b51d49ec"
RUNNING = make_execution(status=Status.RUNNING)
STARTING = {Outcome.STARTED, Outcome.QUEUED, Outcome.REPLACED}


def a_job(cron: str | None, next_tick: int | None, spec: Spec | None = None, **rules: Any) -> Job:
    schedule = Schedule(ScheduleKind.AT, next_tick) if cron is None else Schedule(ScheduleKind.CRON, None, Cron(cron), **rules)
    numbers = {"revision": 3, "schedule_revision": 2, "sequence": 7, "next_tick": next_tick}
    return make_job(spec=spec or make_spec(), schedule=schedule, **numbers)


def fired(job: Job, now: int, *, others: Sequence[Execution] = ()) -> JobChange:
    """The firing, whose rows and execution must belong together and to the job."""
    firing = fire(job, others=others, now=now)
    assert firing.job == replace(job, sequence=8, next_tick=firing.job.next_tick, last_tick=firing.job.last_tick)
    for tick in firing.ticks:
        assert (tick.job_id, tick.created_at, tick.id) == ("j", now, tick_id(INCARNATION, tick.key))
    started = [tick.execution_id for tick in firing.ticks if tick.outcome in STARTING]
    assert started == ([] if firing.execution is None else [firing.execution.id])
    assert all(tick.execution_id is None for tick in firing.ticks if tick.outcome not in STARTING)
    return firing


def row(tick: Tick) -> tuple[Outcome, str, int, int | None, int]:
    return tick.outcome, tick.key, tick.due, tick.until, tick.count


@pytest.mark.parametrize("late", [0, 1, 250, MINUTE])
def test_a_cron_in_time_makes_its_tick_and_execution_and_stands_at_its_next_one(late: int) -> None:
    firing = fired(a_job("0 * * * *", TEN), TEN + late)
    (tick,) = firing.ticks
    assert row(tick) == (Outcome.STARTED, f"c:{TEN}", TEN, None, 1)
    assert tick.reason is None
    assert (firing.job.next_tick, firing.job.last_tick) == (TEN + HOUR, TEN)
    made = firing.execution
    assert made is not None
    assert made.id == execution_id(tick.id, 1)
    assert (made.tick_id, made.job_id, made.task_id, made.attempt, made.sequence) == (tick.id, "j", "t", 1, 8)
    assert (made.scheduled_for, made.created_at, made.expires_at) == (TEN, TEN + late, None)


def test_a_job_for_a_moment_fires_once_however_late_and_has_the_key_of_its_schedules_revision() -> None:
    firing = fired(a_job(None, TEN), TEN + 1_000 * HOUR)
    (tick,) = firing.ticks
    assert row(tick) == (Outcome.STARTED, once_key(2), TEN, None, 1)
    assert (firing.job.next_tick, firing.job.last_tick) == (None, TEN)
    assert firing.execution is not None
    assert firing.execution.scheduled_for == TEN


def test_after_a_long_absence_the_latest_tick_runs_late_and_the_others_are_one_row() -> None:
    firing = fired(a_job("0 * * * *", TEN), TEN + 2 * HOUR + HOUR // 2)
    missed, tick = firing.ticks
    assert row(missed) == (Outcome.MISSED, cron_key(TEN), TEN, TEN + HOUR, 2)
    assert not missed.at_least
    assert "catchUp: latest" in str(missed.reason)
    assert row(tick) == (Outcome.STARTED, cron_key(TEN + 2 * HOUR), TEN + 2 * HOUR, None, 1)
    assert (firing.job.next_tick, firing.job.last_tick) == (TEN + 3 * HOUR, TEN + 2 * HOUR)


def test_after_a_long_absence_without_catch_up_all_are_one_row_and_nothing_runs() -> None:
    firing = fired(a_job("0 * * * *", TEN, catch_up=CatchUp.NONE), TEN + 2 * HOUR + HOUR // 2)
    (missed,) = firing.ticks
    assert row(missed) == (Outcome.MISSED, cron_key(TEN), TEN, TEN + 2 * HOUR, 3)
    assert "catchUp: none" in str(missed.reason)
    assert firing.execution is None
    assert (firing.job.next_tick, firing.job.last_tick) == (TEN + 3 * HOUR, TEN + 2 * HOUR)


@pytest.mark.parametrize("catch_up", CatchUp)
def test_a_tick_that_is_in_time_runs_whatever_was_missed_before_it(catch_up: CatchUp) -> None:
    firing = fired(a_job("* * * * *", TEN, catch_up=catch_up), TEN + 10 * MINUTE + 10_000)
    missed, tick = firing.ticks
    assert row(missed) == (Outcome.MISSED, cron_key(TEN), TEN, TEN + 9 * MINUTE, 10)
    assert row(tick)[:3] == (Outcome.STARTED, cron_key(TEN + 10 * MINUTE), TEN + 10 * MINUTE)
    assert firing.job.next_tick == TEN + 11 * MINUTE


def test_a_run_of_missed_ticks_too_long_to_count_says_so() -> None:
    firing = fired(a_job("* * * * *", TEN, catch_up=CatchUp.NONE), TEN + 365 * 24 * HOUR)
    missed = firing.ticks[0]
    assert (missed.outcome, missed.count, missed.at_least) == (Outcome.MISSED, 1_500, True)
    assert missed.until == TEN + 365 * 24 * HOUR - 2 * MINUTE


def test_a_tick_is_skipped_while_the_one_before_runs_and_leaves_a_row() -> None:
    firing = fired(a_job("* * * * *", TEN, overlap=Overlap.SKIP), TEN, others=(RUNNING,))
    (tick,) = firing.ticks
    assert row(tick) == (Outcome.SKIPPED, cron_key(TEN), TEN, None, 1)
    assert "overlap: skip" in str(tick.reason)
    assert firing.execution is None
    assert (firing.job.next_tick, firing.job.last_tick) == (TEN + MINUTE, TEN)


@pytest.mark.parametrize(("overlap", "outcome"), [(Overlap.QUEUE, Outcome.QUEUED), (Overlap.REPLACE, Outcome.REPLACED)])
def test_a_tick_that_is_to_wait_for_the_one_before_makes_an_execution_that_waits(overlap: Overlap, outcome: Outcome) -> None:
    firing = fired(a_job("* * * * *", TEN, overlap=overlap), TEN, others=(RUNNING,))
    (tick,) = firing.ticks
    assert firing.execution is not None
    assert row(tick) == (outcome, cron_key(TEN), TEN, None, 1)
    assert (tick.execution_id, firing.execution.waits) == (firing.execution.id, overlap)
    assert RUNNING.id in str(tick.reason)
    alone = fired(a_job("* * * * *", TEN, overlap=overlap), TEN)
    assert (alone.ticks[0].outcome, alone.execution and alone.execution.waits) == (Outcome.STARTED, None)


def test_without_a_rule_for_overlap_a_tick_runs_alongside_the_one_before() -> None:
    assert fired(a_job("* * * * *", TEN), TEN, others=(RUNNING,)).execution is not None
    assert fired(a_job("* * * * *", TEN, overlap=Overlap.SKIP), TEN).execution is not None


def test_a_tick_that_comes_up_after_its_time_to_start_is_expired_and_makes_no_execution() -> None:
    job = a_job("* * * * *", TEN, Spec("ubuntu", expires_in=5_000))
    assert fired(job, TEN + 4_999).execution is not None
    firing = fired(job, TEN + 5_000)
    (tick,) = firing.ticks
    assert row(tick) == (Outcome.EXPIRED, cron_key(TEN), TEN, None, 1)
    assert tick.reason
    assert firing.execution is None
    assert firing.job.next_tick == TEN + MINUTE


def test_a_job_for_a_moment_that_is_too_late_ends_expired() -> None:
    firing = fired(a_job(None, TEN, Spec("ubuntu", expiration=TEN + 1)), TEN + 1)
    assert [row(tick)[0] for tick in firing.ticks] == [Outcome.EXPIRED]
    assert (firing.job.next_tick, firing.job.last_tick) == (None, TEN)


def test_an_execution_has_the_moment_after_which_it_must_not_start() -> None:
    spec = Spec("ubuntu", expires_in=20_000, expiration=TEN + HOUR)
    for due, expires_at in ((TEN, TEN + 20_000), (TEN + 59 * MINUTE + 50_000, TEN + HOUR)):
        execution = fired(a_job(None, due, spec), due + 5).execution
        assert execution is not None
        assert execution.expires_at == expires_at


def test_a_cron_ends_with_its_expiration() -> None:
    """Its last tick before then runs, the first one after it is a row, and no other follows."""
    spec = Spec("ubuntu", expiration=TEN + 90_000)
    first = fired(a_job("* * * * *", TEN + MINUTE, spec), TEN + MINUTE)
    assert first.execution is not None
    assert first.job.next_tick == TEN + 2 * MINUTE
    last = fired(replace(first.job, sequence=7), TEN + 2 * MINUTE)
    assert [row(tick)[0] for tick in last.ticks] == [Outcome.EXPIRED]
    assert (last.execution, last.job.next_tick) == (None, None)


def test_a_job_without_a_tick_to_come_is_not_fired() -> None:
    with pytest.raises(ValueError, match="no next tick"):
        fire(a_job("* * * * *", None), now=TEN)


def test_workers_that_fire_the_same_job_derive_the_same_ids() -> None:
    job = a_job("0 * * * *", TEN)
    one, other = fired(job, TEN + 3 * HOUR), fired(job, TEN + 3 * HOUR + 30_000)
    assert [tick.id for tick in one.ticks] == [tick.id for tick in other.ticks]
    assert one.execution is not None
    assert other.execution is not None
    assert one.execution.id == other.execution.id


def latest(status: Status, **values: Any) -> Execution:
    _, execution = make_tick(a_job("* * * * *", TEN), cron_key(TEN), sequence=8, due=TEN, now=TEN)
    failure = Failure(FailureReason.EXIT, "3") if status is Status.FAILED else None
    return replace(execution, status=status, finished_at=TEN + 500 if status.final else None, failure=failure, **values)


@pytest.mark.parametrize(
    ("execution", "counts"),
    [
        (latest(Status.ENQUEUED), True),
        (latest(Status.PULLING), True),
        (latest(Status.RUNNING), True),
        (latest(Status.DONE), False),
        (latest(Status.STOPPED), False),
        (latest(Status.FAILED), False),
        (latest(Status.FAILED, spec=Spec("ubuntu", retries=1)), True),
        (latest(Status.FAILED, spec=Spec("ubuntu", retries=1), settled=True), False),
        (latest(Status.FAILED, spec=Spec("ubuntu", retries=1), attempt=2), False),
    ],
)
def test_a_failed_execution_counts_as_under_way_until_the_attempt_after_it_is_made(execution: Execution, counts: bool) -> None:
    assert is_under_way(execution) is counts


@pytest.mark.parametrize(("cron", "kept"), [(None, True), ("0 * * * *", False)])
def test_a_run_at_a_given_time_is_in_the_trace_of_its_request_and_a_cron_s_in_none(cron: str | None, kept: bool) -> None:
    by = Requester("somebody", "10.0.0.1", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    firing = fired(replace(a_job(cron, TEN), requested_by=by), TEN)
    assert firing.execution is not None
    assert firing.execution.requested_by == (by if kept else replace(by, trace=None))
    assert firing.job.requested_by == by
