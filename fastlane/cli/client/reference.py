"""How a job or an execution is named on the command line, and how it is found. The command ``fastlane completion`` and what completes names
are here, too.

- TASK/JOB, where JOB is the job's name, its id, or the beginning or end of its id;
- TASK/JOB/EXECUTION, or TASK/EXECUTION, where EXECUTION is an id, or the beginning or end of one;
- the id of a job or of an execution alone, or a unique end of it;
- a URL of either, of the API or of a page;
- TASK alone: its only job or, where nothing is changed, its newest.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import click
from click.shell_completion import CompletionItem, get_completion_class

from fastlane.cli.client.command import WrongName, connect

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
    """The tasks that begin like the text; after a slash, or when that is one task, its jobs too, by name or else by the end of the id.
    Nothing when the server does not answer."""
    from fastlane.client import ClientError

    try:
        with connect(ctx.params.get("context"), patience=1.0) as client:
            task, slash, _ = incomplete.partition("/")
            tasks = [task] if slash else [row["taskId"] for row in client.tasks.list() if row["taskId"].startswith(incomplete)]
            found = [] if slash else [CompletionItem(task) for task in tasks]
            if len(tasks) == 1:
                found += _jobs_to_complete(tasks[0], list(client.tasks.jobs(tasks[0])), incomplete)
    except ClientError:
        return []
    return [item for item in found if item.value.startswith(incomplete)]


def subject(row: Any) -> str:
    """What a job or an execution runs: its image, or the service that it runs as. (An older server names no service.)"""
    service = row.get("service")
    return str(row["image"]) if service is None else f"service {service}"


def _jobs_to_complete(task: str, rows: Sequence[Any], incomplete: str) -> list[CompletionItem]:
    """The jobs of a task by their names; without a name, or where an id was begun, by the end of the id or by the id."""
    names = [row["name"] for row in rows]
    found = []
    for row in rows:
        name, what = row["name"], f"{row['status']} {row['command'] or subject(row)}"
        is_own = name and names.count(name) == 1 and not re.search(r"\s|/", name)
        values = [f"{task}/{name}" if is_own else short(task, row["id"])]
        values += [f"{task}/{row['id']}"] if incomplete.startswith(f"{task}/{row['id'][:4]}") else []
        found += [CompletionItem(value, help=what) for value in values]
    return found


UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
PART = re.compile(r"[0-9a-f-]{4,36}", re.IGNORECASE)
"""The beginning or the end of an id."""
IN_URL = re.compile(r"/tasks?/([^/]+)/jobs/([^/]+)(?:/executions/([^/]+))?")
SHORT = 8
"""Characters of the end of an id that tables show: ids begin with the time, so ids that were made together begin alike."""
NAMED = 5
"""Jobs that a message names."""
SEARCHED = 1_000
"""The newest jobs, executions or tasks among which a part of an id or a similar name is looked for. Of a named job, all executions are."""

JOB = click.argument("job", metavar="JOB", shell_complete=complete_task)
SEVERAL_JOBS = click.argument("jobs", metavar="JOB…", nargs=-1, required=True, shell_complete=complete_task)


@dataclass(frozen=True, slots=True)
class JobName:
    """A job's task and id."""

    task: str
    id: str

    def __str__(self) -> str:
        return f"{self.task}/{self.id}"


@dataclass(frozen=True, slots=True)
class Reference:
    """The meaning of a text: a job and, where the text means an execution, the id of that."""

    job: JobName
    execution: str | None = None


def short(task: str, job: str) -> str:
    """The name that a table shows, and that every command takes."""
    return f"{task}/{job[-SHORT:]}"


def find(client: "Client", text: str, *, newest: bool = False, ran: bool = False) -> Reference:
    """Finds the job or the execution that a text means. TASK alone is its only job or, with ``newest``, its newest; with ``ran``, the
    newest that has run.

    Raises WrongName when it could be several, or when nothing has that name; the error then has the nearest names."""
    if "://" in text:
        return _in_url(text)
    task, slash, part = text.partition("/")
    if slash and not part:
        raise WrongName(f"{text!r} names no job after the slash")
    if UUID.fullmatch(part or task):
        found = _by_id(client, (part or task).lower())
        if found is not None and (not slash or found.job.task == task):
            return found
        if slash:
            return Reference(JobName(task, part.lower()))  # the server says that it does not exist
    rows = _jobs_of(client, task)
    if rows is None:
        if not slash and PART.fullmatch(text) and (some := _by_part(client, text)):
            return _only(text, some)
        raise WrongName(_unknown(client, text, task))
    return _among(client, text, rows, newest=newest, ran=ran)


def find_job(client: "Client", text: str, *, newest: bool = False, ran: bool = False) -> JobName:
    """Finds the job that a text means. Raises as ``find`` does, and WrongName for an execution: what is done to its job would reach
    more than what was named."""
    found = find(client, text, newest=newest, ran=ran)
    if found.execution is not None:
        raise WrongName(f"{text!r} is an execution, and this command takes a job; its job is {found.job}")
    return found.job


