"""How a run is told: rows of a table, and the part of a page that a command writes."""

from pathlib import Path

import pytest

from benchmarks.compare import Row, Sizes, as_table
from benchmarks.figures import Comparison, Figure, Lateness, Target
from benchmarks.report import figures_table, write_page


def test_a_row_tells_both_sides_the_spread_and_whether_the_target_was_met() -> None:
    figure = Figure("dispatch", "jobs/s", [1500.0, 1000.0, 900.0], [1000.0, 1000.0, 1000.0], "huey", target=Target(1.2, at_least=True))
    expected = "| dispatch | 1,000 jobs/s | 1,000 jobs/s (huey) | 1.00 (0.90 to 1.50) | ≥ 1.2, **missed** |"
    assert figures_table([figure]).splitlines()[-1] == expected


def test_a_figure_that_stands_alone_has_no_comparison_but_its_target_has_a_unit() -> None:
    figure = Figure("memory", "bytes", [234.2], comparison=Comparison.ALONE, target=Target(275.0, at_least=False))
    assert figures_table([figure]).splitlines()[-1] == "| memory | 234 bytes |  |  | ≤ 275 bytes, met |"


def test_a_queue_that_starts_early_or_never_is_said_to_do_so() -> None:
    some = Lateness(4, (-250.0, 1.0, 2.0), again=1)
    row = Row("other", "1.2", 4321.0, 987.0, some, Lateness(4, ()), 64_000_000)
    expected = "| other 1.2 | 4,321 | 987 | 1.0 / never / never; 1 early, by up to 250; 1 not started; 1 twice | none started | 64 |"
    assert as_table([row], Sizes()).splitlines()[-1] == expected


def test_only_the_part_of_the_command_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    parts = [f"<!-- written by {by}: begin -->\nold\n<!-- written by {by}: end -->\n" for by in ("make bench", "make bench-peers")]
    page.write_text(f"before\n{parts[0]}between\n{parts[1]}after\n")
    write_page(page, "make bench-peers", "new\n")
    assert page.read_text() == f"before\n{parts[0]}between\n{parts[1].replace('old', 'new')}after\n"


def test_a_page_without_the_marks_is_left_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="has no line"):
        write_page(page, "make bench", "new\n")
    assert page.read_text() == "nothing\n"
