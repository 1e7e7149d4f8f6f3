"""The commands that list: ``ps``, ``tasks``, ``jobs``, ``ticks`` and ``pools``."""

from itertools import islice
from typing import Any

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, connect
from fastlane.cli.client.output import Column, ListLayout, OutputForm, duration, form_options, relative, show
from fastlane.cli.client.reference import JOB, complete_task, find_job, short

UNDER_WAY = "enqueued,pulling,running"
MOST = 100
LAST = click.option("-n", "--last", "most", type=click.IntRange(1), default=MOST, help=f"At most this many rows ({MOST}).")


def _job(row: Any) -> str:
    return short(row["taskId"], row["jobId"] if "jobId" in row else row["id"])


def _ended(row: Any) -> str:
    """A status, with the exit code of a failure."""
    code = row.get("exitCode")
    return f"{row['status']} ({code})" if code else str(row["status"])


def _schedule(row: Any) -> str:
    schedule = row["schedule"]
    if schedule["kind"] == "cron":
        zone = "" if schedule.get("timezone", "UTC") == "UTC" else f" {schedule['timezone']}"
        return f"{schedule['cron']}{zone}"
    return "once" if schedule["kind"] == "at" else "now"


def _last(row: Any) -> str:
    last = row["lastExecution"]
    return "" if last is None else f"{_ended(last)} {relative(last['finishedAt'] or last['startedAt'] or last['createdAt'])}"


EXECUTIONS = ListLayout(
    (
        Column("JOB", _job, whole=True),
        Column("STATUS", _ended, status=True),
        Column("IMAGE", lambda row: row["image"]),
        Column("COMMAND", lambda row: row["command"] or ""),
        Column("DUE", lambda row: relative(row["scheduledFor"])),
        Column("TOOK", lambda row: "" if row["durationMs"] is None else duration(row["durationMs"] / 1000)),
        Column("HOST", lambda row: row["host"] or ""),
        Column("NODE", lambda row: row.get("node") or ""),
        Column("ATTEMPT", lambda row: row["attempt"]),
    ),
    lambda row: f"{row['taskId']}/{row['jobId']}",
)
TASKS = ListLayout(
    (
        Column("TASK", lambda row: row["taskId"], whole=True),
        Column("JOBS", lambda row: row["jobsCount"]),
        Column("CHANGED", lambda row: relative(row["lastModifiedAt"])),
    ),
    lambda row: str(row["taskId"]),
)
JOBS = ListLayout(
    (
        Column("JOB", _job, whole=True),
        Column("NAME", lambda row: row["name"] or ""),
        Column("STATUS", lambda row: row["status"], status=True),
        Column("SCHEDULE", _schedule),
        Column("NEXT", lambda row: relative(row["nextRunAt"])),
        Column("LAST", _last),
        Column("IMAGE", lambda row: row["image"]),
        Column("COMMAND", lambda row: row["command"] or ""),
    ),
    lambda row: f"{row['taskId']}/{row['id']}",
)
TICKS = ListLayout(
    (
        Column("DUE", lambda row: row["due"], whole=True),
        Column("WAS", lambda row: relative(row["due"])),
        Column("OUTCOME", lambda row: f"{row['outcome']}{' ×' + str(row['count']) if row['count'] > 1 else ''}"),
        Column("REASON", lambda row: row["reason"] or ""),
        Column("EXECUTION", lambda row: row["execution"]["id"] if row["execution"] else ""),
    ),
    lambda row: str(row["id"]),
)
POOLS = ListLayout(
    (
        Column("POOL", lambda row: row["name"], whole=True),
        Column("MATCH", lambda row: row["match"] or "(all others)"),
        Column("RUNNING", lambda row: f"{row['running']}/{row['maxRunning']}"),
        Column("WAITING", lambda row: row["waiting"]),
        Column("STATE", lambda row: "paused" if row["paused"] else "open", status=True),
        Column("HOSTS", lambda row: ", ".join(f"{host['host']}{'' if host['usable'] else ' (unusable)'}" for host in row["hosts"])),
    ),
    lambda row: str(row["name"]),
)


@click.command(cls=ClientCommand)
@click.option("-a", "--all", "all_", is_flag=True, help="Include executions that have ended.")
@click.option("--status", metavar="STATUS", help="Only executions with this status, or with several: failed,timedout.")
@click.option("--task", metavar="TASK", help="Only executions of this task.", shell_complete=complete_task)
@click.option("--since", metavar="TIME", help="Only executions due since this time, or within this duration (1h).")
@LAST
@form_options
@CONTEXT
def ps(all_: bool, status: str | None, task: str | None, since: str | None, most: int, context: str | None, **form: Any) -> None:
    """Lists executions that run or wait, the latest due first.

    \b
    Examples:
      fastlane ps
      fastlane ps --status failed --since 24h
      fastlane ps -a -n 20 --json
      fastlane ps --format '{taskId}/{jobId} {status} {host}'
    """
    with connect(context) as client:
        wanted = status or (None if all_ or since else UNDER_WAY)
        show(EXECUTIONS, islice(client.executions.list(task=task, status=wanted, since=since), most), OutputForm(**form))


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
@click.argument("task", required=False, shell_complete=complete_task)
@click.option("--status", metavar="STATUS", help="Only those with this status, or with several: scheduled,paused.")
@click.option("--label", metavar="NAME=VALUE", help="Only those with this label.")
@LAST
@form_options
@CONTEXT
def jobs(task: str | None, status: str | None, label: str | None, most: int, context: str | None, **form: Any) -> None:
    """Lists jobs, newest first: of all tasks, or of one.

    \b
    Examples:
      fastlane jobs
      fastlane jobs --status scheduled
      fastlane jobs --label team=data --format '{taskId}/{id} {nextRunAt}'
    """
    with connect(context) as client:
        show(JOBS, islice(client.jobs.list(task=task, status=status, label=label), most), OutputForm(**form))


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