def _among(client: "Client", text: str, rows: Sequence[Any], *, newest: bool, ran: bool) -> Reference:
    """The job of these rows, of one task, or an execution of one of them."""
    task, slash, part = text.partition("/")
    if not slash:
        some = ([row for row in rows if row["lastExecution"]] if ran else []) or rows
        if some and newest:
            return Reference(JobName(task, some[0]["id"]))
        if not some:
            raise WrongName(f"task {task!r} has no jobs")
        return _only(text, [Reference(JobName(task, row["id"])) for row in some])
    ids = [row["id"] for row in rows if row["name"] == part] or [row["id"] for row in rows if is_part(part, row["id"])]
    if ids:
        return _only(text, [Reference(JobName(task, id)) for id in ids])
    job, slash, execution = part.rpartition("/")
    if slash and execution:
        name = _among(client, f"{task}/{job}", rows, newest=False, ran=False).job
        return Reference(name, find_execution(client, name, execution))
    if PART.fullmatch(part) and (found := _matching(islice(client.executions.list(task=task), SEARCHED), part)):
        return _only(text, found)
    near = nearest(part, [row["name"] for row in rows if row["name"]])
    hint = f"; did you mean {' or '.join(repr(f'{task}/{name}') for name in near)}?" if near else f"; `fastlane jobs {task}` lists them"
    raise WrongName(f"task {task!r} has no job {part!r}{hint}")


def find_execution(client: "Client", job: JobName, text: str) -> str:
    """The id of the job's execution that a text means: an id, a URL, or the beginning or end of an id. Raises WrongName."""
    if "://" in text:
        text = _in_url(text).execution or ""
    if UUID.fullmatch(text):
        return text.lower()
    found = _matching(client.executions.of_job(job.task, job.id), text) if PART.fullmatch(text) else []
    if not found:
        raise WrongName(f"{job} has no execution {text!r}; `fastlane ps -a {job.task}` lists the executions of its task")
    return str(_only(text, found).execution)


def _by_id(client: "Client", id: str) -> Reference | None:
    """The job or the execution of this id: an event says of which task and job it is."""
    for event in islice(client.server.events(kind="execution.enqueued", execution=id), 1):
        return Reference(JobName(str(event["taskId"]), str(event["jobId"])), id)
    for event in islice(client.server.events(kind="job.created", job=id), 1):
        return Reference(JobName(str(event["taskId"]), id))
    return None


def _by_part(client: "Client", part: str) -> list[Reference]:
    """The jobs and executions, among the newest, with this beginning or end of their id."""
    rows = islice(client.jobs.list(query=part), SEARCHED)
    jobs = [Reference(JobName(row["taskId"], row["id"])) for row in rows if is_part(part, row["id"])]
    return [*jobs, *_matching(islice(client.executions.list(), SEARCHED), part)]


def _matching(rows: Iterable[Any], part: str) -> list[Reference]:
    """The executions of these with this beginning or end of their id."""
    some = (row for row in rows if is_part(part, row["executionId"]))
    return [Reference(JobName(row["taskId"], row["jobId"]), row["executionId"]) for row in some]


def _only(text: str, found: Sequence[Reference]) -> Reference:
    """The one that was found. Raises WrongName for several."""
    if len(found) == 1:
        return found[0]
    what = "executions" if all(one.execution for one in found) else "jobs"
    some = ", ".join(f"{one.job}/{one.execution}" if one.execution else str(one.job) for one in found[:NAMED])
    more = ", …" if len(found) > NAMED else ""
    raise WrongName(f"{text!r} could be {len(found)} {what}: {some}{more}; name one of them")


def _jobs_of(client: "Client", task: str) -> list[Any] | None:
    """The jobs of a task, newest first; None when there is no such task."""
    from fastlane.client import NotFound

    try:
        return list(client.tasks.jobs(task))
    except NotFound:
        return None


def _unknown(client: "Client", text: str, task: str) -> str:
    """The message for a text that means nothing, with the nearest names."""
    near = nearest(task, (row["taskId"] for row in islice(client.tasks.list(), SEARCHED)))
    if not near:
        named = {row["name"]: f"{row['taskId']}/{row['name']}" for row in islice(client.jobs.list(), SEARCHED) if row["name"]}
        near = [named[name] for name in nearest(text, named)]
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "`fastlane tasks` lists the tasks"
    return f"there is no task {task!r}; {hint}"


@contextmanager
def named_task(client: "Client", task: str) -> Iterator[None]:
    """Within this, an error for a task that does not exist is a WrongName with the nearest names."""
    from fastlane.client import NotFound

    try:
        yield
    except NotFound:
        raise WrongName(_unknown(client, task, task)) from None


def check_named(noun: str, name: str, known: Sequence[str], lists: str) -> None:
    """Raises WrongName with the nearest names for a name that is not among the known ones. ``lists``: the command that lists them."""
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"`{lists}` lists them"
        raise WrongName(f"there is no {noun} {name!r} now; {hint}")


def nearest(text: str, known: Iterable[str]) -> list[str]:
    """The known names that are most like a text, or have it in them, three at most, whatever their case."""
    from difflib import get_close_matches

    folded = {name.lower(): name for name in known}
    similar = get_close_matches(text.lower(), folded, 3)
    parts = [name for name in folded if text.lower() in name]
    return [folded[name] for name in dict.fromkeys((*similar, *parts))][:3]


def _in_url(text: str) -> Reference:
    match = IN_URL.search(urlsplit(text).path)
    if match is None:
        raise WrongName(f"{text!r} is not the URL of a job or an execution; one has /tasks/TASK/jobs/JOB")
    return Reference(JobName(unquote(match[1]), match[2].lower()), match[3] and match[3].lower())


def is_part(part: str, id: str) -> bool:
    """Whether an id begins or ends with this part, which is long enough to mean one."""
    return PART.fullmatch(part) is not None and (id.startswith(part.lower()) or id.endswith(part.lower()))
