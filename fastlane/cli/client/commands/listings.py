"""The commands that list: ``ps``, ``failures``, ``tasks``, ``jobs``, ``ticks`` and ``pools``."""

import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, connect
from fastlane.cli.client.output import LATE, Column, ListLayout, OutputForm, duration, echo, form_options, relative, show
from fastlane.cli.client.reference import JOB, SHORT, complete_task, find_job, named_task, short, subject

if TYPE_CHECKING:
    from fastlane.client import Client

UNDER_WAY = "enqueued,pulling,running"
MOST, MOST_LATE = 100, 5
TASK = click.argument("task", metavar="[TASK]", required=False, shell_complete=complete_task)
TASK_OPTION = click.option("--task", "only", metavar="TASK", help="Only this task, as TASK does.", shell_complete=complete_task)
LAST = click.option("-n", "--last", "most", type=click.IntRange(1), default=MOST, help=f"At most this many rows ({MOST}).")


def _job(row: Any) -> str:
    return short(row["taskId"], row["jobId"] if "jobId" in row else row["id"])


def _ended(row: Any) -> str:
    """A status, with the exit code of a failure."""
    code = row.get("exitCode")
    return f"{row['status']} ({code})" if code else str(row["status"])


def _job_status(row: Any) -> str:
    """A status, and whether the job is late by its ``expectEvery``."""
    return f"{row['status']} {LATE}" if row.get("lateSince") else str(row["status"])


def _schedule(row: Any) -> str:
    schedule = row["schedule"]
    if schedule["kind"] == "cron":
        return "; ".join(map(_entry, schedule.get("entries") or [schedule]))
    if after := schedule.get("after"):
        return "after a job" if len(after) == 1 else f"after {len(after)} jobs"
    return {"at": "once", "manual": "by hand"}.get(schedule["kind"], "now")


def _entry(entry: Any) -> str:
    zone = "" if entry.get("timezone", "UTC") == "UTC" else f" {entry['timezone']}"
    return f"{entry['cron']}{zone}"


def _last(row: Any) -> str:
    last = row["lastExecution"]
    return "" if last is None else f"{_ended(last)} {relative(last['finishedAt'] or last['startedAt'] or last['createdAt'])}"


def _statuses(row: Any) -> str:
    """How many jobs of a task have which status, and how many are late."""
    counted = [f"{jobs} {status}" for status, jobs in row.get("jobsByStatus", {}).items()]
    return ", ".join(counted + ([f"{row['lateJobs']} late"] if row.get("lateJobs") else []))


def _expected(row: Any) -> str:
    """How often the job must succeed, by its ``expectEvery``."""
    every = row.get("expectEvery")
    if every is None:
        return f"by {row['doneBy']}" if row.get("doneBy") else ""
    return f"every {duration(every).replace('.0s', 's')}"


def _receivers(row: Any) -> str:
    """How many receivers each kind of message has."""
    return ", ".join(f"{kind} {count}" for kind, count in row.get("receivers", {}).items() if count)


