"""The plots of a run: the same figures give the same files, with words for those who do not see them."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks import plots
from benchmarks.figures import Comparison, Figure, Target
from benchmarks.svg import Bars, Line

SVG = "{http://www.w3.org/2000/svg}"
FIGURES = [
    Figure("dispatch, 1 worker", "jobs/s", [900.0, 1000.0, 1200.0], [2000.0], "huey", target=Target(1.0, at_least=True)),
    Figure("dispatch, 1 worker", "jobs/s", [900.0, 1000.0, 1200.0], [500.0], "Celery"),
    Figure("dispatch, 2 workers, against 1", "jobs/s", [1800.0], [1000.0], "one worker"),
    Figure("enqueue <&> start, p50", "ms", [5.0], [10.0], "a & b", target=Target(2.0, at_least=False)),
    Figure("fastlane up, memory after 0 jobs", "MiB", [90.0], comparison=Comparison.ALONE),
    Figure("fastlane up, memory after 10,000 jobs", "MiB", [95.0], comparison=Comparison.ALONE),
]
MARKS = [f"<!-- written by {plots.BY}: {end} -->" for end in ("begin", "end")]


def raw(figures: list[Figure]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = json.loads(json.dumps([figure.as_json() for figure in figures]))
    return made


def page_in(folder: Path) -> Path:
    page = folder / "performance.md"
    page.write_text("before\n{}\n{}\nafter\n".format(*MARKS))
    return page


def test_only_what_was_measured_is_drawn() -> None:
    assert list(plots.draw(raw(FIGURES))) == ["targets", "workers", "memory"]
    assert plots.draw([]) == {}


def test_a_figure_below_its_target_is_left_of_the_line_whichever_way_is_better() -> None:
    chart = plots.draw(raw(FIGURES))["targets"]
    assert isinstance(chart, Bars)
    assert dict(chart.rows) == {"dispatch, 1 worker (huey)": [0.45], "enqueue <&> start, p50": [4.0]}


def test_a_series_without_a_figure_leaves_a_gap() -> None:
    chart = plots.draw(raw(FIGURES))["workers"]
    assert isinstance(chart, Bars)
    assert chart.rows == [("1 worker", [1000.0]), ("2 workers", [1800.0]), ("4 workers", [None])]


def test_a_chart_is_xml_with_title_and_values_as_text() -> None:
    for chart in plots.draw(raw(FIGURES)).values():
        root = ElementTree.fromstring(chart.svg())
        assert root.get("role") == "img"
        assert root.get("aria-labelledby") == f"{root[0].get('id')} {root[1].get('id')}"
        assert root[0].text == chart.title
    told = Line("Memory", "jobs", "MiB", [(0.0, 90.0), (10_000.0, 95.0)]).svg()
    assert "MiB, by jobs. 0: 90; 10,000: 95." in told


def test_all_of_a_chart_is_inside_its_picture() -> None:
    for chart in plots.draw(raw(FIGURES)).values():
        root = ElementTree.fromstring(chart.svg())
        width, height = float(root.get("width", "")), float(root.get("height", ""))
        for bar in root.iter(f"{SVG}rect"):
            x, y = float(bar.get("x", "0")), float(bar.get("y", "0"))
            assert x >= 0
            assert x + float(bar.get("width", "")) <= width
            assert y >= 0
            assert y + float(bar.get("height", "")) <= height
        for text in root.iter(f"{SVG}text"):
            assert 0 <= float(text.get("x", "")) <= width
            assert 0 <= float(text.get("y", "")) <= height


def test_a_second_writing_changes_nothing(tmp_path: Path) -> None:
    page = page_in(tmp_path)
    plots.write(raw(FIGURES), page)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    plots.write(raw(FIGURES), page)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == files
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "![The memory of fastlane up over 100,000 jobs](pictures/bench-memory.svg)" in text


def test_a_plot_without_figures_goes(tmp_path: Path) -> None:
    page = page_in(tmp_path)
    plots.write(raw(FIGURES), page)
    plots.write(raw(FIGURES[:3]), page)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["bench-targets.svg", "bench-workers.svg"]
    assert "bench-memory" not in page.read_text()


def test_the_plots_of_the_page_are_those_of_the_last_whole_run() -> None:
    charts = plots.draw(json.loads(plots.RESULTS.read_text())["figures"])
    drawn = {path.name: path.read_text() for path in (plots.PAGE.parent / plots.FOLDER).glob("bench-*.svg")}
    assert drawn == {f"bench-{name}.svg": chart.svg() for name, chart in charts.items()}, "write them again: python -m benchmarks.plots"
