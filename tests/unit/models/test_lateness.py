"""When a job is late: after each change of it, each check and each success."""

from dataclasses import replace
from typing import Any

import pytest

from fastlane.models import job_change
from fastlane.models.cron import Cron
from fastlane.models.delivery import checked, notices, notified, succeeded
from fastlane.models.job import Job
from fastlane.models.job_change import JobIdentity
from fastlane.models.notify import Mailbox, NotificationTrigger, Webhook
from fastlane.models.pool import Pool
from fastlane.models.schedule import Schedule, ScheduleKind
from tests.support.factories import make_spec

HOUR, DAY = 3_600_000, 24 * 3_600_000
NIGHTLY = Schedule(ScheduleKind.CRON, None, Cron("0 3 * * *", "UTC"))
NOW = 1_700_006_400_000  # midnight
SPEC = make_spec(expect_every=26 * HOUR)
ONCE = make_spec(expect_every=HOUR)


def made(schedule: Schedule = NIGHTLY, now: int = NOW, **spec: Any) -> Job:
    found = replace(SPEC if schedule is NIGHTLY else ONCE, **spec)
    return job_change.create(JobIdentity("t", "j", "i", 1), found, schedule, now=now, by=None).job


def put(job: Job, now: int, schedule: Schedule | None = None, **spec: Any) -> Job:
    return job_change.put(job, replace(job.spec, **spec), schedule or job.schedule, now=now, by=None).job


def test_the_first_check_comes_a_while_after_the_first_tick() -> None:
    assert made().check_at == NOW + 29 * HOUR
    assert made(Schedule()).check_at == NOW + HOUR
    assert made(Schedule(ScheduleKind.AT, NOW + DAY)).check_at == NOW + DAY + HOUR
    assert made(expect_every=None).check_at is None


def test_a_job_without_a_success_is_late_from_its_check_on_and_told_once() -> None:
    job = made()
    late = checked(job, None, NOW + 30 * HOUR)
    assert (late.late_since, late.check_at) == (NOW + 29 * HOUR, NOW + 30 * HOUR)
    assert (notified(late).late_since, notified(late).check_at) == (NOW + 29 * HOUR, None)


def test_a_success_moves_the_check_and_ends_lateness() -> None:
    job = made()
    after = succeeded(job, NOW + 4 * HOUR, NOW + 5 * HOUR)
    assert (after.check_at, after.late_since) == (NOW + 30 * HOUR, None)
    late = notified(checked(job, None, NOW + 30 * HOUR))
    again = succeeded(late, NOW + 31 * HOUR, NOW + 31 * HOUR)
    assert (again.check_at, again.late_since) == (NOW + 57 * HOUR, None)
    assert succeeded(late, NOW + 28 * HOUR, NOW + 31 * HOUR) == late


def test_a_success_that_nobody_has_taken_note_of_counts_at_the_check() -> None:
    assert checked(made(), NOW + 20 * HOUR, NOW + 30 * HOUR).check_at == NOW + 46 * HOUR
    assert checked(made(), NOW + 3 * HOUR, NOW + 30 * HOUR).late_since == NOW + 29 * HOUR


def test_the_same_body_again_and_again_never_moves_the_check() -> None:
    job = made(Schedule())
    for step in range(1, 30):
        job = put(job, NOW + step * 60_000)
    assert job.check_at == NOW + HOUR
    nightly = put(made(), NOW + HOUR)
    assert nightly.check_at == NOW + 29 * HOUR


def test_another_duration_or_a_later_start_makes_a_new_check() -> None:
    assert put(made(), NOW, expect_every=HOUR).check_at == NOW + 4 * HOUR
    assert put(made(Schedule()), NOW, Schedule(ScheduleKind.AT, NOW + DAY)).check_at == NOW + DAY + HOUR
    assert put(made(), NOW, expect_every=None).check_at is None
    assert put(made(expect_every=None), NOW, expect_every=HOUR).check_at == NOW + 4 * HOUR


def test_a_late_job_stays_late_when_it_is_changed_and_not_when_nothing_is_expected_of_it() -> None:
    late = notified(checked(made(), None, NOW + 30 * HOUR))
    assert put(late, NOW + 31 * HOUR, image="other").late_since == NOW + 29 * HOUR
    assert put(late, NOW + 31 * HOUR, expect_every=None).late_since is None
    stopped = replace(late, stop_sequence=late.sequence + 1, sequence=late.sequence + 1, next_tick=None)
    again = put(stopped, NOW + 31 * HOUR)
    assert (again.late_since, again.check_at) == (None, NOW + 51 * HOUR + 26 * HOUR)


def test_a_late_job_that_is_paused_or_over_is_late_no_longer() -> None:
    late = notified(checked(made(), None, NOW + 30 * HOUR))
    held = job_change.pause(late, now=NOW + 31 * HOUR)
    assert (held.late_since, held.check_at) == (None, None)
    resumed = job_change.resume(held, now=NOW + 48 * HOUR).job
    assert (resumed.late_since, resumed.check_at) == (None, NOW + 51 * HOUR + 26 * HOUR)
    end = NOW + 40 * HOUR
    late = notified(checked(made(expiration=end), None, NOW + 30 * HOUR))
    assert (late.late_since, late.check_at) == (NOW + 29 * HOUR, end)
    over = checked(late, None, end)
    assert (over.late_since, over.check_at) == (None, None)
    assert put(late, NOW + 31 * HOUR, expiration=None).check_at is None
    assert put(late, NOW + 31 * HOUR, expiration=end + HOUR).check_at == end + HOUR


@pytest.mark.parametrize("how", ["paused", "stopped", "over"])
def test_nothing_is_expected_of_a_job_that_is_held_or_over(how: str) -> None:
    job = made(expiration=NOW + 25 * HOUR) if how == "over" else made()
    if how == "paused":
        held = job_change.pause(job, now=NOW)
        assert held.check_at is None
        assert job_change.resume(held, now=NOW + 48 * HOUR).job.check_at == NOW + 51 * HOUR + 26 * HOUR
        job = replace(held, check_at=job.check_at)
    if how == "stopped":
        job = replace(job, stop_sequence=1, sequence=1, next_tick=None)
    after = checked(job, None, NOW + 30 * HOUR)
    assert (after.check_at, after.late_since) == (None, None)


def test_each_episode_has_deliveries_of_its_own_and_a_repeat_makes_the_same() -> None:
    hook = Webhook(NotificationTrigger.LATE, "https://example.com/x")
    mail = Mailbox(NotificationTrigger.LATE, "a@example.com")
    job = replace(made(webhooks=(hook,), notify=(mail,)), late_since=5)
    found = notices(job, NotificationTrigger.LATE, (), 5, 9)
    assert [(one.target, one.event, one.created_at, one.is_of_job) for one in found] == [
        (hook, "job.late", 5, True),
        (mail, "job.late", 5, True),
    ]
    assert [one.id for one in notices(job, NotificationTrigger.LATE, (), 5, 99)] == [one.id for one in found]
    others = {one.id for one in notices(replace(job, late_since=6), NotificationTrigger.LATE, (), 6, 9)}
    assert not others & {one.id for one in found}
    assert notices(job, NotificationTrigger.RECOVERED, (), 5, 9) == []
    pools = (Pool("p", "", ("h",), webhooks=(hook,)),)
    assert [one.target for one in notices(replace(made(), late_since=5), NotificationTrigger.LATE, pools, 5, 9)] == [hook]
