"""The commands that act on jobs that exist: ``stop``, ``retry``, ``run-now``, ``pause``, ``resume``, ``rm``; ``dispatch``; and ``repair``,
by which an operator puts right by hand what fastlane cannot."""

import asyncio
import sys
from typing import Any

import click

from fastlane.cli.client.command import CONTEXT, PATIENCE, ClientCommand, ForgivingGroup, address_of, connect, say
from fastlane.cli.client.fields import pair
from fastlane.cli.client.output import echo
from fastlane.cli.client.reference import JOB, SEVERAL_JOBS, JobName, find, find_job, named_task
from fastlane.cli.client.runs import Run, RunChoice, find_execution_of, find_run, run_options


@click.command(cls=ClientCommand)
@SEVERAL_JOBS
@click.option("--all", "all_", is_flag=True, help="JOB is a task: stop all its jobs.")
@CONTEXT
def stop(jobs: tuple[str, ...], all_: bool, context: str | None) -> None:
    """Stops jobs: no further execution starts, and one that runs is stopped. A periodic job leaves the schedule; `fastlane start` brings it
    back. An execution, by its URL or id, stops alone, and its job's schedule goes on.

    \b
    Examples:
      fastlane stop backup
      fastlane stop --all backup
    """
    with connect(context) as client:
        for job in jobs:
            if all_:
                with named_task(client, job):
                    echo(f"{job}: {client.tasks.stop(job)['stopped']} jobs stopped")
                continue
            found = find(client, job)
            name = found.job
            if found.execution is None:
                echo(f"{name}: {client.jobs.stop(name.task, name.id)['status']}")
            else:
                stopped = client.executions.stop(name.task, name.id, found.execution)
                echo(f"{name}/{found.execution}: {stopped['status']}")


@click.command(cls=ClientCommand)
@JOB
@run_options
@click.option("--image", metavar="IMAGE", help="Another image instead of the one that it ran.")
@click.option("--force", is_flag=True, help="Also while an execution runs, and its overlap is skip.")
@CONTEXT
def retry(job: str, image: str | None, force: bool, context: str | None, **choice: Any) -> None:
    """Runs an execution again, now, with the details that it had: the last one of a job without a schedule, or any that the options or its
    URL choose. A new run of a periodic job is run-now.

    \b
    Examples:
      fastlane retry report
      fastlane retry backup --execution 6a51c2
      fastlane retry backup --tick 2026-11-29T06:00 --image team/backup:1.2.1
    """
    with connect(context) as client:
        run = find_run(client, job, RunChoice(**choice))
        name = run.job
        if run.execution is None and (image is not None or force):
            name, id = find_execution_of(client, job, RunChoice())
            run = Run(name, id)
        if run.execution is None:
            reply = client.jobs.retry(name.task, name.id)
        else:
            reply = client.executions.retry(name.task, name.id, run.execution, image=image, force=force)
        echo(f"{name}: {_begun(reply)}; follow it: fastlane logs -f {name}")


def _begun(reply: Any) -> str:
    """What a request made: an execution, or a tick that runs everywhere, which has several."""
    execution = reply["executionId"]
    return f"tick {reply['queueJobId']} on all targets" if execution is None else f"execution {execution}"


@click.command("run-now", cls=ClientCommand)
@JOB
@click.option("-p", "--parameter", "given", metavar="NAME=VALUE", multiple=True, help="The value of one of the job's parameters.")
@click.option("--reschedule", is_flag=True, help="Instead of its next tick, which is skipped then.")
@click.option("--force", is_flag=True, help="Also while an execution runs, and its overlap is skip.")
@click.option("--wait-all", is_flag=True, help="Wait for its end, and for all jobs after it; 1 when one does not succeed.")
@CONTEXT
def run_now(job: str, given: tuple[str, ...], reschedule: bool, force: bool, wait_all: bool, context: str | None) -> None:
    """Runs a job once now. Its schedule stays as it is, unless --reschedule is given.

    \b
    Examples:
      fastlane run-now backup
      fastlane run-now --force backup
      fastlane run-now --reschedule backup
      fastlane run-now -p VERSION=v7 -p SIZE=large shop/migrate
    """
    parameters = dict(pair("--parameter", text) for text in given)
    with connect(context) as client:
        name = find_job(client, job)
        if wait_all and client.jobs.get(name.task, name.id)["job"]["spec"].get("everywhere"):
            raise click.UsageError("--wait-all cannot wait for a job that runs everywhere; fastlane logs -f follows all of its targets")
        reply = client.jobs.run_now(name.task, name.id, force=force, parameters=parameters, reschedule=reschedule)
        echo(f"{name}: {_begun(reply)}; follow it: fastlane logs -f {name}")
    if wait_all and reply["executionId"] is None:  # the job was changed just then
        raise click.UsageError("the job runs everywhere now, so --wait-all cannot wait for it; fastlane logs -f follows all of its targets")
    if wait_all and not asyncio.run(_wait_all(context, name, str(reply["executionId"]))):
        sys.exit(1)