NOTIFICATIONS = (Column("EXPECTED", _expected, yields=10), Column("RECEIVERS", _receivers, yields=11))
"""How often a job must succeed, and how many receivers its messages have. A narrow terminal cuts these columns first."""
EXECUTIONS = ListLayout(
    (
        Column("JOB", _job, name=True),
        Column("STATUS", _ended, status=True),
        Column("IMAGE", subject, yields=8),
        Column("COMMAND", lambda row: row["command"] or "", yields=9),
        Column("DUE", lambda row: relative(row["scheduledFor"])),
        Column("TOOK", lambda row: "" if row["durationMs"] is None else duration(row["durationMs"] / 1000), yields=2),
        Column("HOST", lambda row: row["host"] or "", yields=4),
        Column("ATTEMPT", lambda row: row["attempt"], yields=3),
        Column("EXECUTION", lambda row: row["executionId"][-SHORT:]),
        Column("NODE", lambda row: row.get("node") or "", yields=4),
        Column("NAME", lambda row: row.get("jobName") or "", yields=5),
        *NOTIFICATIONS,
    ),
    lambda row: f"{row['taskId']}/{row['jobId']}",
)
FAILURES = ListLayout(
    (
        Column("JOB", _job, name=True),
        Column("STATUS", lambda row: _ended(row["lastFailure"]), status=True),
        Column("ENDED", lambda row: relative(row["lastFailure"]["finishedAt"])),
        Column("TIMES", lambda row: row["failures"]),
        Column("EXECUTION", lambda row: row["lastFailure"]["executionId"][-SHORT:]),
        Column("NAME", lambda row: row["lastFailure"].get("jobName") or "", yields=9),
        Column("WHY", lambda row: (row["lastFailure"]["failure"] or {}).get("message", ""), yields=5, whole=True),
    ),
    lambda row: f"{row['taskId']}/{row['jobId']}",
)
TASKS = ListLayout(
    (
        Column("TASK", lambda row: row["taskId"], name=True),
        Column("JOBS", lambda row: row["jobsCount"], yields=1),
        Column("CHANGED", lambda row: relative(row["lastModifiedAt"])),
        Column("NEXT", lambda row: relative(row.get("nextRunAt"))),
        Column("LAST", lambda row: _last(row) if "lastExecution" in row else ""),
        Column("STATUSES", _statuses, yields=4),
    ),
    lambda row: str(row["taskId"]),
)
JOBS = ListLayout(
    (
        Column("JOB", _job, name=True),
        Column("NAME", lambda row: row["name"] or "", yields=3),
        Column("STATUS", _job_status, status=True),
        Column("SCHEDULE", _schedule, yields=4),
        Column("NEXT", lambda row: relative(row["nextRunAt"])),
        Column("LAST", _last, yields=1),
        Column("IMAGE", subject, yields=8),
        Column("COMMAND", lambda row: row["command"] or "", yields=9),
        *NOTIFICATIONS,
    ),
    lambda row: f"{row['taskId']}/{row['id']}",
)
TICKS = ListLayout(
    (
        Column("DUE", lambda row: row["due"]),
        Column("WAS", lambda row: relative(row["due"]), yields=8),
        Column("OUTCOME", lambda row: f"{row['outcome']}{' ×' + str(row['count']) if row['count'] > 1 else ''}"),
        Column("REASON", lambda row: row["reason"] or "", yields=9, whole=True),
        Column("EXECUTION", lambda row: row["execution"]["id"][-SHORT:] if row["execution"] else ""),
    ),
    lambda row: str(row["id"]),
)
POOLS = ListLayout(
    (
        Column("POOL", lambda row: row["name"]),
        Column("MATCH", lambda row: row["match"] or "(all others)", yields=8),
        Column("RUNNING", lambda row: f"{row['running']}/{row['maxRunning']}"),
        Column("WAITING", lambda row: row["waiting"], yields=1),
        Column("STATE", lambda row: "paused" if row["paused"] else "open", status=True),
        Column(
            "HOSTS",
            lambda row: ", ".join(f"{host['host']}{'' if host['usable'] else ' (unusable)'}" for host in row["hosts"]),
            yields=9,
        ),
    ),
    lambda row: str(row["name"]),
)


@click.command(cls=ClientCommand)
@TASK
@click.option("-a", "--all", "all_", is_flag=True, help="Include executions that have ended.")
@click.option("--status", metavar="STATUS", help="Only executions with this status, or with several: failed,timedout.")
@TASK_OPTION
@click.option("--since", metavar="TIME", help="Only executions due since this time, or within this duration (1h).")
@LAST
@form_options
@CONTEXT
def ps(
    task: str | None, all_: bool, status: str | None, only: str | None, since: str | None, most: int, context: str | None, **form: Any
) -> None:
    """Lists executions that run or wait, the latest due first: of all tasks, or of one.

    \b
    Examples:
      fastlane ps
      fastlane ps -a report
      fastlane ps --status failed --since 24h
      fastlane ps -a -n 20 --json
      fastlane ps --format '{taskId}/{jobId} {status} {host}'
    """
    with connect(context) as client:
        task = _task(task, only)
        wanted = status or (None if all_ or since else UNDER_WAY)
        rows = list(islice(client.executions.list(task=task, status=wanted, since=since), most))
        show(EXECUTIONS, rows or _nothing(client, task), OutputForm(**form))
        if sys.stdout.isatty() and not any(form.values()):
            for line in late_lines(client.server.status()["jobs"], task):
                echo(line)


def _since(row: Any) -> str:
    words = relative(row["lateSince"])
    return f" for {words.removesuffix(' ago')}" if words != "now" else ""


