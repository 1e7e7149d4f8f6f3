"""The command ``fastlane grep``."""

import sys
from typing import TYPE_CHECKING, Any

import click

from fastlane.cli.client.command import CONTEXT, PATIENCE, ClientCommand, connect, say
from fastlane.cli.client.output import json_text, printable
from fastlane.cli.client.reference import SHORT, complete_task, find_job, named_task, short

if TYPE_CHECKING:
    from fastlane.client import LogHit, LogMissing, SearchEnded, SearchProgress

MOST_NAMED = 10
"""Runs without their whole log that are named; the others are counted."""
CLEAR = "\x1b[K"
"""What clears the rest of a terminal's line."""
WORDS = {
    "removed": "its log, or the end of it, is removed",
    "truncated": "its log was too long to be kept whole, or a part of it was lost",
    "unreadable": "its log cannot be read",
}


class GrepCommand(ClientCommand):
    """A command with the exit codes of grep: 0 for a match, 1 for none, 2 for an error."""

    failure = 2


@click.command(cls=GrepCommand)
@click.argument("pattern")
@click.argument("named", metavar="[TASK]", required=False, shell_complete=complete_task)
@click.option("--since", metavar="TIME", help="Only runs that were due since this time, or within this duration (7d).")
@click.option("--until", metavar="TIME", help="Only runs that were due up to this time, or longer ago than this duration.")
@click.option("-i", "--ignore-case", is_flag=True, help="Upper and lower case are the same.")
@click.option("-F", "--fixed", is_flag=True, help="PATTERN is the text itself, not an expression.")
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only this one.")
@click.option("-m", "--limit", metavar="NUMBER", type=click.IntRange(1, 10_000), default=1_000, show_default=True, help="Lines at most.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing: only the exit code says whether there is a match.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each match, as the server has it.")
@CONTEXT
def grep(pattern: str, named: str | None, limit: int, quiet: bool, as_json: bool, context: str | None, **options: Any) -> None:
    """Prints the lines with a match for PATTERN, a regular expression, in the logs of the runs of a task, of one job (TASK/JOB), or of all
    tasks: the newest run first, and its lines as they were written. Before each line are its job, its run, its time and its number. Runs
    without their whole log are named. The exit code is 0 for a match, 1 for none, 2 for an error.

    \b
    Examples:
      fastlane grep ERROR backup --since 7d
      fastlane grep -i 'time(d )?out|refused' backup
      fastlane grep -F 'a.b[0]' report --json
      fastlane grep -q 'no space' report --since 1h
    """
    from fastlane.client import LogHit, LogMissing, SearchEnded, SearchProgress, SearchQuery

    found, named_runs = False, 0
    with connect(context, PATIENCE) as client:
        task, job = named, None
        if named is not None and "/" in named:
            name = find_job(client, named)
            task, job = name.task, name.id
        wanted = SearchQuery(pattern, task, job, limit=1 if quiet else limit, **options)
        with named_task(client, task or ""):
            for event in client.search_logs(wanted, on_lost=lambda error: say(f"{error}; trying again")):
                if isinstance(event, SearchProgress):
                    _show_progress(event)
                    continue
                _clear_progress()
                if isinstance(event, LogHit):
                    found = True
                    if not quiet:
                        click.echo(json_text(event.row, None) if as_json else _line(event))
                elif isinstance(event, LogMissing):
                    named_runs += 1
                    if named_runs <= MOST_NAMED:
                        _name(event)
                elif isinstance(event, SearchEnded) and not quiet:
                    _end(event, named_runs, limit)
    sys.exit(0 if found else 1)


def _line(hit: "LogHit") -> str:
    """A line of output. click leaves the colours out where no terminal shows them."""
    before, match, after = (
        printable(part.replace("\t", " ")) for part in (hit.text[: hit.begin], hit.text[hit.begin : hit.end], hit.text[hit.end :])
    )
    run = click.style(f"{short(hit.task, hit.job)} {hit.execution[-SHORT:]}", fg="magenta")
    number = click.style(str(hit.number), fg="green")
    return f"{run} {hit.time} {number}: {before}{click.style(match, fg='red', bold=True) if match else ''}{after}"


def _show_progress(progress: "SearchProgress") -> None:
    """Shows how far the search is, in a line that the next output takes the place of."""
    if sys.stderr.isatty():
        counts = progress.counts
        click.echo(f"\r{CLEAR}searched {counts.runs} logs, {counts.bytes / 1e6:,.0f} MB", nl=False, err=True)


def _clear_progress() -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{CLEAR}", nl=False, err=True)


def _name(missing: "LogMissing") -> None:
    run = f"{short(missing.task, missing.job)} {missing.execution[-SHORT:]} (due {missing.scheduled_for})"
    say(f"{run}: {WORDS.get(missing.reason, missing.reason)}")


def _end(end: "SearchEnded", named_runs: int, limit: int) -> None:
    missing: dict[str, Any] = dict(end.counts.missing)
    if sum(missing.values()) > min(named_runs, MOST_NAMED):
        counts = ", ".join(f"{count} {reason}" for reason, count in missing.items())
        say(f"in all, {sum(missing.values())} runs were not searched whole: {counts}")
    if end.removed_before is not None and not end.limited:
        say(f"runs that ended before {end.removed_before} may be removed whole; see keep_executions")
    if end.limited:
        say(f"there may be more than these {limit} lines; see --limit, --since and --until")
    if sys.stderr.isatty():
        say(f"searched {end.counts.runs} logs with {end.counts.bytes:,} bytes")
