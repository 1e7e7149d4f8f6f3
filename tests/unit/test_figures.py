"""What the benchmarks conclude from what they measured."""

import math

import pytest

from benchmarks.figures import Comparison, Figure, Lateness, Target, percentile

AT_MOST_TWO = Target(2.0, at_least=False)


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(0, 1.0), (1, 1.0), (50, 2.0), (51, 3.0), (75, 3.0), (99, 4.0), (100, 4.0)],
)
def test_a_percentile_is_the_smallest_value_that_is_not_below_so_many(percent: float, expected: float) -> None:
    assert percentile([4.0, 2.0, 3.0, 1.0], percent) == expected


def test_a_ratio_is_of_the_two_sides_of_the_same_round() -> None:
    figure = Figure("lateness", "ms", [2.0, 9.0, 4.0], [1.0, 3.0, 4.0], "bare", target=AT_MOST_TWO)
    assert figure.compared == [2.0, 3.0, 1.0]
    assert figure.verdict is True


def test_a_figure_that_was_measured_in_pairs_is_compared_pair_by_pair() -> None:
    figure = Figure("a job", "ms", [500.0], [490.0], "bare", Comparison.DIFFERENCE, AT_MOST_TWO, pairs=[1.5])
    assert figure.compared == [1.5]
    assert figure.verdict is True


def test_a_figure_without_its_peer_has_no_verdict() -> None:
    assert Figure("dispatch", "jobs/s", [900.0], [], "huey", target=AT_MOST_TWO).verdict is None


@pytest.mark.parametrize(("value", "met"), [(2.0, True), (2.1, False)])
def test_a_figure_that_stands_alone_is_held_against_the_target_itself(value: float, met: bool) -> None:
    figure = Figure("memory", "bytes", [value], comparison=Comparison.ALONE, target=AT_MOST_TWO)
    assert figure.verdict is met
    assert figure.as_json()["compared"]["median"] == value


def test_lateness_is_the_start_less_the_due_time_and_only_of_what_was_asked_for() -> None:
    late = Lateness.of({"a": 1_000.0, "b": 2_000.0}, [("b", 2.003), ("warm", 9.0), ("a", 1.001)])
    assert sorted(late.late) == pytest.approx([1.0, 3.0])
    assert (late.asked, late.missing, late.early, late.again) == (2, 0, 0, 0)


def test_a_job_that_started_before_its_time_is_counted_as_early() -> None:
    late = Lateness.of({"a": 1_000.0, "b": 1_000.0}, [("a", 0.9996), ("b", 1.0)])
    assert late.early == 1


def test_a_second_start_is_counted_and_its_lateness_is_not() -> None:
    late = Lateness.of({"a": 1_000.0}, [("a", 1.002), ("a", 5.0)])
    assert late.again == 1
    assert late.most == pytest.approx(2.0)


def test_jobs_that_have_not_started_are_the_latest_of_all() -> None:
    late = Lateness.of({str(number): 0.0 for number in range(4)}, [("0", 0.001), ("1", 0.002), ("2", 0.003)])
    assert late.missing == 1
    assert late.percentile(75) == pytest.approx(3.0)
    assert math.isinf(late.most)
    told = late.as_json()
    assert told["p50"] == 2.0
    assert told["p100"] is None


def test_when_nothing_has_started_that_is_said() -> None:
    told = Lateness.of({"a": 0.0}, []).as_json()
    assert told == {"p50": None, "p90": None, "p99": None, "p100": None, "least": None, "asked": 1, "missing": 1, "early": 0, "again": 0}
