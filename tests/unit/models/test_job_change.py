"""What a POST, a PUT, a run by hand, a pause and a resume make of a job: tables of cases."""

from dataclasses import replace
from typing import Any

import pytest

from fastlane.models import job_change
from fastlane.models.access import Requester
from fastlane.models.cron import Cron, next_tick
from fastlane.models.job import Job, Spec
from fastlane.models.job_change import JobChange, JobIdentity
from fastlane.models.schedule import CatchUp, Overlap, Schedule, ScheduleKind
from fastlane.models.tick import Outcome, Tick, cron_key, once_key, tick_id
from tests.support.factories import make_job

MINUTE = 60_000
HOUR = 60 * MINUTE
TEN = 1_700_000_000_000 // HOUR * HOUR
"""A full hour."""

INCARNATION = "96812ec5-4574-46da-9474-f901b51d49ec"
OLD, NEW = Spec("old"), Spec("new")
HOURLY = Schedule(ScheduleKind.CRON, None, Cron("0 * * * *"))
DAILY = Schedule(ScheduleKind.CRON, None, Cron("0 0 * * *"))
MIDNIGHT = next_tick(Cron("0 0 * * *"), TEN)
AT = Schedule(ScheduleKind.AT, TEN + 5 * MINUTE)
SOMEBODY = Requester("somebody", "10.0.0.1")


def a_job(schedule: Schedule = HOURLY, **values: Any) -> Job:
    given = {"revision": 4, "schedule_revision": 2, "sequence": 7, "next_tick": TEN + HOUR, "last_tick": TEN}
    return make_job(modified_at=2, spec=OLD, schedule=schedule, **{**given, **values})


def put(job: Job, schedule: Schedule, now: int = TEN + 10 * MINUTE) -> JobChange:
    """What a PUT makes of it, which has one higher number of everything, and says who wants it and when."""
    advance = job_change.put(job, NEW, schedule, now=now, by=SOMEBODY)
    after = advance.job
    assert (after.spec, after.schedule, after.requested_by, after.modified_at) == (NEW, schedule, SOMEBODY, now)
    assert (after.revision, after.sequence, after.armed, after.held_tick) == (job.revision + 1, job.sequence + 1, job.sequence + 1, None)
    assert (after.id, after.incarnation, after.created_at, after.stop_sequence) == (job.id, INCARNATION, 1, job.stop_sequence)
    assert not after.stopped
    return advance


def row(tick: Tick) -> tuple[Outcome, str, int, int | None, int]:
    return tick.outcome, tick.key, tick.due, tick.until, tick.count


# POST


def created(schedule: Schedule, revision: int = 1) -> JobChange:
    return job_change.create(JobIdentity("t", "j", INCARNATION, revision), NEW, schedule, now=TEN, by=SOMEBODY)


def test_a_job_that_runs_now_begins_with_its_tick_and_execution() -> None:
    advance = created(Schedule())
    (tick,) = advance.ticks
    assert row(tick) == (Outcome.STARTED, once_key(1), TEN, None, 1)
    assert advance.execution is not None
    assert (advance.execution.id, advance.execution.sequence, advance.execution.requested_by) == (tick.execution_id, 1, SOMEBODY)
    job = advance.job
    assert (job.sequence, job.armed, job.next_tick, job.last_tick, job.revision) == (1, 0, None, TEN, 1)


@pytest.mark.parametrize(("schedule", "next_tick"), [(AT, TEN + 5 * MINUTE), (Schedule(ScheduleKind.AT, 5), 5), (HOURLY, TEN + HOUR)])
def test_a_job_for_later_begins_with_its_next_tick_alone(schedule: Schedule, next_tick: int) -> None:
    advance = created(schedule, revision=77)
    assert (advance.ticks, advance.execution) == ((), None)
    job = advance.job
    assert (job.sequence, job.next_tick, job.last_tick, job.revision, job.requested_by) == (0, next_tick, None, 77, SOMEBODY)
    key = cron_key(next_tick) if schedule is HOURLY else once_key(1)
    assert job_change.next_tick_id(job) == tick_id(INCARNATION, key)


# PUT