def late_lines(jobs: Any, task: str | None) -> list[str]:
    """A line for each job that is late, of all tasks or of one, as far as the server says it; what runs does not show it."""
    rows = [row for row in jobs.get("late", ()) if task in (None, row["taskId"])]
    lines = [
        f"late{_since(row)} ({_expected(row)}): {row['name'] + ': ' if row['name'] else ''}"
        f"`fastlane why {short(row['taskId'], row['jobId'])}`"
        for row in rows[:MOST_LATE]
    ]
    return lines + ([f"{len(rows) - MOST_LATE} more are late; `fastlane jobs --late`"] if len(rows) > MOST_LATE else [])


@click.command(cls=ClientCommand)
@click.argument("words", nargs=-1)
@LAST
@form_options
@CONTEXT
def tasks(words: tuple[str, ...], most: int, context: str | None, **form: Any) -> None:
    """Lists tasks, most recently changed first: all, or those whose ids have these words.

    \b
    Examples:
      fastlane tasks
      fastlane tasks nightly
      fastlane tasks -q
    """
    with connect(context) as client:
        found = client.tasks.search(" ".join(words)) if words else client.tasks.list()
        show(TASKS, islice(found, most), OutputForm(**form))


@click.command(cls=ClientCommand)
@TASK
@TASK_OPTION
@click.option("--since", metavar="TIME", help="Only failures that ended since this time, or within this duration (1h).")
@LAST
@form_options
@CONTEXT
def failures(task: str | None, only: str | None, since: str | None, most: int, context: str | None, **form: Any) -> None:
    """Lists the jobs that failed, each with its last failure, the last end first: of all tasks, or of one.

    \b
    Examples:
      fastlane failures --since 24h
      fastlane failures report
      fastlane failures --format '{taskId}/{jobId} {failures}'
    """
    with connect(context) as client:
        task = _task(task, only)
        rows = list(islice(client.executions.failures(task=task, since=since), most))
        show(FAILURES, rows or _nothing(client, task), OutputForm(**form))


@click.command(cls=ClientCommand)
@TASK
@TASK_OPTION
@click.option("--status", metavar="STATUS", help="Only those with this status, or with several: scheduled,paused.")
@click.option("--label", metavar="NAME=VALUE", help="Only those with this label.")
@click.option("--late", is_flag=True, help="Only those that are late: without a success in time, by their expectEvery or doneBy.")
@LAST
@form_options
@CONTEXT
def jobs(
    task: str | None, only: str | None, status: str | None, label: str | None, late: bool, most: int, context: str | None, **form: Any
) -> None:
    """Lists jobs, newest first: of all tasks, or of one.

    \b
    Examples:
      fastlane jobs
      fastlane jobs --status scheduled
      fastlane jobs --late
      fastlane jobs --label team=data --format '{taskId}/{id} {nextRunAt}'
    """
    with connect(context) as client:
        task = _task(task, only)
        rows = list(islice(client.jobs.list(task=task, status=status, label=label, late=late), most))
        show(JOBS, rows or _nothing(client, task), OutputForm(**form))
        if late and not rows and not any(form.values()):
            echo("no such job is late" if task or status or label else "no job is late", err=True)


def _task(named: str | None, only: str | None) -> str | None:
    """The task of a list, which is an argument or an option."""
    if named is not None and only is not None and named != only:
        raise click.UsageError(f"the list is of {named!r} or, by --task, of {only!r}; name one of them")
    return named if named is not None else only


def _nothing(client: "Client", task: str | None) -> list[Any]:
    """The rows of an empty list. Raises WrongName when its task does not exist."""
    if task is not None:
        with named_task(client, task):
            next(client.tasks.jobs(task), None)
    return []


@click.command(cls=ClientCommand)
@JOB
@LAST
@form_options
@CONTEXT
def ticks(job: str, most: int, context: str | None, **form: Any) -> None:
    """Lists the due times of a job, the latest first, and what became of each.

    \b
    Examples:
      fastlane ticks backup
      fastlane ticks backup -n 5 --json
    """
    with connect(context) as client:
        name = find_job(client, job, newest=True)
        show(TICKS, islice(client.jobs.ticks(name.task, name.id), most), OutputForm(**form))


@click.command(cls=ClientCommand)
@form_options
@CONTEXT
def pools(context: str | None, **form: Any) -> None:
    """Lists the pools: which tasks they match, what runs and waits there, and their hosts.

    \b
    Examples:
      fastlane pools
      fastlane pools --format '{name} {running}/{maxRunning}'
    """
    with connect(context) as client:
        show(POOLS, client.server.pools(), OutputForm(**form))
