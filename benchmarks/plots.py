"""The plots of docs/performance.md, from the figures of a run. ``make bench`` writes them after a whole run; ``python -m benchmarks.plots``
writes them again from ``benchmarks/results/latest.json``.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import click

from benchmarks.processes import ROOT
from benchmarks.report import is_on_mongo, write_page
from benchmarks.svg import Bars, Line

RESULTS = ROOT / "benchmarks/results/latest.json"
PAGE = ROOT / "docs/performance.md"
BY = "make bench plots"
"""Whose marks in the page the plots stand between."""
FOLDER = "pictures"

Raw = Mapping[str, Any]
Chart = Bars | Line


class Results:
    """The figures of a result file, by name; the first of those with the same name."""

    def __init__(self, figures: Sequence[Raw]) -> None:
        self.all = figures
        self._named = {figure["name"]: figure for figure in reversed(figures)}

    def ours(self, name: str) -> float | None:
        """The median of fastlane's side; None without such a figure."""
        return self._median(name, "ours")

    def peer(self, name: str) -> float | None:
        """The median of the other side."""
        return self._median(name, "peer")

    def matching(self, pattern: str) -> Iterator[tuple[str, float]]:
        """The group of the pattern, and the median of fastlane's side, of each figure whose whole name matches."""
        for name in dict.fromkeys(figure["name"] for figure in self.all):
            if (found := re.fullmatch(pattern, name)) and (value := self.ours(name)) is not None:
                yield found[1], value

    def _median(self, name: str, side: str) -> float | None:
        values = self._named.get(name, {}).get(side)
        return median(values) if values else None


def targets(results: Results) -> Bars:
    """How far each figure is from its target."""
    rows = []
    for figure in results.all:
        target, compared = figure["target"], figure["compared"]
        if target and compared and compared["median"] > 0 and target["value"] > 0 and not is_on_mongo(figure["name"]):
            share = compared["median"] / target["value"]
            rows.append((_label(results, figure), [share if target["atLeast"] else 1 / share]))
    return Bars("Each figure and its target", "1 is the target; 2 is twice as good; left of the line it is missed", rows, around=1.0)


def _label(results: Results, figure: Raw) -> str:
    """The figure's name, and the other side's where another figure has the same name."""
    alone = sum(one["name"] == figure["name"] for one in results.all) == 1
    return figure["name"] if alone else f"{figure['name']} ({figure['peerName']})"


def processes(results: Results) -> Bars:
    """Enqueues by the number of the API's processes."""
    many = [
        (count, [results.ours(f"enqueue, {connections} connections, --processes {count}") for connections in (32, 256)]) for count in "124"
    ]
    rows = [(f"fastlane api --processes {count}", values) for count, values in many]
    return Bars("Enqueues by processes of the API", "requests/s", rows, ("32 connections", "256 connections"))


def workers(results: Results) -> Bars:
    """Dispatch by the number of workers."""
    names = {1: "dispatch, 1 worker", 2: "dispatch, 2 workers, against 1", 4: "dispatch, 4 workers, against 1"}
    rows = [(f"{count} worker{'s' if count > 1 else ''}", [results.ours(name)]) for count, name in names.items()]
    return Bars("Jobs started, ended and settled, by workers", "jobs/s", rows)


def lateness(results: Results) -> Bars:
    """How late what is due starts."""
    far = dict.fromkeys(found for found, _ in results.matching(r"lateness, [\d,]+ due a second, (.+) far off, p50"))
    names = [f"lateness, 1,000 due a second, {many} far off, {percent}" for many in far for percent in ("p50", "p99", "max")]
    rows = [(name.removeprefix("lateness, 1,000 due a second, "), [results.ours(name), results.peer(name)]) for name in names]
    return Bars("From the due time to the claim, 1,000 due a second", "ms", rows, ("fastlane", "a bare loop"))


def price(results: Results) -> Bars:
    """A worker's processor time by running containers."""
    none = results.ours("a worker, no simulated containers")
    counts = [count for count, _ in results.matching(r"a worker, ([\d,]+) simulated containers, no lines")]
    kinds = ("no lines", "a line a second each")
    running = [(f"{count} run", [results.ours(f"a worker, {count} simulated containers, {kind}") for kind in kinds]) for count in counts]
    return Bars("What a worker uses while containers run", "% of a core", [("none run", [none, None]), *running], kinds)


def hosts(results: Results) -> Bars:
    """A worker's processor time by hosts."""
    return Bars(
        "What an idle worker uses, by hosts",
        "% of a core",
        [(f"{count} hosts", [value]) for count, value in results.matching(r"an idle worker, ([\d,]+) hosts")],
    )


def memory(results: Results) -> Line:
    """The memory of ``fastlane up`` over many jobs."""
    found = results.matching(r"fastlane up, memory after ([\d,]+) jobs")
    points = [(float(count.replace(",", "")), value) for count, value in found]
    return Line("The memory of fastlane up over 100,000 jobs", "jobs that have ended", "MiB", points)


CHARTS: Mapping[str, Callable[[Results], Chart]] = {
    "targets": targets,
    "processes": processes,
    "workers": workers,
    "lateness": lateness,
    "price": price,
    "hosts": hosts,
    "memory": memory,
}


def draw(figures: Sequence[Raw]) -> dict[str, Chart]:
    """The charts for which there are figures, by name."""
    charts = {name: chart(Results(figures)) for name, chart in CHARTS.items()}
    return {name: chart for name, chart in charts.items() if _measured(chart)}


def write(figures: Sequence[Raw], page: Path) -> None:
    """Writes the charts beside the page, and their pictures into it; removes those of an earlier run that have no figures now."""
    charts, folder = draw(figures), page.parent / FOLDER
    folder.mkdir(exist_ok=True)
    for name in CHARTS:
        path = folder / f"bench-{name}.svg"
        if name in charts:
            path.write_text(charts[name].svg())
        else:
            path.unlink(missing_ok=True)
    write_page(page, BY, "\n".join(f"![{chart.title}]({FOLDER}/bench-{name}.svg)\n" for name, chart in charts.items()))


def _measured(chart: Chart) -> bool:
    if isinstance(chart, Line):
        return len(chart.points) > 1
    return any(value is not None for _, row in chart.rows for value in row)


@click.command()
def main() -> None:
    """Writes the plots of the last whole run again."""
    write(json.loads(RESULTS.read_text())["figures"], PAGE)


if __name__ == "__main__":
    main()
