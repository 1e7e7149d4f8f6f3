"""``python -m tests.soak HOURS``: runs a fastlane under a steady load, draws what it holds, and says what has grown."""

import argparse
import json
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from benchmarks.report import write_page
from benchmarks.svg import Line
from tests.soak.run import Soaked, run
from tests.support.flatness import Points, growing, growth

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/proof.md"
WARM = 1 / 3
"""The part of a run that is not judged: retention begins to remove after a tenth, and memory settles after that."""
SHARE = 0.1
ALLOWED = {
    "memory": 2.0,
    "descriptors": 4.0,
    "threads": 2.0,
    "keys": 10.0,
    "rows": 100.0,
    "files": 2.0,
    "disk": 4.0,
    "services": 10.0,
    "containers": 10.0,
}
"""By how much a figure may grow from the end of the warm part to the end of the run, or else by ``SHARE`` of its median."""
SETTLES = {"rows of deleted_executions": 86_400.0}
"""What goes after a time of its own (seconds): it is not judged until twice that has passed."""
DRAWN = ("memory of the API", "memory of the worker", "memory of Redis", "descriptors of the API", "rows of executions", "disk")


def main() -> int:
    """Makes a run. Returns 1 when something has grown, or was not answered as it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").strip())
    parser.add_argument("hours", type=float)
    parser.add_argument("--rate", type=float, default=0.5, help="short jobs a second")
    parser.add_argument("--page", action="store_true", help=f"write the figures and plots to {PAGE.relative_to(ROOT)}")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak") as folder:
        soaked = run(given.hours, given.rate, Path(folder), _say)
    warm = {name: warmed(points) for name, points in soaked.figures.items()}
    judged = {name: points for name, points in warm.items() if points[-1][0] >= 2 * SETTLES.get(name, 0.0)}
    grown = growing(judged, ALLOWED, SHARE)
    table = as_table(warm, judged, grown)
    _say(table)
    _say(json.dumps(soaked.counts))
    for trouble in soaked.troubles[:20]:
        _say(f"trouble: {trouble}")
    for name, more in grown.items():
        _say(f"{name} has grown by {more:.1f}")
    if given.page:
        _publish(given.hours, soaked, table)
    return 1 if grown or soaked.troubles else 0


def warmed(points: Points) -> Points:
    """The points after the warm part."""
    return [point for point in points if point[0] >= points[-1][0] * WARM]


def as_table(warm: Mapping[str, Points], judged: Collection[str], grown: Collection[str]) -> str:
    """The figures as a Markdown table; those that are always 0 are left out."""
    lines = ["| what | least | median | most | growth |", "| --- | --- | --- | --- | --- |"]
    for name, points in warm.items():
        values = [value for _, value in points]
        if any(values):
            more = f"{growth(points):+.1f}" + ("" if name in judged else ", not judged") + (", **too much**" if name in grown else "")
            lines.append(f"| {name} | {' | '.join(_shown(value) for value in (min(values), median(values), max(values)))} | {more} |")
    return "\n".join(lines) + "\n"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def charts(figures: Mapping[str, Points]) -> dict[str, Line]:
    """The plots, by the names of their files."""
    found = {}
    for name, points in figures.items():
        if name.startswith(DRAWN):
            title, _, unit = name.partition(", ")
            drawn: Sequence[tuple[float, float]] = [(moment / 60, value) for moment, value in points]
            found[f"soak-{title.replace(' ', '-').lower()}.svg"] = Line(f"A soak: {title}", "minutes", unit or "number", drawn)
    return found


def _publish(hours: float, soaked: Soaked, table: str) -> None:
    drawn = charts(soaked.figures)
    for name, chart in drawn.items():
        (PAGE.parent / "pictures" / name).write_text(chart.svg())
    counts = ", ".join(f"{count:,} {what}" for what, count in soaked.counts.items())
    trouble = f"{len(soaked.troubles)} requests without the answer that they should have"
    head = f"{datetime.now(UTC):%Y-%m-%d}, fastlane {soaked.version}, {hours:g} hours: {counts}; {trouble}.\n"
    pictures = "".join(f"![{chart.title}](pictures/{name})\n\n" for name, chart in drawn.items())
    write_page(PAGE, "make soak", f"{head}\n{table}\n{pictures}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
