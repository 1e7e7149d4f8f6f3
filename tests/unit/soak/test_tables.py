"""What a soak and a run of the schedulers print."""

from tests.peers.__main__ import as_table as table_of_peers
from tests.peers.faults import Counts
from tests.soak.__main__ import as_table, charts, warmed

RISING = [(float(second), 100.0 + second) for second in range(91)]


def test_the_first_third_is_not_judged():
    assert warmed(RISING) == RISING[30:]


def test_a_figure_that_grows_too_much_is_marked_and_one_that_is_always_0_left_out():
    figures = {"rows of jobs": RISING, "keys in Redis": [(0.0, 3), (9.0, 3)], "rows of seals": [(0.0, 0), (9.0, 0)]}
    _, _, rows, keys = as_table(figures, {"rows of jobs"}, {"rows of jobs"}).splitlines()
    assert rows == "| rows of jobs | 100 | 145 | 190 | +90.0, **too much** |"
    assert keys == "| keys in Redis | 3 | 3 | 3 | +0.0, not judged |"


def test_plots_have_minutes_and_their_unit():
    ((name, chart),) = charts({"memory of the API, MiB": RISING, "threads of the API": RISING}).items()
    assert name == "soak-memory-of-the-api.svg"
    assert chart.points[-1] == (1.5, 190.0)
    assert chart.y == "MiB"


def test_schedulers_stand_side_by_side():
    results = {"cron 3": {"overlap": Counts(5, 0, 0, 4)}, "rq 3": {"overlap": "failed"}}
    assert table_of_peers(results).splitlines()[2] == "| overlap | 5 | 0 / 4 / 0 | failed |"