@pytest.mark.parametrize(
    ("job", "schedule", "now", "next_tick", "schedule_revision"),
    [
        # an unchanged cron keeps its next tick, be it due
        (a_job(), HOURLY, TEN + 10 * MINUTE, TEN + HOUR, 2),
        (a_job(), replace(HOURLY, overlap=Overlap.SKIP, catch_up=CatchUp.NONE), TEN + 10 * MINUTE, TEN + HOUR, 2),
        (a_job(), HOURLY, TEN + 5 * HOUR, TEN + HOUR, 2),
        # but for one that was stopped, that is paused, or that came to its end
        (a_job(next_tick=None, stop_sequence=7), HOURLY, TEN + 150 * MINUTE, TEN + 3 * HOUR, 2),
        (a_job(next_tick=None, held_tick=TEN + HOUR), HOURLY, TEN + 10 * MINUTE, TEN + HOUR, 2),
        (a_job(next_tick=None), HOURLY, TEN + 10 * MINUTE, TEN + HOUR, 2),
        # a changed one begins after now
        (a_job(), DAILY, TEN + 10 * MINUTE, MIDNIGHT, 3),
        (a_job(), Schedule(ScheduleKind.CRON, None, Cron("0 * * * *", "Asia/Kathmandu")), TEN, TEN + 15 * MINUTE, 3),
        (a_job(DAILY), HOURLY, TEN + 10 * MINUTE, TEN + HOUR, 3),
        # and after the last tick, where that is later by this clock
        (a_job(DAILY, last_tick=TEN + 2 * HOUR), HOURLY, TEN + 10 * MINUTE, TEN + 3 * HOUR, 3),
        (a_job(next_tick=None, stop_sequence=7, last_tick=TEN + 2 * HOUR), HOURLY, TEN, TEN + 3 * HOUR, 2),
        (a_job(next_tick=None, stop_sequence=7, last_tick=None), HOURLY, TEN, TEN + HOUR, 2),
        # a moment is a moment, be it over, or the same as before
        (a_job(), AT, TEN, TEN + 5 * MINUTE, 3),
        (a_job(), AT, TEN + HOUR - 1, TEN + 5 * MINUTE, 3),
        (a_job(AT, next_tick=AT.at), AT, TEN, TEN + 5 * MINUTE, 3),
        (a_job(AT, next_tick=AT.at), HOURLY, TEN, TEN + HOUR, 3),
        (a_job(Schedule(), next_tick=None), AT, TEN, TEN + 5 * MINUTE, 3),
    ],
)
def test_a_put_arms_a_job_for_its_new_schedule(job: Job, schedule: Schedule, now: int, next_tick: int, schedule_revision: int) -> None:
    advance = put(job, schedule, now)
    assert (advance.job.next_tick, advance.job.schedule_revision) == (next_tick, schedule_revision)
    assert (advance.ticks, advance.execution) == ((), None)
    assert advance.job.last_tick == job.last_tick


@pytest.mark.parametrize("job", [a_job(), a_job(AT), a_job(Schedule(), next_tick=None), a_job(Schedule(), next_tick=None, stop_sequence=7)])
def test_a_put_of_a_job_that_runs_now_has_a_tick_of_its_own_under_the_puts_number(job: Job) -> None:
    advance = put(job, Schedule(), TEN + MINUTE)
    (tick,) = advance.ticks
    assert row(tick) == (Outcome.STARTED, once_key(3), TEN + MINUTE, None, 1)
    assert advance.execution is not None
    assert (advance.execution.sequence, advance.execution.spec, advance.execution.requested_by) == (8, NEW, SOMEBODY)
    assert (advance.job.next_tick, advance.job.last_tick, advance.job.schedule_revision) == (None, TEN + MINUTE, 3)
    assert not advance.job.stops(advance.execution.sequence)
    assert replace(advance.job, stop_sequence=advance.job.sequence + 1).stops(advance.execution.sequence)


def test_the_same_put_twice_runs_twice() -> None:
    first = put(a_job(Schedule(), next_tick=None), Schedule())
    second = put(first.job, Schedule())
    assert first.execution is not None
    assert second.execution is not None
    assert first.execution.id != second.execution.id


def test_a_put_of_a_paused_cron_records_the_ticks_of_the_pause() -> None:
    advance = put(a_job(next_tick=None, held_tick=TEN + HOUR), HOURLY, TEN + 150 * MINUTE)
    assert [row(tick) for tick in advance.ticks] == [(Outcome.SKIPPED, cron_key(TEN + HOUR), TEN + HOUR, TEN + 2 * HOUR, 2)]
    assert (advance.job.next_tick, advance.job.last_tick) == (TEN + 3 * HOUR, TEN + 2 * HOUR)
    at_once = put(a_job(next_tick=None, held_tick=TEN + HOUR), Schedule(), TEN + 150 * MINUTE)
    assert [tick.outcome for tick in at_once.ticks] == [Outcome.SKIPPED, Outcome.STARTED]


