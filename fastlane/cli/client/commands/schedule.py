"""The command ``fastlane schedule``."""

from typing import Any

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, connect
from fastlane.cli.client.fields import job_fields, job_options
from fastlane.cli.client.times import local, relative


@click.command(cls=ClientCommand, context_settings={"allow_interspersed_args": False})
@click.option("-n", "--dry-run", is_flag=True, help="Show the next runs, and create nothing.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the job's name.")
@job_options(scheduled=True)
@CONTEXT
def schedule(context: str | None, dry_run: bool, quiet: bool, task: str, **options: Any) -> None:
    """Runs a command later, or again and again, and shows the next five runs.

    \b
    Examples:
      fastlane schedule --task backup --name nightly --cron "0 3 * * *" --timezone Europe/Berlin ubuntu -- true
      fastlane schedule --in 2h30m ubuntu -- ls
      fastlane schedule --dry-run --cron "@hourly" ubuntu
    """
    if sum(options[name] is not None for name in ("cron", "startIn", "startAt")) != 1:
        raise click.UsageError("say when, by one of --cron, --in and --at; to run it now there is `fastlane run`")
    fields = job_fields(options)
    with connect(context) as client:
        preview = client.preview(task, **fields)
        name = ""
        if not dry_run:
            reply = client.submit(task, **fields)
            name = f"{reply['taskId']}/{reply['jobId']}"
            click.echo(name)
    if quiet:
        return
    for moment in preview["nextRuns"]:
        click.echo(f"  {local(moment)} ({relative(moment)})")
    for host in preview["hosts"]:
        if not host["usable"]:
            click.echo(f"  its pool {preview['pool']} cannot use {host['host']} now: {host['reason']}", err=True)
