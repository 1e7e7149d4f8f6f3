"""The commands that act on jobs that exist: ``stop``, ``retry``, ``run-now``, ``pause``, ``resume``, ``rm``; and ``dispatch``."""

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, ForgivingGroup, connect
from fastlane.cli.client.completion import complete_task
from fastlane.cli.client.reference import JOB, find_job

JOBS = click.argument("jobs", metavar="JOB…", nargs=-1, required=True, shell_complete=complete_task)


@click.command(cls=ClientCommand)
@JOBS
@click.option("--all", "all_", is_flag=True, help="JOB is a task: stop all its jobs.")
@CONTEXT
def stop(jobs: tuple[str, ...], all_: bool, context: str | None) -> None:
    """Stops jobs: no further execution starts, and one that runs is stopped. A periodic job leaves the schedule.

    \b
    Examples:
      fastlane stop backup
      fastlane stop --all backup
    """
    with connect(context) as client:
        for job in jobs:
            if all_:
                stopped = client.tasks.stop(job)
                click.echo(f"{job}: {stopped['stopped']} jobs stopped")
                continue
            name = find_job(client, job)
            click.echo(f"{name}: {client.jobs.stop(name.task, name.id)['status']}")


@click.command(cls=ClientCommand)
@JOB
@CONTEXT
def retry(job: str, context: str | None) -> None:
    """Runs a job's last execution again, now. For a periodic job there is run-now.

    \b
    Example:
      fastlane retry report
    """
    with connect(context) as client:
        name = find_job(client, job)
        reply = client.jobs.retry(name.task, name.id)
        click.echo(f"{name}: execution {reply['executionId']}; follow it: fastlane logs -f {name}")


@click.command("run-now", cls=ClientCommand)
@JOB
@click.option("--force", is_flag=True, help="Also while an execution runs, and its overlap is skip.")
@CONTEXT
def run_now(job: str, force: bool, context: str | None) -> None:
    """Runs a job once now. Its schedule stays as it is.

    \b
    Examples:
      fastlane run-now backup
      fastlane run-now --force backup
    """
    with connect(context) as client:
        name = find_job(client, job)
        reply = client.jobs.run_now(name.task, name.id, force=force)
        click.echo(f"{name}: execution {reply['executionId']}; follow it: fastlane logs -f {name}")


@click.command(cls=ClientCommand)
@JOBS
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
            click.echo(f"{name}: {client.jobs.pause(name.task, name.id)['status']}")


@click.command(cls=ClientCommand)
@JOBS
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
            click.echo(f"{name}: {client.jobs.resume(name.task, name.id)['status']}")


@click.command(cls=ClientCommand)
@JOBS
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
                client.tasks.delete(job, stop=stop_)
                click.echo(f"{job}: removed")
                continue
            name = find_job(client, job)
            client.jobs.delete(name.task, name.id, stop=stop_)
            click.echo(f"{name}: removed")


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
    click.echo("dispatch is paused; what runs goes on")


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
    click.echo("dispatch goes on")


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
    click.echo(f"pools: revision {reloaded['revision']}")
