"""The commands ``events``, ``deliveries`` and ``redeliver``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from fastlane.cli.client.command import CONTEXT, PATIENCE, ClientCommand, WrongName, connect, say
from fastlane.cli.client.commands.listings import LAST
from fastlane.cli.client.output import Column, ListLayout, OutputForm, echo, form_options, formatted, json_text, printable, relative, show
from fastlane.cli.client.reference import JOB, SHORT, UUID, JobName, check_named, complete_task, find, is_part, named_task, short
from fastlane.cli.client.runs import RunChoice, find_run, newest_execution, run_options

if TYPE_CHECKING:
    from fastlane.client import Client


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
    detail = dict(row["detail"])
    changes = detail.pop("changes", ())
    words = [f"{name}={value}" for name, value in detail.items()]
    words += map(_change, changes)
    return " ".join([*words, *([f"host={row['host']}"] if row["host"] and row["jobId"] else [])])


def _change(change: Any) -> str:
    return f"{change['field']}: {_value(change['from'])} → {_value(change['to'])}"


def _value(value: object) -> str:
    """A value of a field that was changed; a hyphen for none."""
    return "-" if value is None else value if isinstance(value, str) and value and " " not in value else json_text(value, None)


EVENTS = ListLayout(
    (
        Column("TIME", lambda row: row["time"]),
        Column("WAS", lambda row: relative(row["time"]), yields=10),
        Column("EVENT", lambda row: row["kind"]),
        Column("ABOUT", _what, yields=2, name=True),
        Column("WHO", _who, yields=1),
        Column("DETAIL", _detail, yields=9),
    ),
    lambda row: str(row["id"]),
    lambda row: [f"    {_change(change)}" for change in row["detail"].get("changes", ())],
)
HELD = "a mail about this job's failures went there shortly before; the next one counts this"


def _trouble(row: Any) -> str:
    """Why a delivery did not arrive, as far as it did not."""
    if row["state"] == "held":
        return HELD
    return (row["attempts"][-1]["error"] or "") if row["attempts"] else ""


DELIVERIES = ListLayout(
    (
        Column("DELIVERY", lambda row: row["id"][-SHORT:]),
        Column("EVENT", lambda row: row["event"], yields=1),
        Column("STATE", lambda row: row["state"], status=True),
        Column("ATTEMPTS", lambda row: row["attemptsMade"], yields=7),
        Column("LAST", lambda row: relative(row["attempts"][-1]["at"]) if row["attempts"] else ""),
        Column("NEXT", lambda row: relative(row["nextAttemptAt"])),
        Column("RECEIVER", lambda row: f"{row.get('receiver', '')}{' (paused)' if row['receiverPaused'] else ''}", yields=2),
        Column("ERROR", _trouble, yields=8, whole=True),
    ),
    lambda row: str(row["id"]),
)


@click.command(cls=ClientCommand)
@click.argument("named", metavar="[JOB]", required=False, shell_complete=complete_task)
@click.option("-f", "--follow", is_flag=True, help="As they happen, from now on or since --since.")
@click.option("--kind", metavar="KIND", help="Only these: job.stopped, or several: job.deleted,host; host stands for all of its kinds.")
@click.option("--task", metavar="TASK", help="Only events of this task.", shell_complete=complete_task)
@click.option("--job", metavar="JOB", help="Only events of this job, as JOB.", shell_complete=complete_task)
@click.option("--execution", metavar="EXECUTION", help="Only events of this execution.")
@click.option("--actor", metavar="NAME", help="Only what this user, token or IP address did.")
@click.option("--host", metavar="HOST", help="Only events of the host with this address.")
@click.option("--pool", metavar="POOL", help="Only events of this pool.")
@click.option("--since", metavar="TIME", help="Only events since this time, or within this duration (1h).")
@click.option("--until", metavar="TIME", help="Only events up to this time, or older than this duration.")
@LAST
@form_options
@CONTEXT
def events(
    named: str | None,
    follow: bool,
    job: str | None,
    since: str | None,
    until: str | None,
    most: int,
    context: str | None,
    **options: Any,
) -> None:
    """Lists who did what, and what fastlane did by itself, newest first; or shows it as it happens: of everything, or of a job or an
    execution. A change of a job names the fields, with their values before and after.

    \b
    Examples:
      fastlane events --since 1d --kind job.stopped,job.deleted
      fastlane events backup
      fastlane events backup --kind job.changed,job.stopped
      fastlane events -f --kind host,execution.ended
      fastlane events --format '{time} {kind} {actor.user} {taskId}'
    """
    form = OutputForm(*(options.pop(name) for name in ("as_json", "format", "quiet")))
    filters: dict[str, str | None] = options
    if named is not None and job is not None and named != job:
        raise click.UsageError(f"the events are of {named!r} or, by --job, of {job!r}; name one of them")
    job = named if job is None else job
    if follow and until is not None:
        raise click.UsageError("--until cannot be used together with --follow")
    with connect(context, PATIENCE if follow else 30.0) as client:
        for text in (job, options["execution"]):
            if text is not None and (text is job or not UUID.fullmatch(text)):  # an event stays longer than its execution
                found = find(client, text, newest=True)
                filters |= {"task": found.job.task, "job": found.job.id, "execution": found.execution or options["execution"]}
        if not follow:
            rows = list(islice(client.server.events(since=since, until=until, **filters), most))
            if not rows:
                _check_names(client, filters)
            return show(EVENTS, rows, form)
        _check_names(client, filters)
        for event in client.server.follow_events(since=since, on_lost=lambda error: say(f"{error}; trying again"), **filters):
            echo(_line(event, form))
    return None


def _check_names(client: "Client", filters: Mapping[str, str | None]) -> None:
    """Says, where there are no events, that the task, pool or host that they are to be about is not known. One that is gone has left events
    behind, so that it is no error."""
    try:
        if (pool := filters["pool"]) is not None:
            check_named("pool", pool, [row["name"] for row in client.server.pools()], "fastlane pools")
        if (host := filters["host"]) is not None:
            check_named("host", host, [row["address"] for row in client.server.hosts()], "fastlane hosts list")
        if (task := filters["task"]) is not None:
            with named_task(client, task):
                next(client.tasks.jobs(task), None)
    except WrongName as error:
        say(error.message)


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
@run_options
@form_options
@CONTEXT
def deliveries(job: str, execution: str | None, attempt: int | None, tick: str | None, context: str | None, **form: Any) -> None:
    """Lists the webhooks and mails that were sent, or are to be sent, and whether they were taken: about a job's newest execution, and
    about the job itself, when it was late; or about the execution that is named.

    \b
    Examples:
      fastlane deliveries backup
      fastlane deliveries backup --tick 2026-11-30T03:00
      fastlane deliveries backup --format '{id} {state} {attempts}'
    """
    with connect(context) as client:
        show(DELIVERIES, [sent.row for sent in _sent(client, job, RunChoice(execution, attempt, tick))], OutputForm(**form))


@click.command(cls=ClientCommand)
@JOB
@click.argument("ids", metavar="DELIVERY…", nargs=-1)
@click.option("--failed", is_flag=True, help="All that have failed.")
@run_options
@CONTEXT
def redeliver(job: str, ids: tuple[str, ...], failed: bool, context: str | None, **choice: Any) -> None:
    """Sends webhooks and mails again, under their ids: as `fastlane deliveries` lists them, or all that failed.

    \b
    Example:
      fastlane redeliver backup --failed
    """
    if not ids and not failed:
        raise click.UsageError("name the deliveries, or use --failed")
    with connect(context) as client:
        rows = _sent(client, job, RunChoice(**choice))
        chosen = [_delivery(rows, id) for id in ids]
        chosen += [sent for sent in rows if failed and sent.row["state"] == "failed" and sent not in chosen]
        for sent in chosen:
            if sent.execution is None:
                client.jobs.redeliver(sent.job.task, sent.job.id, sent.row["id"])
            else:
                client.executions.redeliver(sent.job.task, sent.job.id, sent.execution, sent.row["id"])
            echo(f"{sent.row['id']}: is sent again")
        if not chosen:
            echo("none has failed")


@dataclass(frozen=True, slots=True)
class SentDelivery:
    """A delivery about a job, or about an execution of it."""

    row: Any
    job: JobName
    execution: str | None


def _sent(client: "Client", text: str, choice: RunChoice) -> list[SentDelivery]:
    """The deliveries about what is named: about a job's newest execution and about the job itself, or about one execution alone."""
    run = find_run(client, text, choice, newest=True, ran=True)
    job, id = run.job, run.execution
    found = [] if id else [SentDelivery(row, job, None) for row in client.jobs.deliveries(job.task, job.id)["items"]]
    id = id or newest_execution(client, job)
    if id is None and not found:
        raise WrongName(f"nothing of {job} ever ran, and nothing was sent about it")
    if id is not None:
        found += [SentDelivery(row, job, id) for row in client.executions.deliveries(job.task, job.id, id)["items"]]
    return found


def _delivery(rows: Sequence[SentDelivery], id: str) -> SentDelivery:
    """The delivery of this id, or with this end. Raises WrongName."""
    found = [sent for sent in rows if sent.row["id"] == id] or [sent for sent in rows if is_part(id, sent.row["id"])]
    if len(found) != 1:
        count = f"{len(found)} deliveries have that part in their id" if found else "there is no such delivery"
        raise WrongName(f"{id!r}: {count}; `fastlane deliveries` lists them")
    return found[0]
