"""What is compared with the committed expectations, and what a difference comes to."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import quick
from benchmarks.expectations import TOLERANCE, differences, read, write

EXPECTED = {"enqueue: statements": {"begin": 1, "insert jobs": 1}, "engine": {"create": 1}, "instructions": {"enqueue": 1_000_000}}


def changed(**counts: dict[str, int]) -> dict[str, dict[str, int]]:
    return {**EXPECTED, **{name.replace("_", ": "): found for name, found in counts.items()}}


def test_what_is_as_expected_differs_in_nothing() -> None:
    assert list(differences(EXPECTED, EXPECTED)) == []


@pytest.mark.parametrize(
    ("found", "words", "is_growth"),
    [
        (changed(engine={"create": 2}), "engine: create: 2, expected 1 (+100.0%)", True),
        (changed(engine={"create": 1, "inspect": 1}), "engine: inspect: 1, expected 0", True),
        (changed(enqueue_statements={"begin": 1}), "enqueue: statements: insert jobs: 0, expected 1", False),
        (changed(end_statements={"begin": 1}), "end: statements: begin: 1, expected 0", True),
        (changed(instructions={"enqueue": 1_050_000}), "instructions: enqueue: 1,050,000, expected 1,000,000 (+5.0%)", True),
        (changed(instructions={"enqueue": 940_000}), "(-6.0%)", False),
    ],
)
def test_each_call_more_or_less_differs(found: dict[str, dict[str, int]], words: str, is_growth: bool) -> None:
    (difference,) = differences(EXPECTED, found)
    assert words in str(difference)
    assert difference.is_growth is is_growth


def test_instructions_may_differ_by_a_little() -> None:
    most = round(1_000_000 * (1 + TOLERANCE))
    assert list(differences(EXPECTED, changed(instructions={"enqueue": most}))) == []


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        (EXPECTED, 0, "All counts are as expected."),
        (changed(engine={"create": 2}), 1, "ARGS=--accept"),
        (changed(engine={}), 0, "So that it stays so"),
    ],
)
def test_a_growth_fails_and_the_words_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: dict[str, dict[str, int]], code: int, words: str
) -> None:
    said: list[str] = []
    monkeypatch.setattr(quick, "FILE", tmp_path / "expected.json")
    write(quick.FILE, {"python": "3.13.5"}, EXPECTED)
    assert quick.compared({"python": "3.13.5"}, found, said.append) == code
    assert words in said[-1]


def test_instructions_of_another_python_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(quick, "FILE", tmp_path / "expected.json")
    write(quick.FILE, {"python": "3.13.5"}, EXPECTED)
    assert quick.compared({"python": "3.12.1"}, changed(instructions={"enqueue": 9}), said.append) == 0
    assert "not compared" in said[0]
    assert quick.compared({"python": "3.12.1"}, changed(engine={"create": 2}), said.append) == 1


def test_the_committed_expectations_are_of_what_is_counted() -> None:
    about, expected = read(quick.FILE)
    assert about.keys() == quick.surroundings().keys()
    steps: Any = [f"{step}: {what}" for step in ("enqueue", "dispatch", "end") for what in ("statements", "Redis")]
    on_mongo = [f"{step}: MongoDB" for step in ("enqueue", "dispatch", "end")]
    keys = [f"keys on MongoDB, {jobs} jobs" for jobs in ("1,000", "100,000")]
    engine = ["engine, ended at once", "engine, seen running"]
    assert list(expected) == [*steps, *on_mongo, *keys, *engine, "instructions"]
    assert expected["instructions"].keys() == {"enqueue", "dispatch and end"}
