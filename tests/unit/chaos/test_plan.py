"""The plan of a run follows from its seed, and the page says what its faults do."""

from itertools import pairwise
from pathlib import Path

from tests.chaos import faults, page, plan
from tests.chaos.__main__ import PLANTED, program_with
from tests.chaos.run import Order, groups
from tests.faults.mutants import Fault, planted

MINUTES_5 = 300.0


def order(seed: int, store: str = "sqlite") -> Order:
    return Order(seed, MINUTES_5, store, Path())


def planned(seed: int, store: str = "sqlite") -> list[plan.PlannedFault]:
    return plan.faults(seed, MINUTES_5, groups(order(seed, store)))


def test_a_seed_decides_what_happens() -> None:
    assert planned(1) == planned(1) != planned(3)
    assert plan.wishes(1, MINUTES_5) == plan.wishes(1, MINUTES_5) != plan.wishes(2, MINUTES_5)


def test_faults_of_one_group_never_overlap() -> None:
    for seed in range(20):
        strikes = groups(order(seed))
        for group in set(strikes.values()):
            times = [(fault.at, fault.at + fault.lasts) for fault in planned(seed) if strikes[fault.name] == group]
            assert all(before[1] < after[0] for before, after in pairwise(times))


def test_each_fault_comes_in_some_run_and_none_where_it_cannot() -> None:
    came = {store: {fault.name for seed in range(20) for fault in planned(seed, store)} for store in ("sqlite", "mongo")}
    assert came["sqlite"] | came["mongo"] == {fault.name for fault in faults.FAULTS}
    assert came["sqlite"] ^ came["mongo"] == {fault.name for fault in faults.FAULTS if fault.on in ("sqlite", "mongo")}


def test_the_page_says_what_each_fault_does() -> None:
    assert "\n".join(faults.table()) in page.PAGE.read_text()


def test_each_planted_fault_can_be_made() -> None:
    assert [fault for fault in planted(PLANTED) if not isinstance(fault, Fault)] == []
    assert [fault.id for fault in planted(PLANTED)] == list(page.meanings())


def test_a_run_has_a_copy_of_the_program_with_the_planted_fault_or_none(tmp_path: Path) -> None:
    fault = next(fault for fault in planted(PLANTED) if isinstance(fault, Fault))
    for id, changed in ("", False), (fault.id, True):
        folder = program_with(id, tmp_path / f"copy{id}")
        assert ((folder / fault.file).read_bytes() != (page.PAGE.parents[1] / fault.file).read_bytes()) == changed


def test_a_run_takes_the_place_of_an_earlier_one_of_its_version(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    copy = tmp_path / "proof.md"
    copy.write_text(page.PAGE.read_text())
    monkeypatch.setattr(page, "PAGE", copy)
    before = copy.read_text().splitlines()
    for _ in range(2):
        page.publish(page.Row(999, 5, "SQLite", "0123abcd"), page.Verdict(7))
        page.publish_planted("tick-left-out", "999, 5 min, SQLite", page.Verdict())
    added = [line for line in copy.read_text().splitlines() if line not in before]
    assert added == [
        "| 999 | 5 | SQLite | 0123abcd | 7 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |",
        f"| `tick-left-out`: {page.meanings()['tick-left-out']} | 999, 5 min, SQLite | not noticed |",
    ]
