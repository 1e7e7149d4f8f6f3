"""A process is killed, or frozen until others have done its work, at every seam: the job still starts exactly once and ends right."""

import pytest

from tests.crash import cases
from tests.crash.conftest import Runner

ALL = list(cases.cases())


def marks(case: cases.Case) -> list[pytest.MarkDecorator]:
    if str(case) in cases.QUICK:
        return []
    return [pytest.mark.thorough, *([pytest.mark.repeated] if case.repeated else [])]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", [pytest.param(case, id=str(case), marks=marks(case)) for case in ALL])
def test_a_job_starts_once_and_ends_right_whatever_falls(runner: Runner, case: cases.Case) -> None:
    runner.wait(str(case))


def test_every_seam_stands_in_the_table_and_once_at_least_where_no_case_repeats_another() -> None:
    passed = {(trip.seam, trip.signal) for case in ALL if not case.repeated for trip in case.trips}
    expected = {(f"{when} {name}", signal) for name in cases.NAMES for when in ("before", "after") for signal in ("KILL", "STOP")}
    assert passed == expected


def test_the_quick_cases_are_cases() -> None:
    assert {str(case) for case in ALL} >= cases.QUICK
