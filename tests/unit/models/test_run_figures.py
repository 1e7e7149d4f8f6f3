"""Figures over the runs of a job."""

import pytest

from fastlane.models.job import Usage
from fastlane.models.run_figures import Figures, Measure, ended_runs, figures
from fastlane.models.status import Status
from tests.support.factories import make_execution


def ran(seconds: int, memory: int | None = None, **fields):
    usage = None if memory is None else Usage(memory, 250)
    return make_execution(**{"started_at": 1_000, "finished_at": 1_000 + seconds * 1_000, "usage": usage, "status": Status.DONE, **fields})


def test_figures_are_over_the_runs_for_which_a_measure_is_known():
    runs = [ran(second, second * 10 if second % 2 else None) for second in range(20, 0, -1)]  # newest first
    assert figures(runs, Measure.DURATION) == Figures(20, 20_000, 1_000, 10_000, 19_000, 20_000, 5_000, 15_000)
    assert figures(runs, Measure.MEMORY) == Figures(10, 190, 10, 90, 190, 190, 50, 150)
    assert figures(runs, Measure.OUTPUT).most == 0


@pytest.mark.parametrize(("count", "has_halves"), [(1, False), (9, False), (10, True)])
def test_few_runs_have_no_halves(count, has_halves):
    found = figures([ran(1)] * count, Measure.DURATION)
    assert (found.runs, found.median, found.older is not None, found.newer is not None) == (count, 1_000, has_halves, has_halves)


def test_only_what_started_and_has_ended_is_a_run():
    running = make_execution(started_at=1, status=Status.RUNNING)
    expired = make_execution(finished_at=5, status=Status.EXPIRED)
    failed = ran(3, status=Status.FAILED)
    assert ended_runs([running, expired, failed]) == [failed]
    assert figures([], Measure.DURATION) == Figures()
