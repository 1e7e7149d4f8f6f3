"""How a job is named on the command line: TASK/JOB, where JOB is its id, its name, or the beginning or end of its id; a URL of it; or TASK
alone."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import click

from fastlane.cli.client.completion import complete_task

if TYPE_CHECKING:
    from fastlane.client import Client

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


def _in_url(text: str) -> JobName:
    match = IN_URL.search(urlsplit(text).path)
    if match is None:
        raise click.UsageError(f"{text!r} is not the URL of a job; one has /tasks/TASK/jobs/JOB")
    return JobName(unquote(match[1]), match[2].lower())


def _is_part(part: str, id: str) -> bool:
    return len(part) >= LEAST and (id.startswith(part.lower()) or id.endswith(part.lower()))
