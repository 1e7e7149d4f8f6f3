"""The commands that look at one thing: ``why``, ``inspect``, ``open`` and ``status``."""

import re
from typing import TYPE_CHECKING, Any

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, connect
from fastlane.cli.client.commands.listings import late_lines
from fastlane.cli.client.output import counted, duration, echo, formatted, json_text, relative
from fastlane.cli.client.reference import JOB, SHORT, JobName
from fastlane.cli.client.runs import Run, RunChoice, find_run, run_options
from fastlane.cli.client.wording import in_commands

if TYPE_CHECKING:
    from fastlane.client import Client

JSON = click.option("--json", "as_json", is_flag=True, help="JSON, as the server has it.")
FORMAT = click.option("--format", metavar="TEXT", help="A line with fields in braces: '{status} {nextRunAt}'.")

MOST_SHOWN = 500
"""Characters of a line of a log that ``why`` shows."""
END_OF_STDERR = 4_096
"""Bytes at the end of stderr among which the last line is looked for: more than are shown, in any script."""


def _print_json(value: object) -> None:
    click.echo(json_text(value))


@click.command(cls=ClientCommand)
@JOB
@run_options
@JSON
@CONTEXT
def why(job: str, as_json: bool, context: str | None, **choice: Any) -> None:
    """Says what a job or an execution waits for now; when it waits for nothing, how the last execution is or ended.

    \b
    Examples:
      fastlane why backup
      fastlane why backup --attempt 1
      fastlane why backup --json
    """
    with connect(context) as client:
        run = find_run(client, job, RunChoice(**choice), newest=True)
        found: Any = _why(client, run)
        if as_json:
            return _print_json(found)
        for wait in found["waitingFor"]:
            until = f" (until {wait['until']}, {relative(wait['until'])})" if wait["until"] else ""
            echo(f"{found['status']}: {in_commands(wait['message'])}{until}")
        if "lastTick" in found:
            tick = found["lastTick"]
            echo(f"last due time: {tick['due']} ({relative(tick['due'])}): {tick['outcome']}: {tick['reason'] or 'nothing started'}")
        if "failures" in found:
            echo(f"failures in a row: {found['failures']['message']}")
        if "outOfMemory" in found:
            echo(f"memory ran out: {found['outOfMemory']['message']}")
        if run.execution is not None:
            execution = client.executions.get(run.job.task, run.job.id, run.execution)
            echo(outcome(execution, str(run), "execution") + _last_error(client, run, execution))
            return None
        detail = client.jobs.get(run.job.task, run.job.id)["job"]
        for line in _lateness(run.job, found["late"]) if "late" in found else ():
            echo(line)
        if "expected" in found:
            echo(f"not late: {found['expected']['message']}")
        stopped = detail["status"] == "stopped" and detail["schedule"]["kind"] == "cron"
        if stopped:
            echo(f"stopped: its schedule is stopped, and nothing of it starts by itself; start it again: fastlane start {run.job}")
        if detail["executions"]:
            execution = detail["executions"][0]
            echo(outcome(execution, str(run)) + _last_error(client, run, execution))
        elif not found["waitingFor"] and not stopped:
            echo(f"{found['status']}: it waits for nothing, and nothing of it ever ran")
    return None


def _lateness(job: JobName, late: Any) -> list[str]:
    """That a job is late, and what became of each message about that."""
    lines = [f"late ({relative(late['since'])}): {late['message']}"]
    for row in late["deliveries"]:
        if row["state"] != "delivered":
            error = f": {row['attempts'][-1]['error']}" if row["attempts"] and row["attempts"][-1]["error"] else ""
            lines.append(f"the message about that to {row.get('receiver', 'a receiver')}: {row['state']}{error}")
            lines.append(f"send it again: fastlane redeliver {job} {row['id'][-SHORT:]}")
    return lines


def _why(client: "Client", run: Run) -> Any:
    if run.execution is None:
        return client.jobs.why(run.job.task, run.job.id)
    return client.executions.why(run.job.task, run.job.id, run.execution)


def _last_error(client: "Client", run: Run, execution: Any) -> str:
    """The last line that a failed execution wrote to stderr, as a line of its own; empty where there is none. Of a line that a program
    wrote over again and again, like its progress, this is what stood there in the end; of a long line, the end."""
    if not execution["failure"] or not execution["logInfo"]["stderrBytes"]:
        return ""
    end = client.executions.stderr(run.job.task, run.job.id, execution["executionId"], last=END_OF_STDERR)
    line = re.split("[\r\n]", end.decode(errors="replace").strip())[-1].strip()
    shown = line if len(line) <= MOST_SHOWN else f"…{line[-MOST_SHOWN:]}"
    return f"\nits last line on stderr: {shown}" if line else ""


