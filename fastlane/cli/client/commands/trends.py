"""The commands that look at what jobs took over their runs: ``stats``."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, connect
from fastlane.cli.client.output import Column, ListLayout, OutputForm, counted, duration, echo, json_text, relative, show
from fastlane.cli.client.reference import JOB, find_job

MOST_RUNS, MOST_BARS = 100, 40
UNITS = ("B", "KiB", "MiB", "GiB")
BARS = "▁▂▃▄▅▆▇█"


def memory(amount: float) -> str:
    """A size in the units in which a limit is given: 512 MiB."""
    place = 0
    while amount >= 1_024 and place < len(UNITS) - 1:
        amount, place = amount / 1_024, place + 1
    return f"{amount:,.0f} {UNITS[place]}" if amount >= 100 or not place else f"{amount:.3g} {UNITS[place]}"


MEASURES: Sequence[tuple[str, str, Callable[[float], str]]] = (
    ("duration", "durationMs", lambda value: duration(value / 1_000)),
    ("memory peak", "memoryPeakBytes", memory),
    ("processor time", "cpuSeconds", duration),
    ("output", "outputBytes", memory),
)
"""Each measure: its name for people, its key in answers, and its values for people."""


def plot(values: Sequence[float | None]) -> str:
    """A character for each value, from the first on: a bar as high as its share of the largest; a space where there is none. Of more
    values than there is room for, each character stands for the largest of several."""
    each = -(-len(values) // MOST_BARS) or 1
    groups = [[value for value in values[at : at + each] if value is not None] for at in range(0, len(values), each)]
    most = max((max(group) for group in groups if group), default=0)
    return "".join(_bar(max(group), most) if group else " " for group in groups)


def _bar(value: float, most: float) -> str:
    return BARS[min(len(BARS) - 1, int(value / most * len(BARS)))] if most else BARS[0]


def _rows(found: Any) -> list[dict[str, Any]]:
    return [
        {"name": name, "show": words, **found[key], "plot": plot([run[key] for run in reversed(found["items"])])}
        for name, key, words in MEASURES
    ]


def _value(key: str) -> Callable[[Any], str]:
    return lambda row: "" if row[key] is None else row["show"](row[key])


def _halves(row: Any) -> str:
    return "" if row["olderMedian"] is None else f"{row['show'](row['olderMedian'])} to {row['show'](row['newerMedian'])}"


STATS = ListLayout(
    (
        Column("MEASURE", lambda row: row["name"]),
        Column("RUNS", lambda row: row["runs"]),
        Column("NEWEST", _value("newest")),
        Column("MEDIAN", _value("median")),
        Column("95%", _value("p95"), yields=3),
        Column("MOST", _value("most")),
        Column("OLDER TO NEWER", _halves, yields=4),
        Column("OLDEST TO NEWEST RUN", lambda row: row["plot"], yields=5),
    ),
    lambda row: str(row["name"]),
)


@click.command(cls=ClientCommand)
@JOB
@click.option("-n", "--last", "most", type=click.IntRange(1, MOST_RUNS), default=MOST_RUNS, help=f"Of this many executions ({MOST_RUNS}).")
@click.option("--status", metavar="STATUS", help="Only runs that ended so, or in several ways: done,failed.")
@click.option("--json", "as_json", is_flag=True, help="JSON, as the server has it, with each run.")
@CONTEXT
def stats(job: str, most: int, status: str | None, as_json: bool, context: str | None) -> None:
    """Shows what a job's newest runs took: duration, most memory, processor time and output, and how each grew.

    \b
    Examples:
      fastlane stats backup
      fastlane stats backup --status done -n 30
      fastlane stats backup --json
    """
    with connect(context) as client:
        name = find_job(client, job, newest=True)
        found: Any = client.jobs.stats(name.task, name.id, runs=most, status=status)
    if as_json:
        return click.echo(json_text(found))
    echo(_summary(found))
    if found["items"]:
        show(STATS, _rows(found), OutputForm())
    return None


def _summary(found: Any) -> str:
    """Over which runs the figures are."""
    of = f" of {found['total']}" if found["total"] > found["executions"] else ""
    looked = f"the newest {counted(found['executions'], 'execution')}{of}"
    if not found["items"]:
        return f"no such run has ended among {looked}"
    ended = ", ".join(f"{count} {status}" for status, count in found["ended"].items())
    return f"over {counted(found['runs'], 'run')} ({ended}) of {looked}, since {relative(found['items'][-1]['startedAt'])}"
