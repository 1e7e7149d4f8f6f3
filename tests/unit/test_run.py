"""What a run of a benchmark leaves behind, whole or not."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import Figure
from benchmarks.report import figures_table
from benchmarks.run import Run, conclude

ABOUT: dict[str, Any] = {
    "time": "2026-01-01T00:00:00Z",
    "commit": "abc",
    "system": "Linux",
    "processor": "one",
    "cores": 2,
    "load": [0.1, 0.1, 0.1],
    "fdatasyncMs": 0.1,
    "python": "3",
    "sqlite": "3",
    "server": "Valkey",
    "packages": {},
    "peers": {},
    "missing": [],
}
BY = "make bench"
OLD = f"<!-- written by {BY}: begin -->\nold\n<!-- written by {BY}: end -->\n"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(OLD)
    return path


@pytest.fixture
def run(tmp_path: Path, said: list[str]) -> Run[Figure]:
    (tmp_path / "latest.json").write_text('{"figures": ["of an earlier run"]}')
    return Run(BY, ABOUT, tmp_path / "latest.json", said.append)


def part(name: str) -> list[Figure]:
    return [Figure(name, "ms", [1.0])]


def broken() -> list[Figure]:
    raise ValueError("not enough values to unpack")


def interrupted() -> list[Figure]:
    raise KeyboardInterrupt


def names_in(file: Path) -> Sequence[str]:
    return [figure["name"] for figure in json.loads(file.read_text())["figures"]]


def test_each_part_is_saved_and_printed_as_soon_as_it_is_measured(run: Run[Figure], tmp_path: Path, said: list[str]) -> None:
    def second() -> list[Figure]:
        assert names_in(tmp_path / "latest.partial.json") == ["first"]
        assert "| first | 1 ms |" in "\n".join(said)
        return part("second")

    run.measure({"first": lambda: part("first"), "second": second}, figures_table)
    assert names_in(tmp_path / "latest.partial.json") == ["first", "second"]


def test_the_results_say_how_long_each_part_took(run: Run[Figure], tmp_path: Path) -> None:
    run.measure({"first": lambda: part("first"), "second": broken}, figures_table)
    assert json.loads((tmp_path / "latest.partial.json").read_text())["about"]["seconds"] == {"first": 0}


def test_an_interrupted_run_leaves_what_it_measured_and_what_was_there_before(run: Run[Figure], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run.measure({"first": lambda: part("first"), "second": interrupted}, figures_table)
    assert names_in(tmp_path / "latest.partial.json") == ["first"]
    assert "of an earlier run" in (tmp_path / "latest.json").read_text()


def test_a_part_that_fails_is_named_and_the_others_are_measured(run: Run[Figure], tmp_path: Path, page: Path, said: list[str]) -> None:
    run.measure({"first": broken, "second": lambda: part("second")}, figures_table)
    assert conclude(run, figures_table(run.figures), whole=True, page=(page, BY)) == 1
    assert "not enough values to unpack" in "\n".join(said)
    assert "could not measure first" in said[-1]
    assert names_in(tmp_path / "latest.partial.json") == ["second"]
    assert "of an earlier run" in (tmp_path / "latest.json").read_text()
    assert page.read_text() == OLD


def test_a_whole_run_replaces_the_results_and_the_page(run: Run[Figure], tmp_path: Path, page: Path) -> None:
    run.measure({"first": lambda: part("first")}, figures_table)
    assert conclude(run, figures_table(run.figures), whole=True, page=(page, BY)) == 0
    assert names_in(tmp_path / "latest.json") == ["first"]
    assert not (tmp_path / "latest.partial.json").exists()
    assert "| first | 1 ms |" in page.read_text()


def test_a_run_of_some_parts_replaces_neither(run: Run[Figure], tmp_path: Path, page: Path) -> None:
    run.measure({"first": lambda: part("first")}, figures_table)
    assert conclude(run, figures_table(run.figures), whole=False, page=(page, BY)) == 0
    assert names_in(tmp_path / "latest.partial.json") == ["first"]
    assert "of an earlier run" in (tmp_path / "latest.json").read_text()
    assert page.read_text() == OLD