def outcome(execution: Any, name: str, what: str = "last execution") -> str:
    """How an execution is, in words, and what to look at next. ``name``: by which commands know it."""
    status, failure = execution["status"], execution["failure"]
    when = execution["finishedAt"] or execution["startedAt"] or execution["scheduledFor"]
    words = f"{what}: {status} {relative(when)}" + (f" on {execution['node']}" if execution["node"] else "")
    if failure:
        words += f": {failure['message']}"
    if execution["durationMs"] is not None:
        words += f", after {duration(execution['durationMs'] / 1000)}"
    if execution["logInfo"]["stdoutBytes"] or execution["logInfo"]["stderrBytes"]:
        words += f"\nits output: fastlane logs --tail 20 {name}"
        words += " (a part of it is not kept)" if execution["logInfo"]["truncated"] else ""
    return words


@click.command(cls=ClientCommand)
@JOB
@run_options
@click.option("--definition", is_flag=True, help="Only the fields of the job, as `fastlane edit` has them.")
@FORMAT
@CONTEXT
def inspect(job: str, definition: bool, format: str | None, context: str | None, **choice: Any) -> None:
    """Shows a job in full with its last executions, or an execution, as JSON.

    \b
    Examples:
      fastlane inspect backup
      fastlane inspect backup --tick 2026-11-30T03:00
      fastlane inspect backup --definition
      fastlane inspect backup --format '{status} {schedule.cron} {nextRunAt}'
    """
    with connect(context) as client:
        run = find_run(client, job, RunChoice(**choice), newest=True)
        if run.execution is not None and definition:
            raise click.UsageError(f"an execution has no definition; its job has one: fastlane inspect --definition {run.job}")
        found: Any
        if run.execution is not None:
            found = client.executions.get(run.job.task, run.job.id, run.execution)
        else:
            found = client.jobs.get(run.job.task, run.job.id)["job"]
        if format is not None:
            echo(formatted(format, found))
        else:
            _print_json(found["definition"] if definition else found)


@click.command("open", cls=ClientCommand)
@JOB
@run_options
@click.option("--print", "only_print", is_flag=True, help="Print the address, and open nothing.")
@CONTEXT
def open_page(job: str, only_print: bool, context: str | None, **choice: Any) -> None:
    """Opens the page of a job's or an execution's log in your browser. Where you log in with a token, the address has a ticket that works
    once, soon.

    \b
    Examples:
      fastlane open backup
      fastlane open backup --print
    """
    from fastlane.cli.client.command import address_of

    with connect(context) as client:
        run = find_run(client, job, RunChoice(**choice), newest=True)
        task, id, execution = run.job.task, run.job.id, run.execution
        if address_of(context).token is not None:
            ticket = client.jobs.ticket(task, id) if execution is None else client.executions.ticket(task, id, execution)
            url = ticket["streamUrl"]
        elif execution is None:
            url = client.jobs.get(task, id)["job"]["url"] + "stream"
        else:
            url = client.executions.get(task, id, execution)["url"] + "stream"
    if only_print or click.launch(url) != 0:
        echo(url)


@click.command(cls=ClientCommand)
@JSON
@FORMAT
@CONTEXT
def status(as_json: bool, format: str | None, context: str | None) -> None:
    """Shows how the server is: workers, hosts, pools, and how many jobs and executions there are.

    \b
    Examples:
      fastlane status
      fastlane status --format '{fastlane.version} {workers.alive}'
    """
    with connect(context) as client:
        found = client.server.status()
    if as_json:
        return _print_json(found)
    if format is not None:
        return echo(formatted(format, found))
    for line in _status_lines(found):
        echo(in_commands(line))
    return None


def _status_lines(found: Any) -> list[str]:
    workers = counted(found["workers"]["alive"], "worker")
    lines = [f"fastlane {found['fastlane']['version']}, up for {duration(found['uptime'])}, {workers}"]
    if found["dispatch"]["paused"]:
        lines.append(f"dispatch is paused ({found['dispatch']['reason']}); `fastlane dispatch resume` ends that")
    lines += [f"worker {one['id']}: fastlane {one['version'] or 'of an older version'}" for one in found["workers"]["items"]]
    for host in found["hosts"]:
        state = "usable" if host["available"] else f"unusable: {host['error'] or 'no worker has seen it'}"
        lines.append(
            f"host {host['host']}{':' + str(host['port']) if host['port'] else ''} of {host['pool']}: {state}, {host['running']} running"
        )
    for name, lane in found["queues"].items():
        waiting = lane["ready"] + lane["blocked"]
        paused = ", paused" if lane["paused"] else ""
        lines.append(f"pool {name}: {lane['running']}/{lane['maxRunning']} running, {waiting} waiting, {lane['timed']} for later{paused}")
    counts = {status: count for status, count in found["executions"].items() if count}
    lines.append(f"{counted(found['tasks']['count'], 'task')}, {counted(found['jobs']['count'], 'job')}")
    lines += late_lines(found["jobs"], None)
    lines.append("executions: " + (", ".join(f"{count} {status}" for status, count in counts.items()) or "none"))
    return lines
