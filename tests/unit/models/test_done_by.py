"""By when ticks are to have succeeded, also when the clocks change, and what a success or a miss makes of a job."""

from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fastlane.models.cron import Cron, next_tick
from fastlane.models.delivery import checked, succeeded, watched
from fastlane.models.done_by import deadline_of, read_time
from fastlane.models.job import Job
from fastlane.models.job_change import pause, resume
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.skip_dates import read_range
from tests.support.factories import make_job, make_spec

BERLIN = "Europe/Berlin"
MINUTE, HOUR = 60_000, 3_600_000


def at(text: str, fold: int = 0) -> int:
    """A time by the clocks of Berlin, in milliseconds."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(BERLIN), fold=fold).timestamp() * 1000)


@pytest.mark.parametrize(
    ("done_by", "due", "deadline"),
    [
        ("06:00", at("2026-05-04 02:00"), at("2026-05-04 06:00")),
        ("06:00", at("2026-05-04 05:59"), at("2026-05-04 06:00")),
        ("06:00", at("2026-05-04 06:00"), at("2026-05-05 06:00")),
        ("06:00", at("2026-05-04 23:00"), at("2026-05-05 06:00")),
        ("02:30", at("2026-03-29 01:00"), at("2026-03-29 03:00")),  # 2:30 does not exist: the moment when the clocks change
        ("02:30", at("2026-03-28 23:00"), at("2026-03-29 03:00")),
        ("02:30", at("2026-03-29 03:00"), at("2026-03-30 02:30")),
        ("02:30", at("2026-10-25 01:00"), at("2026-10-25 02:30")),  # 2:30 occurs twice: the first of both
        ("02:30", at("2026-10-25 02:30", fold=1), at("2026-10-26 02:30")),
        ("06:00", at("2026-03-28 22:00"), at("2026-03-29 06:00")),
        ("06:00", at("2026-10-24 22:00"), at("2026-10-25 06:00")),
    ],
)
def test_a_tick_has_time_until_the_next_such_time_of_day(done_by: str, due: int, deadline: int) -> None:
    assert deadline_of(Schedule(ScheduleKind.CRON, None, Cron("0 2 * * *", BERLIN)), done_by, due) == deadline


@pytest.mark.parametrize("done_by", ["02:30", "06:00", "00:00", "23:59"])
def test_in_a_year_each_day_has_one_deadline_whatever_the_clocks_do(done_by: str) -> None:
    cron, moment, found = Cron("15 1 * * *", BERLIN), at("2026-01-01 00:00"), []
    schedule = Schedule(ScheduleKind.CRON, None, cron)
    for _ in range(365):
        moment = next_tick(cron, moment) or 0
        found.append(deadline_of(schedule, done_by, moment) or 0)
    assert len(set(found)) == 365
    hours = [(after - before) / HOUR for before, after in pairwise(found)]
    assert set(hours) <= {23.0, 23.5, 24.0, 24.5, 25.0}
    assert sum(hours) == (found[-1] - found[0]) / HOUR


@pytest.mark.parametrize(("text", "read"), [("6:00", "06:00"), ("06:00", "06:00"), ("23:59", "23:59"), ("0:00", "00:00")])
def test_a_time_of_day_is_read(text: str, read: str) -> None:
    assert read_time(text) == read


@pytest.mark.parametrize("value", ["24:00", "6", "06:60", "6am", 6, None, "06:00:00", "-1:00"])
def test_what_is_not_a_time_of_day_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="write one such as"):
        read_time(value)


NOON = at("2026-05-04 12:00")
"""A Monday."""


def nightly(cron: str = "0 2 * * *", now: int = NOON, skip: str | None = None, **values: Any) -> Job:
    schedule = Schedule(ScheduleKind.CRON, None, Cron(cron, BERLIN), skip=() if skip is None else (read_range(skip),))
    job = make_job(schedule=schedule, spec=make_spec(done_by="06:00"), next_tick=schedule.first_tick(now), **values)
    return watched(None, job, now)


def test_a_job_is_late_from_the_moment_by_which_its_tick_should_have_succeeded() -> None:
    job = nightly()
    assert job.check_at == at("2026-05-05 06:00")
    late = checked(job, None, at("2026-05-05 06:00") + 5)
    assert late.late_since == at("2026-05-05 06:00")
    assert late.is_late
    recovered = succeeded(late, at("2026-05-05 07:00"), at("2026-05-05 07:00"), at("2026-05-05 02:00"))
    assert (recovered.late_since, recovered.check_at) == (None, at("2026-05-06 06:00"))


def test_the_time_is_by_the_clocks_of_the_job_whatever_zone_its_entries_have() -> None:
    cron = Cron("0 1 * * *", "Asia/Tokyo", (Cron("0 2 * * *", BERLIN),))
    skip = (read_range("2026-05-05"),)
    schedule = Schedule(ScheduleKind.CRON, None, cron, timezone=BERLIN)
    job = make_job(schedule=schedule, spec=make_spec(done_by="06:00"), next_tick=schedule.first_tick(NOON))
    due = at("2026-05-04 18:00")  # one o'clock in Tokyo, on the fifth
    assert (job.next_tick, watched(None, job, NOON).check_at) == (due, at("2026-05-05 06:00"))
    as_it_was = replace(job, schedule=replace(schedule, timezone=None))
    assert watched(None, as_it_was, NOON).check_at == at("2026-05-04 23:00")
    assert watched(watched(None, as_it_was, NOON), job, NOON).check_at == at("2026-05-05 06:00")
    assert [replace(schedule, skip=skip, timezone=zone).skipped_at(due) for zone in (BERLIN, None)] == [None, skip[0]]


def test_a_success_in_time_moves_the_check_to_the_next_tick() -> None:
    job = nightly("0 2 * * mon-fri", at("2026-05-08 00:00"))  # a Friday
    after = succeeded(job, at("2026-05-08 02:10"), at("2026-05-08 02:10"), at("2026-05-08 02:00"))
    assert after.check_at == at("2026-05-11 06:00")


def test_a_success_of_an_older_tick_ends_no_lateness() -> None:
    late = checked(nightly(), None, at("2026-05-05 06:00"))
    assert succeeded(late, at("2026-05-05 06:30"), at("2026-05-05 06:30"), at("2026-05-04 02:00")) is late


def test_of_a_job_of_each_hour_the_last_tick_before_the_time_counts() -> None:
    job, six = nightly("0 * * * *", at("2026-05-05 00:00")), at("2026-05-05 06:00")
    assert job.check_at == six
    in_time = succeeded(job, at("2026-05-05 05:10"), at("2026-05-05 05:10"), at("2026-05-05 05:00"))
    assert in_time.check_at == at("2026-05-06 06:00")
    assert checked(job, at("2026-05-05 04:10"), six, at("2026-05-05 04:00")).late_since == six


def test_a_change_keeps_the_deadline_and_a_pause_ends_it() -> None:
    job, morning = nightly(), at("2026-05-05 03:00")
    fired = make_job(schedule=job.schedule, spec=job.spec, next_tick=at("2026-05-06 02:00"), check_at=job.check_at)
    changed = make_job(
        schedule=job.schedule, spec=make_spec(image="other", done_by="06:00"), next_tick=fired.next_tick, check_at=job.check_at
    )
    assert watched(fired, changed, morning).check_at == at("2026-05-05 06:00")
    held = pause(fired, now=morning)
    assert held.check_at is None
    assert resume(held, now=morning).job.check_at == at("2026-05-06 06:00")


def test_a_job_is_not_late_on_a_date_that_it_skips() -> None:
    assert nightly(skip="2026-05-05..2026-05-07").check_at == at("2026-05-08 06:00")
    job, done = nightly("0 2 * * *", at("2026-05-04 00:00"), "2026-05-05..2026-05-07"), at("2026-05-04 02:10")
    assert succeeded(job, done, done, at("2026-05-04 02:00")).check_at == at("2026-05-08 06:00")


def test_a_change_of_the_skipped_dates_counts_for_the_deadline() -> None:
    job, now, done = nightly(), at("2026-05-04 13:00"), at("2026-05-04 02:10")
    skipping = replace(job, schedule=nightly(skip="2026-05-05").schedule)
    longer = watched(job, skipping, now)
    assert checked(longer, done, at("2026-05-05 06:00"), at("2026-05-04 02:00")).check_at == at("2026-05-06 06:00")
    shorter = watched(replace(skipping, check_at=at("2026-05-06 06:00")), job, now)
    assert shorter.check_at == at("2026-05-05 06:00")
