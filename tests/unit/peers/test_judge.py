"""Of a job that runs each minute: which due times were lost, which have no word about it, and which runs were too many."""

import pytest

from tests.peers.faults import MINUTE, Counts, Started, judge

FIRST = 1_800_000_000


def run(name, minute, second=0.5, takes=8.0):
    begins = FIRST + minute * MINUTE + second
    return [Started(name, True, begins), *([] if takes is None else [Started(name, False, begins + takes)])]


def judged(*runs, last=2, explained=0):
    lines = sorted((line for one in runs for line in one), key=lambda line: line.moment)
    return judge(lines, FIRST, last, lambda lost: explained)


GOOD = (run("a", 0), run("b", 1), run("c", 2))


@pytest.mark.parametrize(
    ("runs", "explained", "counts"),
    [
        (GOOD, 0, Counts(3, 0, 0, 0)),
        (GOOD[:2], 0, Counts(3, 1, 1, 0)),
        (GOOD[:2], 1, Counts(3, 1, 0, 0)),
        ([GOOD[0], GOOD[2], run("late", 1, 40)], 0, Counts(3, 0, 0, 0)),
        ([GOOD[0], run("c", 2, 1), run("late", 2, 30)], 0, Counts(3, 0, 0, 0)),
        ([*GOOD, run("again", 1, 20)], 0, Counts(3, 0, 0, 1)),
        ([*GOOD, run("beside", 1, 2)], 0, Counts(3, 0, 0, 1)),
        ([GOOD[0], GOOD[2], run("killed", 1, takes=None), run("retry", 1, 20)], 0, Counts(3, 0, 0, 0)),
        ([GOOD[0], GOOD[2], run("killed", 1, takes=None)], 0, Counts(3, 1, 1, 0)),
        ([*GOOD, run("before", -1)], 0, Counts(3, 0, 0, 0)),
    ],
)
def test_due_times_are_counted_by_their_runs(runs, explained, counts):
    assert judged(*runs, explained=explained) == counts


def test_a_run_that_goes_on_into_the_next_minute_is_beside_the_next_run():
    assert judged(run("a", 0, takes=75), run("b", 1), run("c", 2)).doubled == 1
