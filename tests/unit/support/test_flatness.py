"""What grows is told from what only moves."""

import pytest

from tests.support.flatness import growing, growth

SAW = [(float(second), 100 + second % 10) for second in range(500)]


def test_a_line_that_rises_has_grown_by_its_rise():
    assert growth([(second, 5 + 2 * second) for second in range(11)]) == pytest.approx(20)


@pytest.mark.parametrize("points", [SAW, [*SAW[:-1], (499.0, 5_000)], [(0.0, 7)], []])
def test_teeth_a_peak_and_few_points_are_no_growth(points):
    assert abs(growth(points)) < 2


def test_many_points_are_judged_like_few():
    assert growth([(second, second / 10) for second in range(20_000)]) == pytest.approx(1_999.9)


def test_what_grows_is_named_beyond_its_allowance_and_share():
    rising = [(second, 1_000 + second) for second in range(61)]
    assert growing({"rows of jobs": rising, "keys": SAW}, {"rows": 50, "keys": 5}) == {"rows of jobs": pytest.approx(60)}
    assert growing({"rows of jobs": rising}, {"rows": 50}, share=0.1) == {}
    assert growing({"rows of jobs": rising}, {"rows": 70}) == {}
