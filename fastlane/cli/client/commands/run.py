"""The commands that create jobs: ``fastlane run`` and ``fastlane schedule``."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from fastlane.cli.client.command import CONTEXT, PATIENCE, ClientCommand, address_of, connect, note_version, say
from fastlane.cli.client.fields import job_fields, job_options
from fastlane.cli.client.output import echo, local, relative

if TYPE_CHECKING:
    from fastlane.client import Address


OURS = 125


class WrongUse(click.UsageError):
    """Wrong options of ``run``."""

    exit_code = OURS


class RunCommand(ClientCommand):
    """Ends with 125 for all that is not the command's own end, wrong options too, as ``docker run`` does."""

    failure = OURS

    def make_context(self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any) -> click.Context:
        """As click does it."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            raise WrongUse(error.format_message(), error.ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        """As for other commands."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise WrongUse(error.format_message(), error.ctx) from None


@click.command(cls=RunCommand, context_settings={"allow_interspersed_args": False})
@click.option("-d", "--detach", is_flag=True, help="Print the job's name, and do not wait for it.")
@click.option("--stop-on-exit", is_flag=True, help="Ctrl-C, SIGTERM or a closed output stop the job, without a question.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say what it waits for.")
@click.option("--wait-all", is_flag=True, help="Wait for all jobs that follow it, too; 1 when one of them does not succeed.")
@job_options()
@CONTEXT
def run(context: str | None, detach: bool, stop_on_exit: bool, quiet: bool, wait_all: bool, task: str, **options: Any) -> None:
    """Runs a command in a container, follows it, and ends with its exit code.

    What the command writes to stdout and stderr comes out there, byte for byte. The exit code is the command's; 124 when it ran for longer
    than --timeout; 125 when fastlane could not run it; 130 after Ctrl-C, which asks whether to stop the job. When the server restarts
    meanwhile, the run goes on. Options come before IMAGE; what follows is the command, and no shell runs it.

    \b
    Examples:
      fastlane run ubuntu -- ls -lah
      fastlane run --memory 512m --timeout 5m -e LEVEL=debug ubuntu sh -c 'echo $LEVEL'
      fastlane run --task report --retries 2 --stop-on-exit ubuntu -- true
      fastlane run -d --task report --name weekly ubuntu -- true
    """
    if detach and wait_all:
        raise click.UsageError("--detach waits for nothing; leave it out, or leave out --wait-all")
    fields = job_fields(options)
    manner = _Manner(detach, stop_on_exit, quiet, wait_all)
    click.get_current_context().exit(asyncio.run(_run(address_of(context), task, fields, manner)))


@dataclass(frozen=True, slots=True)
class _Manner:
    """How a run is followed, as the options say."""

    detach: bool
    stop_on_exit: bool
    quiet: bool
    wait_all: bool


async def _run(address: "Address", task: str, fields: Any, manner: _Manner) -> int:
    from fastlane.cli.client.following import Following
    from fastlane.cli.client.wait_all import Link, wait_all
    from fastlane.client import AsyncClient, ClientError

    async with AsyncClient(address, patience=PATIENCE) as client:
        try:
            try:
                reply = await client.submit(task, **fields)
            except asyncio.CancelledError:
                say(f"the server had not answered yet; if the job was made, `fastlane ps --task {task}` shows it")
                raise
            if manner.detach:
                echo(f"{reply['taskId']}/{reply['jobId']}")
                return 0
            assert reply["executionId"] is not None
            following = Following(client, task, reply["jobId"], reply["executionId"], manner.stop_on_exit, manner.quiet)
            code = await following.exit_code()
            name = f"{reply['taskId']}/{reply['jobId']}"
            if manner.wait_all and not await wait_all(client, Link(task, reply["jobId"], following.last, name)):
                return code or 1
            return code
        except ClientError as error:
            note_version(error, client.server_version)
            raise


@click.command(cls=ClientCommand, context_settings={"allow_interspersed_args": False})
@click.option("--dry-run", is_flag=True, help="Show the next runs, and create nothing.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the job's name.")
@job_options(scheduled=True)
@CONTEXT
def schedule(context: str | None, dry_run: bool, quiet: bool, task: str, **options: Any) -> None:
    """Runs a command later, or again and again, and shows the next five runs; with --manual, whenever `fastlane run-now` asks for it; with
    --after, when other jobs have ended.

    \b
    Examples:
      fastlane schedule --task backup --name nightly --cron "0 3 * * *" --timezone Europe/Berlin ubuntu -- true
      fastlane schedule --in 2h30m ubuntu -- ls
      fastlane schedule --dry-run --cron "@hourly" ubuntu
      fastlane schedule --manual --task shop --name migrate ubuntu -- true
      fastlane schedule --task shop --after migrate --name report ubuntu -- true
    """
    if sum(bool(options[name]) for name in ("cron", "startIn", "startAt", "manual", "after")) != 1:
        raise click.UsageError("say when, by one of --cron, --in, --at, --manual and --after; to run it now there is `fastlane run`")
    fields = job_fields(options)
    with connect(context) as client:
        preview = client.preview(task, **fields)
        name = ""
        if not dry_run:
            reply = client.submit(task, **fields)
            name = f"{reply['taskId']}/{reply['jobId']}"
            echo(name)
    if quiet:
        return
    for moment in preview["nextRuns"]:
        echo(f"  {local(moment)} ({relative(moment)})")
    for host in preview["hosts"]:
        if not host["usable"]:
            echo(f"  its pool {preview['pool']} cannot use {host['host']} now: {host['reason']}", err=True)
