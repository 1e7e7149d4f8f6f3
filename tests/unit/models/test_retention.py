"""Which of a job's executions retention lets go, and how rules of a server, a pool and a job come together."""

import pytest

from fastlane.models.retention import ANY_NUMBER, NEVER, Cuts, PastExecution, Retention, overdue_executions, strictest, ticks_of

DAY = 86_400_000


def past(sequence: int, finished_at: int | None = 10, **changed: bool) -> PastExecution:
    name = f"{sequence}"
    return PastExecution(name, f"tick {name}", sequence, finished_at, **{"settled": True, "cleaned": True, **changed})


def overdue(rows: list[PastExecution], cuts: Cuts, newest: int = 99, kept_from: int = 0) -> list[str]:
    return [row.id for row in overdue_executions(rows, cuts, newest=newest, kept_from=kept_from)]


def test_what_ended_before_the_moment_goes_up_to_the_first_that_did_not():
    rows = [past(1, 5), past(2, 9), past(3, 10), past(4, 5)]
    assert overdue(rows, Cuts(executions=10)) == ["1", "2"]


def test_what_is_too_many_goes_however_young_it_is():
    rows = [past(1, 500), past(2, 500), past(3, 500)]
    assert overdue(rows, Cuts(), kept_from=3) == ["1", "2"]


def test_the_newest_stays():
    assert overdue([past(1), past(2)], Cuts(executions=100), newest=2) == ["1"]
    assert overdue([past(2)], Cuts(executions=100), newest=2, kept_from=9) == []


@pytest.mark.parametrize("changed", [{"settled": False}, {"cleaned": False}, {"owed": True}])
def test_nothing_goes_past_what_is_not_at_its_end(changed: dict[str, bool]):
    assert overdue([past(1), past(2, **changed), past(3)], Cuts(executions=100), kept_from=50) == ["1"]


def test_what_runs_has_no_end_and_stays():
    assert overdue([past(1, None)], Cuts(executions=100), kept_from=50) == []


def test_attempts_of_a_tick_go_together():
    rows = [past(1, 5), past(1, 50), past(2, 5)]
    assert overdue(rows, Cuts(executions=10)) == []
    assert overdue(rows, Cuts(executions=60)) == ["1", "1", "2"]
    assert ticks_of(rows) == ["tick 1", "tick 2"]


def test_a_pool_s_rules_stand_before_the_server_s_and_a_job_s_only_where_they_are_stricter():
    server = Retention(30 * DAY, 30 * DAY, 1_000, 14 * DAY)
    pool = Retention(executions=90 * DAY, max_executions=50)
    both = pool.over(server)
    assert both == Retention(30 * DAY, 90 * DAY, 50, 14 * DAY)
    assert Retention(executions=DAY, max_executions=100).within(both) == Retention(30 * DAY, DAY, 50, 14 * DAY)
    assert Retention().within(both) == both
    assert Retention(logs=DAY).within(Retention()) == Retention(logs=DAY)


def test_a_rule_that_there_is_not_lets_nothing_go():
    assert Retention().cuts(1_000) == Cuts(NEVER, NEVER, ANY_NUMBER, NEVER)
    assert Retention(100, 200, 3, 400).cuts(1_000) == Cuts(900, 800, 3, 600)


def test_the_strictest_of_several_rules_lets_go_what_any_of_them_does():
    assert strictest([Cuts(5, 100, 7, 1), Cuts(executions=200, logs=9), Cuts(4, 50, 3)]) == Cuts(5, 200, 3, 9)