@pytest.mark.parametrize(
    ("job", "now", "rows", "last_tick"),
    [
        # a cron's: one row for all that came up
        (a_job(), TEN + HOUR, [(Outcome.SKIPPED, cron_key(TEN + HOUR), TEN + HOUR, TEN + HOUR, 1)], TEN + HOUR),
        (a_job(), TEN + 150 * MINUTE, [(Outcome.SKIPPED, cron_key(TEN + HOUR), TEN + HOUR, TEN + 2 * HOUR, 2)], TEN + 2 * HOUR),
        # a moment's, held or not
        (a_job(AT, next_tick=AT.at), TEN + HOUR, [(Outcome.SKIPPED, once_key(2), TEN + 5 * MINUTE, None, 1)], TEN + 5 * MINUTE),
        (
            a_job(AT, next_tick=None, held_tick=AT.at),
            TEN + HOUR,
            [(Outcome.SKIPPED, once_key(2), TEN + 5 * MINUTE, None, 1)],
            TEN + 5 * MINUTE,
        ),
    ],
)
def test_a_put_says_what_became_of_a_tick_that_came_up_and_had_not_fired(
    job: Job, now: int, rows: list[tuple[Outcome, str, int, int | None, int]], last_tick: int
) -> None:
    later = Schedule(ScheduleKind.AT, TEN + 9 * HOUR)
    advance = put(job, later, now)
    assert [row(tick) for tick in advance.ticks] == rows
    assert ("paused" if job.paused else "other details") in str(advance.ticks[0].reason)
    assert (advance.job.next_tick, advance.job.last_tick) == (later.at, last_tick)
    assert put(job, later, TEN).ticks == ()


# by hand


@pytest.mark.parametrize("job", [a_job(), a_job(next_tick=None, stop_sequence=7), a_job(next_tick=None, held_tick=TEN + HOUR)])
def test_a_run_by_hand_gives_out_the_next_number_and_leaves_all_else(job: Job) -> None:
    advance = job_change.run_now(job, NEW, now=TEN + MINUTE, by=SOMEBODY)
    assert advance.job == replace(job, sequence=8)
    (tick,) = advance.ticks
    assert tick.key.startswith("r:")
    assert row(tick) == (Outcome.STARTED, tick.key, TEN + MINUTE, None, 1)
    made = advance.execution
    assert made is not None
    assert (made.sequence, made.spec, made.scheduled_for, made.requested_by) == (8, NEW, TEN + MINUTE, SOMEBODY)
    assert not advance.job.stops(made.sequence)


def test_each_manual_run_has_its_own_key() -> None:
    ids = {job_change.run_now(a_job(), OLD, now=TEN, by=None).ticks[0].id for _ in range(50)}
    assert len(ids) == 50


def test_a_request_that_is_tried_again_makes_the_same_tick() -> None:
    manner = job_change.ManualTick(key="r:mine")
    changes = [job_change.run_now(job, OLD, now=now, by=None, manner=manner) for job, now in ((a_job(), TEN), (a_job(sequence=9), TEN + 1))]
    assert len({change.ticks[0].id for change in changes}) == 1


# pause and resume


@pytest.mark.parametrize("job", [a_job(), a_job(AT, next_tick=AT.at)])
def test_a_pause_holds_the_next_tick(job: Job) -> None:
    paused = job_change.pause(job, now=TEN + 3)
    assert paused == replace(job, modified_at=TEN + 3, revision=5, next_tick=None, held_tick=job.next_tick)
    assert paused.paused


def test_a_job_without_a_tick_to_come_cannot_be_paused() -> None:
    with pytest.raises(ValueError, match="no tick to come"):
        job_change.pause(a_job(next_tick=None), now=TEN)


def resumed(job: Job, now: int) -> JobChange:
    """What a resume makes of the job, whose rows must be its own and say why."""
    advance = job_change.resume(job, now=now)
    changed = {"modified_at": now, "revision": job.revision + 1, "held_tick": None}
    assert advance.job == replace(job, **changed, next_tick=advance.job.next_tick, last_tick=advance.job.last_tick)
    for tick in advance.ticks:
        assert (tick.id, tick.job_id, tick.created_at, tick.execution_id) == (tick_id(INCARNATION, tick.key), "j", now, None)
        assert "paused" in str(tick.reason)
    return advance


def held(schedule: Schedule = HOURLY, tick: int = TEN + HOUR, **values: Any) -> Job:
    return a_job(schedule, next_tick=None, held_tick=tick, **values)


