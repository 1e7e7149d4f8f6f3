"""Which run of a job is meant: an execution, an attempt, or the run of a due time. The commands that look at runs share these options."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fastlane.cli.client.command import WrongName
from fastlane.cli.client.reference import JobName, find, find_execution, is_part

if TYPE_CHECKING:
    from fastlane.client import Client

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class RunChoice:
    """The user's choice of a run: an execution, the number of an attempt, and a due time or the id of a tick."""

    execution: str | None = None
    attempt: int | None = None
    tick: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A job, and the id of its execution that is meant; None where the text means the job and no option chooses."""

    job: JobName
    execution: str | None

    def __str__(self) -> str:
        return f"{self.job}/{self.execution}" if self.execution else str(self.job)


def run_options(function: F) -> F:
    """The options that choose a run."""
    function = click.option("--tick", metavar="TIME", help="The run of this due time, or of the tick with this id: see fastlane ticks.")(
        function
    )
    number = click.IntRange(1)
    function = click.option("--attempt", type=number, metavar="NUMBER", help="This attempt, of the newest run unless another is chosen.")(
        function
    )
    return click.option("--execution", metavar="ID", help="This execution instead of the newest.")(function)


def find_run(client: "Client", text: str, choice: RunChoice, *, newest: bool = False, ran: bool = False) -> Run:
    """The job that a text means, and the execution that the text or the options mean. ``newest`` and ``ran``: as for ``find``; an option
    that chooses a run looks at what has run. Raises WrongName."""
    found = find(client, text, newest=newest, ran=ran or choice != RunChoice())
    job, execution = found.job, found.execution
    if choice.execution is not None:
        execution = find_execution(client, job, choice.execution)
    if choice.tick is None and choice.attempt is None:
        return Run(job, execution)
    tick = None
    if choice.tick is not None:
        tick = _tick(client, job, choice.tick)
    elif execution is not None:
        tick = client.executions.get(job.task, job.id, execution)["queueJobId"]
    return Run(job, _attempt(client, job, tick, choice.attempt))


def find_execution_of(client: "Client", text: str, choice: RunChoice, *, newest: bool = False) -> tuple[JobName, str]:
    """The job that a text means, and the execution that is chosen or, when none is, the job's newest. Raises WrongName, also when
    nothing of the job has run."""
    run = find_run(client, text, choice, newest=newest, ran=True)
    id = run.execution or newest_execution(client, run.job)
    if id is None:
        raise WrongName(f"nothing of {run.job} ever ran")
    return run.job, id


def newest_execution(client: "Client", job: JobName) -> str | None:
    """The id of the job's newest execution; None when nothing of it ever ran."""
    return next((row["executionId"] for row in client.executions.of_job(job.task, job.id)), None)


TIME = re.compile(r"\d{4}-\d\d(-|$)")
"""The beginning of a text that is a due time, and no part of an id."""


def _tick(client: "Client", job: JobName, text: str) -> str:
    """The id of the tick that a due time, its beginning, or a part of an id means. Looks at all ticks, as far back as they may have it."""
    moment = _moment(text)
    rows = [row for row in _ticks_back_to(client, job, text, moment) if _is_meant(row, text, moment)]
    rows = [row for row in rows if row["id"] == text.lower() or datetime.fromisoformat(row["due"]) == moment] or rows
    if not rows:
        raise WrongName(f"--tick: {job} has no tick {text!r}; `fastlane ticks {job}` lists them")
    ran = [row for row in rows if row["execution"]]
    if len({row["due"] for row in ran}) == 1:  # one due time, which ran again: the last of these runs
        ran = [max(ran, key=lambda row: row["createdAt"])]
    if len(ran) > 1:
        times = ", ".join(row["due"] for row in ran[:3])
        raise WrongName(f"--tick: {text!r} could be {len(ran)} ticks: {times}; write more of the time, or the tick's id")
    if not ran:
        row = rows[0]
        raise WrongName(f"--tick: nothing ran at {row['due']}: {row['outcome']}: {row['reason'] or 'nothing started'}")
    return str(ran[0]["id"])


def _moment(text: str) -> datetime | None:
    """The moment that a text is in full, with its offset from UTC, however it is spelled; None when it is none."""
    try:
        found = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return None if found.tzinfo is None else found


def _is_meant(row: Any, text: str, moment: datetime | None) -> bool:
    """Whether a text, or the moment that it is, can mean a tick. A moment in whole seconds means any of that second."""
    if moment is not None:
        due = datetime.fromisoformat(row["due"])
        return moment == (due if moment.microsecond else due.replace(microsecond=0))
    return bool(row["due"].startswith(text.upper().replace(" ", "T"))) or is_part(text, row["id"])


def _ticks_back_to(client: "Client", job: JobName, text: str, moment: datetime | None) -> Iterator[Any]:
    """The ticks, the latest due first, until none that follows can be the one of a due time or a whole id."""
    for row in client.jobs.ticks(job.task, job.id):
        is_before = row["due"] < text.upper().replace(" ", "T") if moment is None else datetime.fromisoformat(row["due"]) < moment
        if TIME.match(text) and is_before:
            return
        yield row
        if row["id"] == text.lower():
            return


def _attempt(client: "Client", job: JobName, tick: str | None, attempt: int | None) -> str:
    """The execution that is this attempt (None: the last) of a tick's run (None: of the newest run)."""
    rows: list[Any] = []
    for row in client.executions.of_job(job.task, job.id):
        tick = tick or row["queueJobId"]
        if row["queueJobId"] == tick:
            if attempt in (None, row["attempt"]):
                return str(row["executionId"])
            rows.append(row)
            if row["attempt"] == 1:
                break
    attempts = "1 attempt" if len(rows) == 1 else f"{len(rows)} attempts"
    raise WrongName(f"--attempt: that run of {job} has {attempts}" if rows else f"nothing of {job} ever ran")
