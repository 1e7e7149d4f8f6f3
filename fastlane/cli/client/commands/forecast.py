"""``fastlane forecast``: what the schedules will come to."""

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, connect
from fastlane.cli.client.forecast_days import HOURS_OF_ROWS, ForecastSum, minute
from fastlane.cli.client.output import Column, ListLayout, OutputForm, counted, duration, echo, form_options, moment, relative, show
from fastlane.cli.client.reference import complete_task, named_task, short

USUAL_DAYS, MOST_DAYS, MOST_RUNS = 7, 366, 100
DAY = 86_400
RUNS = ListLayout(
    (
        Column("DUE", lambda row: minute(row["due"])),
        Column("IN", lambda row: relative(row["due"]), yields=3),
        Column("JOB", lambda row: short(row["taskId"], row["jobId"]), name=True),
        Column("NAME", lambda row: row["name"] or "", yields=4),
        Column("POOL", lambda row: row["pool"], yields=6),
        Column("TAKES", lambda row: "" if row["usualDuration"] is None else duration(row["usualDuration"]), yields=2),
        Column("SKIPPED", lambda row: row["skipped"] or "", yields=5, whole=True),
    ),
    lambda row: f"{row['taskId']}/{row['jobId']}",
)


def _layout(found: ForecastSum) -> ListLayout:
    """The columns of a forecast: one for each pool in which anything is due or runs."""
    rows = found.rows
    used = [name for name in found.pools if any(name in row["pools"] for row in rows)]
    pools = [Column(f"POOL {name or '(none)'}", partial(_load, found, name), yields=1) for name in used]
    return ListLayout(
        (
            Column("FROM", lambda row: row["begins"]),
            Column("DUE", lambda row: row["due"]),
            Column("SKIPPED", lambda row: row["skipped"] or "", yields=4),
            Column("BUSIEST MINUTE", lambda row: f"{minute(row['busiestMinute'])}: {row['busiestDue']}" if row["due"] else "", yields=3),
            Column("QUIET MINUTES", lambda row: row["quietMinutes"], yields=5),
            *pools,
        ),
        lambda row: str(row["begins"]),
    )


def _load(found: ForecastSum, pool: str, row: Any) -> str:
    """How many run at once, on average and at most, beside how many may."""
    here = row["pools"].get(pool)
    if here is None:
        return ""
    most = found.pools[pool]["maxRunning"]
    return f"{here['load']:.1f}, up to {here['peak']}/{most}{' FULL' if here['peak'] > most else ''}"


@click.command(cls=ClientCommand)
@click.argument("task", metavar="[TASK]", required=False, shell_complete=complete_task)
@click.option("--days", type=click.IntRange(1, MOST_DAYS), help=f"How many days ({USUAL_DAYS}).")
@click.option("--from", "since", metavar="TIME", help="From this time on, such as 2027-03-28T00:00:00Z; now unless given.")
@click.option("--until", metavar="TIME", help="Until this time; not together with --days.")
@click.option("--runs", is_flag=True, help="List the due times, and not what they come to.")
@click.option("-n", "--last", "most", type=click.IntRange(1), default=MOST_RUNS, help=f"With --runs: at most this many ({MOST_RUNS}).")
@form_options
@CONTEXT
def forecast(
    task: str | None,
    days: int | None,
    since: str | None,
    until: str | None,
    runs: bool,
    most: int,
    context: str | None,
    **form: Any,
) -> None:
    """Shows what the schedules will come to, of all tasks or of one: for each day (for each hour, of three days at most) how many
    executions are due, and how many run at once in each pool; then full pools, minutes in which many jobs are due, quiet minutes, and jobs
    to look at.

    \b
    Examples:
      fastlane forecast
      fastlane forecast --days 1
      fastlane forecast --days 366
      fastlane forecast report --runs
      fastlane forecast --runs --days 1 --format '{due} {taskId}/{jobId} {skipped}'
    """
    if days is not None and until is not None:
        raise click.UsageError("give either --days or --until")
    with connect(context) as client:
        if task is not None:
            with named_task(client, task):
                next(client.tasks.jobs(task), None)
        if runs:
            found = client.server.planned_runs(days=days, since=since, until=until, task=task)
            show(RUNS, islice(found, most), OutputForm(**form))
            return
        pieces = client.server.forecast(days=days, since=since, until=until, task=task)
        total = _taken(pieces, days or USUAL_DAYS, until)
    show(_layout(total), total.rows, OutputForm(**form))
    if not any(form.values()):
        for line in [_about(total), *total.words()]:
            echo(line)


def _about(found: ForecastSum) -> str:
    more = ", and others that were not looked at" if found.at_least else ""
    return f"{counted(found.jobs, 'job')} with a time to come{more}"


def _taken(pieces: Iterable[Any], days: int, until: str | None) -> ForecastSum:
    """The sum of all pieces. On a terminal, says how far it is."""
    reading = iter(pieces)
    first = next(reading)
    begins = moment(first["from"])
    seconds = (moment_of(until) - begins).total_seconds() if until is not None else days * DAY
    total = ForecastSum(by_hour=seconds <= HOURS_OF_ROWS * 3600)
    for piece in _from(first, reading):
        total.add(piece)
        share = (moment(piece["to"]) - begins).total_seconds() / seconds
        if piece["nextUrl"] is not None and sys.stderr.isatty():
            click.echo(f"\r{share:.0%}, up to {piece['to'][:10]}", nl=False, err=True)
    if first["nextUrl"] is not None and sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)
    return total


def moment_of(text: str) -> datetime:
    """A time as a user wrote it, which the server has understood: Unix seconds, or ISO 8601."""
    return datetime.fromtimestamp(float(text)).astimezone() if text.replace(".", "").isdigit() else datetime.fromisoformat(text)


def _from(first: Any, others: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from others
