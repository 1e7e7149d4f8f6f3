"""How a job is named on the command line: TASK/JOB, where JOB is its id, its name, or the beginning or end of its id; a URL of it; or TASK
alone. The command ``fastlane completion`` and what completes the names of tasks are here, too."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import click
from click.shell_completion import CompletionItem, get_completion_class

if TYPE_CHECKING:
    from fastlane.client import Client


VARIABLE = "_FASTLANE_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Prints the script that completes commands, options and tasks in your shell.

    \b
    Examples:
      fastlane completion bash >> ~/.bashrc
      fastlane completion zsh > fastlane.zsh
      fastlane completion fish > fastlane.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(ctx.find_root().command, {}, "fastlane", VARIABLE).source())


def complete_task(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The tasks that begin so; after a slash, the jobs of the task. Nothing when the server does not say."""
    from fastlane.cli.client.command import connect
    from fastlane.client import ClientError

    try:
        with connect(ctx.params.get("context"), patience=1.0) as client:
            task, slash, _ = incomplete.partition("/")
            if slash:
                found = [(f"{task}/{row['id']}", row["name"]) for row in client.tasks.jobs(task)]
            else:
                found = [(row["taskId"], None) for row in client.tasks.list() if row["taskId"].startswith(incomplete)]
    except ClientError:
        return []
    return [CompletionItem(name, help=help) for name, help in found if name.startswith(incomplete)]


UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
IN_URL = re.compile(r"/tasks?/([^/]+)/jobs/([^/]+)")
SHORT = 8
"""Characters of the end of an id that tables show: ids begin with the time, so ids that were made together begin alike."""
LEAST = 4
NAMED = 5
"""Jobs that a message names."""

JOB = click.argument("job", metavar="JOB", shell_complete=complete_task)


@dataclass(frozen=True, slots=True)
class JobName:
    """A job's task and id."""

    task: str
    id: str

    def __str__(self) -> str:
        return f"{self.task}/{self.id}"


def short(task: str, job: str) -> str:
    """The name that a table shows, and that every command takes."""
    return f"{task}/{job[-SHORT:]}"


def find_job(client: "Client", text: str, *, newest: bool = False, ran: bool = False) -> JobName:
    """Finds the job that a text names. TASK alone is its only job or, with ``newest``, its newest; with ``ran``, the newest that has run.

    Raises click.UsageError when it could be several, or none, and NotFound when the task does not exist."""
    if "://" in text:
        return _in_url(text)
    task, slash, part = text.partition("/")
    if UUID.fullmatch(part):
        return JobName(task, part.lower())
    if slash and not part:
        raise click.UsageError(f"{text!r} names no job after the slash")
    rows = [row for row in client.tasks.jobs(task) if not slash or row["name"] == part or _is_part(part, row["id"])]
    rows = [row for row in rows if ran and not slash and row["lastExecution"]] or rows
    found = [row["id"] for row in rows]
    if len(found) == 1 or (found and newest and not slash):
        return JobName(task, found[0])
    if not found:
        raise click.UsageError(f"task {task!r} has no job {part!r}" if slash else f"task {task!r} has no jobs")
    some = ", ".join(f"{task}/{id}" for id in found[:NAMED])
    raise click.UsageError(f"{text!r} could be {len(found)} jobs: {some}{', …' if len(found) > NAMED else ''}; name one of them")


def find_execution(client: "Client", job: str, execution: str | None, *, newest: bool = False) -> tuple[JobName, str]:
    """The job that a text names, and the execution of this id or, without one, the job's newest. Raises as ``find_job`` does, and
    click.UsageError when nothing of the job has run."""
    name = find_job(client, job, newest=newest, ran=True)
    id = execution or next((row["executionId"] for row in client.executions.of_job(name.task, name.id)), None)
    if id is None:
        raise click.UsageError(f"nothing of {name} ever ran")
    return name, id


def _in_url(text: str) -> JobName:
    match = IN_URL.search(urlsplit(text).path)
    if match is None:
        raise click.UsageError(f"{text!r} is not the URL of a job; one has /tasks/TASK/jobs/JOB")
    return JobName(unquote(match[1]), match[2].lower())


def _is_part(part: str, id: str) -> bool:
    return len(part) >= LEAST and (id.startswith(part.lower()) or id.endswith(part.lower()))
