"""Tests that share what is costly to start go to one process, and the longest begin first (tests/support/side_by_side.py)."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.shares import in_share
from tests.support.side_by_side import UNITS, Units, check_units, in_order

BROWSER = [f"tests/browser/test_pages.py::test_page[{number}]" for number in range(6)]
CRASH = [f"tests/crash/test_seams.py::test_case[{number}]" for number in range(6)]
OTHERS = [f"tests/http/test_jobs.py::test_{number}" for number in range(6)]


class Process:
    """What the scheduler knows of a process."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.shutting_down = False
        self.got: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.got += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def distributed(ids: list[str], count: int) -> list[list[str]]:
    """The tests that each of so many processes runs; each of them takes as long as every other one."""
    config: Any = SimpleNamespace(option=SimpleNamespace(loadscopereorder=True), getvalue=lambda _name: ["popen"] * count)
    scheduler = Units(config)
    processes = [Process(str(number)) for number in range(count)]
    for process in processes:
        scheduler.add_node(cast(Any, process))
        scheduler.add_node_collection(cast(Any, process), ids)
    scheduler.schedule()
    for place in range(len(ids)):
        for process in processes:
            if place < len(process.got):
                scheduler.mark_test_complete(cast(Any, process), process.got[place])
    return [[ids[index] for index in process.got] for process in processes]


def item(nodeid: str, *fixtures: str) -> pytest.Item:
    return cast(pytest.Item, SimpleNamespace(nodeid=nodeid, fixturenames=fixtures))


def test_all_tests_of_a_unit_run_in_one_process_and_the_others_wherever_there_is_time() -> None:
    found = distributed([*BROWSER, *CRASH, *OTHERS], 3)
    assert sorted(one for ran in found for one in ran) == sorted([*BROWSER, *CRASH, *OTHERS])
    for unit in (BROWSER, CRASH):
        assert [[one for one in ran if one in unit] for ran in found if set(ran) & set(unit)] == [unit]
    assert sum(bool(set(ran) & set(OTHERS)) for ran in found) > 1


def test_units_begin_in_their_order_and_keep_their_own() -> None:
    mixed = [*OTHERS, *CRASH[:3], *BROWSER, *CRASH[3:]]
    assert [one.nodeid for one in in_order(map(item, mixed))] == [*BROWSER, *CRASH, *OTHERS]


def test_every_unit_is_there() -> None:
    """A file that was renamed would no longer be kept together."""
    root = Path(__file__).parents[2]
    for start in (start for unit in UNITS for start in unit):
        file, _, test = start.partition("::")
        assert (root / file).exists(), start
        assert not test or f"def {test.partition('[')[0]}" in (root / file).read_text(), start


def test_a_test_outside_of_the_units_that_starts_a_browser_is_told_to_join() -> None:
    with pytest.raises(pytest.UsageError, match=r"test_new\.py::test_x starts a browser: name its file in UNITS"):
        check_units([item("tests/http/test_new.py::test_x", "browser_url")])
    check_units([item(BROWSER[0], "browser_url"), item(OTHERS[0], "server")])


def test_commits_have_different_shares_and_some_of_them_together_have_all_tests() -> None:
    shares = [{one for one in (*BROWSER, *CRASH, *OTHERS) if in_share(one, f"commit-{number}", 3)} for number in range(20)]
    assert set.union(*shares) == {*BROWSER, *CRASH, *OTHERS}
    assert 1 < len(set(map(frozenset, shares))) <= 3
    assert all(len(share & set(BROWSER)) in (0, len(BROWSER)) for share in shares)
    assert any(0 < len(share & set(CRASH)) < len(CRASH) for share in shares)  # these share nothing