@pytest.mark.parametrize("now", [TEN, TEN + 5 * MINUTE, TEN + 1_000 * HOUR])
def test_a_job_for_a_moment_is_due_at_its_moment_whenever_it_is_resumed(now: int) -> None:
    advance = resumed(held(AT, TEN + 5 * MINUTE, last_tick=None), now)
    assert (advance.job.next_tick, advance.job.last_tick, advance.ticks) == (TEN + 5 * MINUTE, None, [])


SKIPPED, EXPIRED = Outcome.SKIPPED, Outcome.EXPIRED


@pytest.mark.parametrize(
    ("expiration", "minutes", "rows", "next_hour"),
    [
        # nothing came up meanwhile
        (None, 30, [], 1),
        (None, 59, [], 1),
        # from one tick on, up to and with the one that is due now
        (None, 60, [(SKIPPED, 1, 1, 1)], 2),
        (None, 61, [(SKIPPED, 1, 1, 1)], 2),
        (None, 200, [(SKIPPED, 1, 3, 3)], 4),
        # an expiration that is to come changes nothing
        (201, 200, [(SKIPPED, 1, 3, 3)], 4),
        (10_000, 200, [(SKIPPED, 1, 3, 3)], 4),
        # one that came while it was paused ends it with the first tick after it
        (150, 200, [(SKIPPED, 1, 2, 2), (EXPIRED, 3, None, 1)], None),
        (120, 200, [(SKIPPED, 1, 1, 1), (EXPIRED, 2, None, 1)], None),
        (121, 200, [(SKIPPED, 1, 2, 2), (EXPIRED, 3, None, 1)], None),
        (60, 200, [(EXPIRED, 1, None, 1)], None),
        (30, 200, [(EXPIRED, 1, None, 1)], None),
        (180, 180, [(SKIPPED, 1, 2, 2), (EXPIRED, 3, None, 1)], None),
        # which may be yet to come: the timer ends it then
        (185, 200, [(SKIPPED, 1, 3, 3)], 4),
        (30, 40, [], 1),
    ],
)
def test_a_cron_continues_after_now_and_the_ticks_of_the_pause_are_a_row(
    expiration: int | None, minutes: int, rows: list[tuple[Outcome, int, int | None, int]], next_hour: int | None
) -> None:
    spec = Spec("ubuntu", expiration=None if expiration is None else TEN + expiration * MINUTE)
    advance = resumed(replace(held(), spec=spec), TEN + minutes * MINUTE)
    expected = [
        (outcome, cron_key(TEN + first * HOUR), TEN + first * HOUR, None if last is None else TEN + last * HOUR, count)
        for outcome, first, last, count in rows
    ]
    assert [row(tick) for tick in advance.ticks] == expected
    assert advance.job.next_tick == (None if next_hour is None else TEN + next_hour * HOUR)
    assert advance.job.last_tick == max([TEN, *(until or due for _, _, due, until, _ in expected)])
    assert advance.execution is None


def test_a_pause_of_years_is_one_row_that_says_at_least() -> None:
    (tick,) = resumed(held(Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))), TEN + 20_000 * HOUR).ticks
    assert (tick.count, tick.at_least, tick.until) == (1_500, True, TEN + 20_000 * HOUR)


def test_a_clock_that_was_set_back_while_a_job_was_paused_skips_nothing() -> None:
    advance = resumed(held(), TEN - 5 * HOUR)
    assert (advance.job.next_tick, advance.ticks) == (TEN + HOUR, [])


@pytest.mark.parametrize("job", [created(AT).job, created(HOURLY).job])
def test_a_job_with_a_row_in_its_ledger_has_given_out_a_number_or_has_a_last_tick(job: Job) -> None:
    """By these two, retention knows the jobs that have no history."""
    late = TEN + 30 * HOUR
    paused = job_change.pause(job, now=TEN + 1)
    changes = [
        *(job_change.fire(job, now=now) for now in (job.next_tick or 0, late)),
        *(job_change.put(before, NEW, schedule, now=late, by=SOMEBODY) for before in (job, paused) for schedule in (AT, DAILY, Schedule())),
        *(job_change.edit(before, NEW, schedule, now=late, by=SOMEBODY) for before in (job, paused) for schedule in (DAILY, job.schedule)),
        *(job_change.resume(paused, now=now) for now in (TEN + 2, late)),
        job_change.run_now(job, NEW, now=TEN + 3, by=SOMEBODY),
    ]
    assert sum(bool(change.ticks) for change in changes) >= 8
    for change in changes:
        assert not change.ticks or change.job.sequence > 0 or change.job.last_tick is not None
