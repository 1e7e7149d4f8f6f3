"""The commands that look at what jobs took over their runs: ``stats``, ``advise`` and ``usage``."""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, connect
from fastlane.cli.client.output import Column, ListLayout, OutputForm, counted, duration, echo, form_options, json_text, relative, show
from fastlane.cli.client.reference import JOB, UUID, complete_task, find_job, named_task, short

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


OF_JOB = ("taskId", "jobId", "name", "executions", "ticks")
"""The fields of a job's advice that each row of it has."""
ADVICE = ListLayout(
    (
        Column("JOB", lambda row: short(row["taskId"], row["jobId"]), name=True),
        Column("NAME", lambda row: row["name"] or "", yields=4),
        Column("ADVICE", lambda row: row["code"], yields=2),
        Column("FIELD", lambda row: row["field"] or "", yields=2),
        Column("NOW", lambda row: "" if row["current"] is None else row["current"], yields=3),
        Column("TRY", lambda row: "" if row["suggested"] is None else row["suggested"], yields=2),
        Column("WHY", lambda row: f"{row['message']}; {row['change']}", yields=6, whole=True),
    ),
    lambda row: f"{row['taskId']}/{row['jobId']}",
)


@click.command(cls=ClientCommand)
@click.argument("what", metavar="[TASK|JOB]", required=False, shell_complete=complete_task)
@form_options
@CONTEXT
def advise(what: str | None, context: str | None, **form: Any) -> None:
    """Shows what to change in jobs, by what their newest 100 executions and due times took: limits of memory and processors, timeouts,
    crons, retries, expirations. Of all jobs, of a task's, or of one job.

    \b
    Examples:
      fastlane advise
      fastlane advise report
      fastlane advise report/nightly
      fastlane advise --format '{taskId}/{jobId} {field} {suggested}'
    """
    with connect(context) as client:
        if what is None or not (set("/") & set(what) or UUID.fullmatch(what)):
            if what is not None:
                with named_task(client, what):
                    next(client.tasks.jobs(what), None)
            found: list[Any] = list(client.server.advice(task=what))
            nothing = "nothing to advise: no job has enough runs that call for a change"
        else:
            name = find_job(client, what, newest=True)
            one: Any = client.jobs.advice(name.task, name.id)
            found = [one]
            nothing = f"nothing to advise, by {counted(one['executions'], 'execution')} and {counted(one['ticks'], 'due time')}"
    rows = [{**{name: job[name] for name in OF_JOB}, **advice} for job in found for advice in job["advice"]]
    if rows or any(form.values()):
        show(ADVICE, rows, OutputForm(**form))
    else:
        echo(nothing)


def _share(row: Any, some: str, what: str) -> str:
    """A figure, and over how many of the runs it is, where not over all."""
    if not row[some]:
        return ""
    text = what.format(**row)
    return text if row[some] == row["runs"] else f"{text} (of {row[some]} runs)"


USAGE = ListLayout(
    (
        Column("VALUE", lambda row: "(none)" if row["value"] is None else row["value"]),
        Column("RUNS", lambda row: row["runs"]),
        Column("FAILURES", lambda row: row["failures"], yields=3),
        Column("CONTAINER TIME", lambda row: duration(row["containerSeconds"])),
        Column("PROCESSOR TIME", lambda row: duration(row["processorSeconds"]) if row["measuredRuns"] else "", yields=4),
        Column("GIB HOURS BY PEAK", lambda row: _share(row, "measuredRuns", "{memoryPeakGibHours:,.4g}"), yields=2),
        Column("GIB HOURS BY LIMIT", lambda row: _share(row, "limitedRuns", "{memoryLimitGibHours:,.4g}"), yields=5),
    ),
    lambda row: row["value"] or "",
)


@click.command(cls=ClientCommand)
@click.option("--by", required=True, metavar="LABEL", help="Sum by this label; task or pool: by these (label:task is a label).")
@click.option("--task", metavar="TASK", help="Only executions of this task.", shell_complete=complete_task)
@click.option("--since", metavar="TIME", default="30d", show_default=True, help="Due at or after this: a time, or a duration ago.")
@click.option("--until", metavar="TIME", help="Due before this: a time, or a duration ago; now unless given.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV, for a spreadsheet.")
@form_options
@CONTEXT
def usage(by: str, task: str | None, since: str, until: str | None, as_csv: bool, context: str | None, **form: Any) -> None:
    """Shows what executions used of the hosts, by a label's value, by task or by pool: how long containers ran, their processor time, and
    memory times time, by the peak of each run and by its limit. Each execution that has ended counts in the time in which it was due.

    \b
    Examples:
      fastlane usage --by team
      fastlane usage --by pool --since 7d
      fastlane usage --by cost-centre --since 2027-03-01T00:00:00Z --until 2027-04-01T00:00:00Z --csv > march.csv
    """
    if as_csv and any(form.values()):
        raise click.UsageError("give either --csv or another form")
    with connect(context) as client:
        if as_csv:
            sys.stdout.buffer.write(client.server.usage_csv(by, task=task, since=since, until=until))
            return
        rows = summed(client.server.usage(by, task=task, since=since, until=until))
    if rows or any(form.values()):
        show(USAGE, rows, OutputForm(**form))
    else:
        echo("no execution that was due in this time has ended")


def summed(pieces: Iterable[Any]) -> list[dict[str, Any]]:
    """The rows of all pieces, one for each value, the one with most container time first."""
    by_value = dict[str | None, dict[str, Any]]()
    for piece in pieces:
        for row in piece["items"]:
            known = by_value.setdefault(row["value"], {**row, **{name: 0 for name in row if name != "value"}})
            for name in row.keys() - {"value"}:
                known[name] += row[name]
    return sorted(
        by_value.values(), key=lambda row: (-row["containerSeconds"], -row["executions"], row["value"] is None, row["value"] or "")
    )
