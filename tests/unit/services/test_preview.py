"""When a job would run."""

import pytest

from fastlane.models.cron import Cron
from fastlane.models.job import Spec, next_runs
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.services.jobs import first_run

NOW = 1_700_000_000_000
MINUTE = 60_000


@pytest.mark.parametrize(
    ("schedule", "runs"),
    [
        (Schedule(), (NOW,)),
        (Schedule(ScheduleKind.AT, NOW + 5), (NOW + 5,)),
        (Schedule(ScheduleKind.AT, NOW - 5), (NOW,)),
        (Schedule(ScheduleKind.CRON, None, Cron("* * * * *")), tuple(NOW + 40_000 + place * MINUTE for place in range(5))),
    ],
)
def test_the_next_runs_of_a_job(schedule, runs):
    assert next_runs(Spec("ubuntu"), schedule, first_run(schedule, NOW)) == runs


def test_a_cron_is_previewed_up_to_its_expiration():
    schedule = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))
    first = NOW + 40_000
    assert next_runs(Spec("ubuntu", expiration=first + 2 * MINUTE), schedule, first) == (first, first + MINUTE)
    assert next_runs(Spec("ubuntu", expiration=first), schedule, first) == ()
    assert next_runs(Spec("ubuntu"), schedule, None) == ()


def test_a_cron_whose_next_tick_is_years_away_is_previewed_too():
    schedule = Schedule(ScheduleKind.CRON, None, Cron("0 0 29 2 *"))
    first, second, *_ = next_runs(Spec("ubuntu"), schedule, first_run(schedule, NOW))
    assert second - first == 1_461 * 24 * 60 * MINUTE