async def _wait_all(context: str | None, name: JobName, execution: str) -> bool:
    from fastlane.cli.client.wait_all import Link, last_attempt_of, wait_all
    from fastlane.client import AsyncClient

    async with AsyncClient(address_of(context), patience=PATIENCE) as client:
        return await wait_all(client, await last_attempt_of(client, Link(name.task, name.id, execution, str(name))))


@click.command(cls=ClientCommand)
@SEVERAL_JOBS
@CONTEXT
def pause(jobs: tuple[str, ...], context: str | None) -> None:
    """Holds the schedules of jobs. What runs goes on.

    \b
    Example:
      fastlane pause backup
    """
    with connect(context) as client:
        for job in jobs:
            name = find_job(client, job)
            echo(f"{name}: {client.jobs.pause(name.task, name.id)['status']}")


@click.command(cls=ClientCommand)
@SEVERAL_JOBS
@CONTEXT
def resume(jobs: tuple[str, ...], context: str | None) -> None:
    """Releases the schedules of jobs.

    \b
    Example:
      fastlane resume backup
    """
    with connect(context) as client:
        for job in jobs:
            name = find_job(client, job)
            echo(f"{name}: {client.jobs.resume(name.task, name.id)['status']}")


@click.command(cls=ClientCommand)
@SEVERAL_JOBS
@click.option("--stop", "stop_", is_flag=True, help="Stop it first, when it runs or is scheduled.")
@click.option("--all", "all_", is_flag=True, help="JOB is a task: remove it with all its jobs.")
@CONTEXT
def rm(jobs: tuple[str, ...], stop_: bool, all_: bool, context: str | None) -> None:
    """Removes jobs with their history. What runs or is scheduled needs --stop.

    \b
    Examples:
      fastlane rm --stop backup
      fastlane rm --stop --all old-task
    """
    with connect(context) as client:
        for job in jobs:
            if all_:
                with named_task(client, job):
                    client.tasks.delete(job, stop=stop_)
                echo(f"{job}: removed")
                continue
            name = find_job(client, job)
            deleted = client.jobs.delete(name.task, name.id, stop=stop_)
            for one in deleted.get("followers", ()):
                say(f"the job {one['taskId']}/{one['jobId']} followed {name}, and does not run any more; give it another after")
            echo(f"{name}: removed")


@click.group(cls=ForgivingGroup)
def dispatch() -> None:
    """Holds and releases all that waits, on all pools. What runs goes on.

    \b
    Examples:
      fastlane dispatch pause
      fastlane dispatch resume
    """


@dispatch.command("pause", cls=ClientCommand)
@CONTEXT
def pause_dispatch(context: str | None) -> None:
    """Starts nothing at all.

    \b
    Example:
      fastlane dispatch pause
    """
    with connect(context) as client:
        client.server.pause_dispatch()
    echo("dispatch is paused; what runs goes on")


@dispatch.command("resume", cls=ClientCommand)
@CONTEXT
def resume_dispatch(context: str | None) -> None:
    """Starts again what waits, also after a backup of the store was restored. Paused pools stay paused.

    \b
    Example:
      fastlane dispatch resume
    """
    with connect(context) as client:
        client.server.resume_dispatch()
    echo("dispatch goes on")


@click.command(cls=ClientCommand)
@CONTEXT
def reload(context: str | None) -> None:
    """Reads the pools from the settings again, in every process. If any setting has a fault, none changes.

    \b
    Example:
      fastlane reload
    """
    with connect(context) as client:
        reloaded = client.server.reload_pools()
    echo(f"pools: revision {reloaded['revision']}")


REASON = click.option("--reason", required=True, metavar="TEXT", help="Why it has to be done by hand; `fastlane events` shows it.")
EXECUTION = click.option("--execution", metavar="ID", help="This execution instead of the newest.")


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
        name, id = find_execution_of(client, job, RunChoice(execution))
        echo(f"{id}: {client.executions.end(name.task, name.id, id, reason)['status']}")


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
        name, id = find_execution_of(client, job, RunChoice(execution))
        client.executions.mark_cleaned(name.task, name.id, id, reason)
        echo(f"{id}: counts as cleaned")


@repair.command("rebuild-queue", cls=ClientCommand)
@REASON
@CONTEXT
def rebuild_queue(reason: str, context: str | None) -> None:
    """Has the workers rebuild the queue from the store. Nothing starts until then, and what runs goes on.

    \b
    Example:
      fastlane repair rebuild-queue --reason 'Redis was edited by hand'
    """
    with connect(context) as client:
        begun = client.server.rebuild_queue(reason)["begun"]
    echo("the queue is being rebuilt" if begun else "the queue was being rebuilt already")


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
        echo(f"{client.server.forget_worker(worker, reason)['worker']}: forgotten")
