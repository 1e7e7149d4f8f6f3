"""The command ``fastlane schedule``."""

from typing import Any, cast

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, connect
from fastlane.cli.client.fields import job_fields, job_options
from fastlane.cli.client.times import local, relative


@click.command(cls=ClientCommand, context_settings={"allow_interspersed_args": False})
@click.option("--cron", metavar="CRON", help="Again and again: five fields (minute, hour, day, month, day of week), or @daily.")
@click.option("--in", "start_in", metavar="DURATION", help="Once, this long from now: 10s, 2h30m.")
@click.option("--at", "start_at", metavar="TIME", help="Once, at this time: ISO 8601 with an offset, or Unix seconds.")
@click.option("--timezone", metavar="ZONE", help="The zone whose clocks the cron means: Europe/Berlin.")
@click.option("--overlap", type=click.Choice(["allow", "skip", "queue", "replace"]), help="What a tick does while an earlier run goes on.")
@click.option("--catch-up", type=click.Choice(["latest", "none"]), help="What follows when ticks were missed.")
@click.option("-n", "--dry-run", is_flag=True, help="Show the next runs, and create nothing.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the job's name.")
@job_options
@CONTEXT
def schedule(
    context: str | None,
    cron: str | None,
    start_in: str | None,
    start_at: str | None,
    timezone: str | None,
    overlap: str | None,
    catch_up: str | None,
    dry_run: bool,
    quiet: bool,
    task: str,
    **options: Any,
) -> None:
    """Runs a command later, or again and again, and shows the next five runs.

    \b
    Examples:
      fastlane schedule --task backup --name nightly --cron "0 3 * * *" --timezone Europe/Berlin ubuntu -- true
      fastlane schedule --in 2h30m ubuntu -- ls
      fastlane schedule --dry-run --cron "@hourly" ubuntu
    """
    starts = {"--cron": cron, "--in": start_in, "--at": start_at}
    if sum(value is not None for value in starts.values()) != 1:
        raise click.UsageError("say when, by one of --cron, --in and --at; to run it now there is `fastlane run`")
    times = {"cron": cron, "startIn": start_in, "startAt": start_at, "timezone": timezone, "overlap": overlap, "catchUp": catch_up}
    fields = {**cast("dict[str, Any]", job_fields(options)), **{name: value for name, value in times.items() if value is not None}}
    with connect(context) as client:
        preview = client.preview(task, **cast("Any", fields))
        name = ""
        if not dry_run:
            reply = client.submit(task, **cast("Any", fields))
            name = f"{reply['taskId']}/{reply['jobId']}"
            click.echo(name)
    if quiet:
        return
    for moment in preview["nextRuns"]:
        click.echo(f"  {local(moment)} ({relative(moment)})")
    for host in preview["hosts"]:
        if not host["usable"]:
            click.echo(f"  its pool {preview['pool']} cannot use {host['host']} now: {host['reason']}", err=True)
