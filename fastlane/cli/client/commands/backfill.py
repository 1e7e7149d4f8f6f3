"""The command that runs past due times of a job: ``backfill``."""

from typing import Any

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, connect
from fastlane.cli.client.output import counted, echo, json_text
from fastlane.cli.client.reference import JOB, find_job

MOST_SHOWN = 10


@click.command(cls=ClientCommand)
@JOB
@click.option("--from", "since", metavar="TIME", help="The first moment of the range: ISO 8601 with an offset, or Unix seconds.")
@click.option("--to", "until", metavar="TIME", help="The last moment of the range; now unless given.")
@click.option("--limit", type=click.IntRange(1, 50), default=1, help="How many run at the same time; 1 unless given.")
@click.option("--dry-run", is_flag=True, help="Shows the due times and changes nothing.")
@click.option("--stop", "stop_", is_flag=True, help="Ends the job's backfill, and stops what it runs.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@CONTEXT
def backfill(job: str, since: str | None, until: str | None, stop_: bool, as_json: bool, context: str | None, **how: Any) -> None:
    """Runs due times of a job's cron that have passed without a success, oldest first. Without --from, says how far its present or last
    backfill is.

    \b
    Examples:
      fastlane backfill backup --from 2026-11-24T00:00:00Z --dry-run
      fastlane backfill backup --from 2026-11-24T00:00:00Z --to 2026-11-30T00:00:00Z --limit 3
      fastlane backfill backup
      fastlane backfill backup --stop
    """
    if since is None and (until is not None or how["dry_run"]):
        raise click.UsageError("a range needs --from")
    if since is not None and stop_:
        raise click.UsageError("--stop ends the backfill that there is; leave --from out")
    with connect(context) as client:
        name = find_job(client, job)
        if since is not None and how["dry_run"]:
            preview = client.jobs.preview_backfill(name.task, name.id, since, until, limit=how["limit"])
            echo(json_text(preview) if as_json else previewed(str(name), preview))
            return
        if since is not None:
            found = client.jobs.backfill(name.task, name.id, since, until, limit=how["limit"])
        elif stop_:
            found = client.jobs.stop_backfill(name.task, name.id)
        else:
            found = client.jobs.get_backfill(name.task, name.id)
        echo(json_text(found) if as_json else said(str(name), found))


def previewed(name: str, preview: Any) -> str:
    """The due times that would run."""
    due = preview["dueTimes"]
    more = [f"  … and {len(due) - MOST_SHOWN:,} more"] if len(due) > MOST_SHOWN else []
    left_out = f"{preview['succeeded']:,} have a success, {preview['underWay']:,} are under way"
    return "\n".join([f"{name}: {counted(len(due), 'due time')} would run; {left_out}", *(f"  {one}" for one in due[:MOST_SHOWN]), *more])


def said(name: str, found: Any) -> str:
    """How far a backfill is."""
    counts = ", ".join(f"{found[part]:,} {part}" for part in ("succeeded", "failed", "expired", "running", "left") if found[part])
    early = f" ({found['reason']})" if found["reason"] else ""
    return f"{name}: backfill {found['status']}{early}: {counted(found['total'], 'due time')}: {counts or 'none has begun'}"
