"""When a job stands in the way of its equals."""

from dataclasses import replace

import pytest

from fastlane.models.cron import Cron
from fastlane.models.job import Spec
from fastlane.models.job_change import JobIdentity, create, fire
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.skip_dates import read_range
from fastlane.models.status import Status
from fastlane.models.unique import first_start, waits
from tests.support.factories import NOW

NEW = JobIdentity("task", "job", "incarnation", 1)
UNIQUE = Spec("ubuntu", unique=True)
SKIPPED = (read_range("2026-12-24"),)


def made(spec=UNIQUE, schedule=None):
    return create(NEW, spec, schedule or Schedule(), now=NOW, by=None)


def test_the_key_is_the_same_in_every_version():
    assert made().job.unique_key == "83e3485a865e212591823d2b0042adc41c321db575cfe828"


def test_crons_are_equal_whatever_is_chosen_for_them_and_not_with_another_spread_or_other_dates():
    plain = Schedule(ScheduleKind.CRON, cron=Cron("H 3 * * *").settled("seed", 0))
    other_seed = replace(plain, cron=Cron("H 3 * * *").settled("other", 0))
    spread = replace(plain, cron=Cron("H 3 * * *", spread=60_000).settled("seed", 0))
    skipping = replace(plain, skip=(read_range("2026-12-24"),))
    keys = [made(schedule=one).job.unique_key for one in (plain, other_seed, spread, skipping)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_a_job_that_runs_now_waits_until_its_first_attempt_is_claimed():
    change = made()
    assert change.execution is not None
    assert change.execution.id == first_start(change.job)
    assert waits(change.job, change.execution, NOW)
    assert not waits(change.job, replace(change.execution, status=Status.PULLING), NOW)
    assert not waits(change.job, None, NOW)


def test_a_job_for_later_waits_before_and_after_its_tick():
    scheduled = made(schedule=Schedule(ScheduleKind.AT, NOW + 1000)).job
    assert waits(scheduled, None, NOW)
    fired = fire(scheduled, now=NOW + 1000)
    assert fired.execution is not None
    assert fired.execution.id == first_start(fired.job)
    assert waits(fired.job, fired.execution, NOW + 1000)
    assert not waits(fired.job, replace(fired.execution, status=Status.STOPPED), NOW + 1000)


@pytest.mark.parametrize("change", [{"expires_at": NOW}, {"stop_requested_at": NOW}, {"incarnation": "other"}, {"sequence": 0}])
def test_an_execution_that_will_not_start_does_not_wait(change):
    new = made()
    assert new.execution is not None
    assert not waits(new.job, replace(new.execution, **change), NOW)


def test_a_stop_covers_the_execution_that_waits():
    new = made()
    assert not waits(replace(new.job, stop_sequence=2), new.execution, NOW)
