"""The commands ``events``, ``deliveries`` and ``redeliver``."""

from itertools import islice
from typing import Any

import click

from fastlane.cli.client.command import CONTEXT, PATIENCE, ClientCommand, connect, say
from fastlane.cli.client.commands.listings import LAST
from fastlane.cli.client.output import Column, ListLayout, OutputForm, echo, form_options, formatted, json_text, printable, relative, show
from fastlane.cli.client.reference import JOB, complete_task, find_execution, find_job, short

EXECUTION = click.option("--execution", metavar="ID", help="Of this execution, in place of the newest.")


def _what(row: Any) -> str:
    """What an event is about."""
    if row["jobId"] is not None and row["taskId"] is not None:
        return short(row["taskId"], row["jobId"])
    return row["taskId"] or row["host"] or row["pool"] or ""


def _who(row: Any) -> str:
    actor = row["actor"]
    if actor is None:
        return ""
    return " from ".join(part for part in (actor["user"], actor["address"]) if part) or "unknown"


def _detail(row: Any) -> str:
    words = [f"{name}={value}" for name, value in row["detail"].items()]
    return " ".join([*words, *([f"host={row['host']}"] if row["host"] and row["jobId"] else [])])


EVENTS = ListLayout(
    (
        Column("TIME", lambda row: row["time"], whole=True),
        Column("WAS", lambda row: relative(row["time"])),
        Column("EVENT", lambda row: row["kind"], whole=True),
        Column("ABOUT", _what),
        Column("WHO", _who),
        Column("DETAIL", _detail),
    ),
    lambda row: str(row["id"]),
)
DELIVERIES = ListLayout(
    (
        Column("DELIVERY", lambda row: row["id"], whole=True),
        Column("EVENT", lambda row: row["event"]),
        Column("STATE", lambda row: row["state"], status=True),
        Column("ATTEMPTS", lambda row: row["attemptsMade"]),
        Column("LAST", lambda row: relative(row["attempts"][-1]["at"]) if row["attempts"] else ""),
        Column("NEXT", lambda row: relative(row["nextAttemptAt"])),
        Column("RECEIVER", lambda row: f"{row['receiver']}{' (paused)' if row['receiverPaused'] else ''}"),
        Column("ERROR", lambda row: (row["attempts"][-1]["error"] or "") if row["attempts"] else ""),
    ),
    lambda row: str(row["id"]),
)


@click.command(cls=ClientCommand)
@click.option("-f", "--follow", is_flag=True, help="As they happen, from now on or since --since.")
@click.option("--kind", metavar="KIND", help="Only these: job.stopped, or several: job.deleted,host; host stands for all of its kinds.")
@click.option("--task", metavar="TASK", help="Only events of this task.", shell_complete=complete_task)
@click.option("--job", metavar="JOB", help="Only events of this job.", shell_complete=complete_task)
@click.option("--execution", metavar="ID", help="Only events of this execution.")
@click.option("--actor", metavar="NAME", help="Only what this user, token or IP address did.")
@click.option("--host", metavar="HOST", help="Only events of the host with this address.")
@click.option("--pool", metavar="POOL", help="Only events of this pool.")
@click.option("--since", metavar="TIME", help="Only events since this time, or within this duration (1h).")
@click.option("--until", metavar="TIME", help="Only events up to this time, or older than this duration.")
@LAST
@form_options
@CONTEXT
def events(follow: bool, job: str | None, since: str | None, until: str | None, most: int, context: str | None, **options: Any) -> None:
    """Lists who did what, and what fastlane did by itself, newest first; or shows it as it happens.

    \b
    Examples:
      fastlane events --since 1d --kind job.stopped,job.deleted
      fastlane events --job backup
      fastlane events -f --kind host,execution.ended
      fastlane events --format '{time} {kind} {actor.user} {taskId}'
    """
    form = OutputForm(*(options.pop(name) for name in ("as_json", "format", "quiet")))
    filters: dict[str, str | None] = options
    if follow and until is not None:
        raise click.UsageError("--until cannot be used together with --follow")
    with connect(context, PATIENCE if follow else 30.0) as client:
        if job is not None:
            name = find_job(client, job, newest=True)
            filters |= {"task": name.task, "job": name.id}
        if not follow:
            return show(EVENTS, islice(client.server.events(since=since, until=until, **filters), most), form)
        for event in client.server.follow_events(since=since, on_lost=lambda error: say(f"{error}; trying again"), **filters):
            echo(_line(event, form))
    return None


def _line(event: Any, form: OutputForm) -> str:
    """An event as a line: a list that grows cannot have columns that fit it."""
    if form.as_json:
        return json_text(event, None)
    if form.format is not None:
        return formatted(form.format, event)
    if form.quiet:
        return EVENTS.name(event)
    parts = [str(column.text(event)) for column in EVENTS.columns if column.heading != "WAS"]
    return printable("  ".join(part for part in parts if part))


@click.command(cls=ClientCommand)
@JOB
@EXECUTION
@form_options
@CONTEXT
def deliveries(job: str, execution: str | None, context: str | None, **form: Any) -> None:
    """Lists the webhooks that were sent, or are to be sent, about a job's newest execution, and whether they were taken.

    \b
    Examples:
      fastlane deliveries backup
      fastlane deliveries backup --format '{id} {state} {attempts}'
    """
    with connect(context) as client:
        name, id = find_execution(client, job, execution, newest=True)
        show(DELIVERIES, client.executions.deliveries(name.task, name.id, id)["items"], OutputForm(**form))


@click.command(cls=ClientCommand)
@JOB
@click.argument("ids", metavar="DELIVERY…", nargs=-1)
@click.option("--failed", is_flag=True, help="All that have failed.")
@EXECUTION
@CONTEXT
def redeliver(job: str, ids: tuple[str, ...], failed: bool, execution: str | None, context: str | None) -> None:
    """Sends webhooks about a job's newest execution again, under their ids: as `fastlane deliveries` lists them, or all that failed.

    \b
    Example:
      fastlane redeliver backup --failed
    """
    if not ids and not failed:
        raise click.UsageError("name the deliveries, or use --failed")
    with connect(context) as client:
        name, id = find_execution(client, job, execution, newest=True)
        rows = client.executions.deliveries(name.task, name.id, id)["items"]
        chosen = [*ids, *(row["id"] for row in rows if failed and row["state"] == "failed" and row["id"] not in ids)]
        for one in chosen:
            client.executions.redeliver(name.task, name.id, id, one)
            echo(f"{one}: is sent again")
        if not chosen:
            echo("none has failed")
