"""The commands ``fastlane repair``: what an operator puts right by hand."""

from typing import TYPE_CHECKING

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, ForgivingGroup, connect
from fastlane.cli.client.reference import JOB, JobName, find_job

if TYPE_CHECKING:
    from fastlane.client import Client

REASON = click.option("--reason", required=True, metavar="TEXT", help="Why it has to be done by hand; `fastlane events` shows it.")
EXECUTION = click.option("--execution", metavar="ID", help="This execution, in place of the newest.")


@click.group(cls=ForgivingGroup)
def repair() -> None:
    """What an operator puts right by hand, where fastlane cannot by itself. Each needs a reason, and is recorded with it.

    \b
    Examples:
      fastlane repair end backup --reason 'its host burnt down'
      fastlane repair rebuild-queue --reason 'Redis was edited by hand'
    """


@repair.command(cls=ClientCommand)
@JOB
@EXECUTION
@REASON
@CONTEXT
def end(job: str, execution: str | None, reason: str, context: str | None) -> None:
    """Ends an execution as stopped that was asked to stop and does not end. Its container may still be running until its host answers.

    \b
    Example:
      fastlane repair end backup --reason 'its host burnt down'
    """
    with connect(context) as client:
        name, id = _execution(client, job, execution)
        click.echo(f"{id}: {client.executions.end(name.task, name.id, id, reason)['status']}")


@repair.command("mark-cleaned", cls=ClientCommand)
@JOB
@EXECUTION
@REASON
@CONTEXT
def mark_cleaned(job: str, execution: str | None, reason: str, context: str | None) -> None:
    """Counts the service of an execution that has ended as removed, because its host will not come back.

    \b
    Example:
      fastlane repair mark-cleaned backup --reason 'its host burnt down'
    """
    with connect(context) as client:
        name, id = _execution(client, job, execution)
        client.executions.mark_cleaned(name.task, name.id, id, reason)
        click.echo(f"{id}: counts as cleaned")


@repair.command("rebuild-queue", cls=ClientCommand)
@REASON
@CONTEXT
def rebuild_queue(reason: str, context: str | None) -> None:
    """Has the workers build the queue anew from the store. Nothing starts until then, and what runs goes on.

    \b
    Example:
      fastlane repair rebuild-queue --reason 'Redis was edited by hand'
    """
    with connect(context) as client:
        begun = client.server.rebuild_queue(reason)["begun"]
    click.echo("the queue is being rebuilt" if begun else "the queue was being rebuilt already")


@repair.command("forget-worker", cls=ClientCommand)
@click.argument("worker")
@REASON
@CONTEXT
def forget_worker(worker: str, reason: str, context: str | None) -> None:
    """Drops what a worker last said of itself: nobody waits for it any more. One that is alive reports itself again.

    \b
    Example:
      fastlane repair forget-worker 3f2c --reason 'its machine is gone'
    """
    with connect(context) as client:
        click.echo(f"{client.server.forget_worker(worker, reason)['worker']}: forgotten")


def _execution(client: "Client", job: str, execution: str | None) -> tuple[JobName, str]:
    """The job and its execution that is meant."""
    name = find_job(client, job, ran=True)
    id = execution or next((row["executionId"] for row in client.executions.of_job(name.task, name.id)), None)
    if id is None:
        raise click.UsageError(f"nothing of {name} ever ran")
    return name, id
