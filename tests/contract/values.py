"""Values that the store's tests write: jobs with ids of their own, and logs built chunk by chunk."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from fastlane.models.access import Requester
from fastlane.models.execution import Execution
from fastlane.models.job import Job, Spec
from fastlane.models.logs.chunk import STDERR, STDOUT, Chunk, Head, Mark, Piece
from fastlane.models.schedule.schedule import Schedule, ScheduleKind
from fastlane.models.schedule.tick import Tick, make_tick, once_key

SPEC = Spec(
    "ubuntu:latest",
    ("echo", "it's", "", "größe\n"),
    {"A": "b", "FROM.dots$": "x"},
    {"a.b": [1, 2.5, None, {"$set": True}], "": "é"},
)


def new_job(task_id: str = "my-task", *, at: int | None = None, now: int = 1_000, **changed: Any) -> Job:
    """A job that runs now, or at a moment."""
    schedule = Schedule() if at is None else Schedule(ScheduleKind.AT, at)
    values = {"sequence": 1, "next_tick": at, "requested_by": Requester("anna", "10.0.0.1"), **changed}
    return Job(str(uuid4()), task_id, str(uuid4()), now, now, SPEC, schedule, **values)


def first_of(job: Job, *, key: str | None = None, sequence: int = 1, due: int = 1_000) -> tuple[Tick, Execution]:
    """The job's first tick and its execution, or another one of this key."""
    return make_tick(job, key or once_key(1), sequence=sequence, due=due, now=due)


def new(task_id: str = "my-task", **changed: Any) -> tuple[Job, Tick, Execution]:
    """A job that runs now, with its tick and execution."""
    job = new_job(task_id, **changed)
    return (job, *first_of(job))


def chunk(execution_id: str, start: Head, pieces: Sequence[Piece], *, dropped: int = 0) -> Chunk:
    """A chunk with these pieces, from this head on."""
    sizes = {stream: sum(len(piece.data) for piece in pieces if piece.stream == stream) for stream in (STDOUT, STDERR)}
    marks = {**start.marks, **{piece.stream: Mark(piece.time, 1) for piece in pieces}}
    end = Head(
        start.sequence + 1,
        start.offset + sum(sizes.values()),
        start.stdout + sizes[STDOUT],
        start.stderr + sizes[STDERR],
        start.dropped + dropped,
        marks,
    )
    return Chunk(execution_id, start, end, tuple(pieces))


def joined(pieces: Sequence[Piece], stream: int | None = None) -> bytes:
    """The bytes of these pieces, or of one stream's."""
    return b"".join(piece.data for piece in pieces if stream in (None, piece.stream))
