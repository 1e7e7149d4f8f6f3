"""Makes the values that tests need: specs, jobs, executions, queue entries and logs. Each field that a test does not name has a default.

``make_job`` and ``make_execution`` always give the same ids; ``new_job`` and ``new`` give ids of their own, for a store that holds many.
"""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from fastlane.models.access import Requester
from fastlane.models.job import Execution, Job, Spec
from fastlane.models.log import STDERR, STDOUT, Chunk, Head, Mark, Piece
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.tick import Tick, make_tick, once_key
from fastlane.queue.port import Entry, EntryKind

SPEC = Spec(
    "ubuntu:latest",
    ("echo", "it's", "", "größe\n"),
    {"A": "b", "FROM.dots$": "x"},
    {"a.b": [1, 2.5, None, {"$set": True}], "": "é"},
)


NOW = 1_700_000_000_000
"""When an entry is due."""

INCARNATION = "96812ec5-4574-46da-9474-f901b51d49ec"


def make_spec(image: str = "ubuntu", **fields: Any) -> Spec:
    """A spec of this image."""
    return Spec(image, **fields)


def make_job(**fields: Any) -> Job:
    """The job ``j`` of the task ``t``, which runs now."""
    given: dict[str, Any] = {
        "id": "j",
        "task_id": "t",
        "incarnation": INCARNATION,
        "created_at": 1,
        "modified_at": 1,
        "spec": make_spec(),
        "schedule": Schedule(),
    }
    return Job(**{**given, **fields})


def make_execution(**fields: Any) -> Execution:
    """The execution ``e`` of the job ``j``, enqueued."""
    given: dict[str, Any] = {
        "id": "e",
        "task_id": "t",
        "job_id": "j",
        "tick_id": "k",
        "attempt": 1,
        "sequence": 1,
        "spec": make_spec(),
        "scheduled_for": 1,
        "created_at": 1,
    }
    return Execution(**{**given, **fields})


def make_entry(id: str, due: int = NOW, lane: str = "main", *, kind: EntryKind = EntryKind.EXECUTION, **fields: Any) -> Entry:
    """An execution's entry, or a job's."""
    return Entry(id, kind, lane, due, **fields)


def make_entries(count: int, lane: str = "main", due: int = NOW, *, name: str | None = None, **fields: Any) -> list[Entry]:
    """Entries ``NAME-00000`` and so on; they are named for their lane by default."""
    return [make_entry(f"{name or lane}-{number:05}", due, lane, **fields) for number in range(count)]


def new_job(task_id: str = "my-task", *, at: int | None = None, now: int = 1_000, **fields: Any) -> Job:
    """A job with ids of its own, that runs now or at a given time."""
    given = {"sequence": 1, "next_tick": at, "requested_by": Requester("anna", "10.0.0.1"), "spec": SPEC, **fields}
    schedule = Schedule() if at is None else Schedule(ScheduleKind.AT, at)
    ids = {"id": str(uuid4()), "incarnation": str(uuid4()), "created_at": now, "modified_at": now}
    return make_job(task_id=task_id, schedule=schedule, **ids, **given)


def first_of(job: Job, *, key: str | None = None, sequence: int = 1, due: int = 1_000) -> tuple[Tick, Execution]:
    """The job's first tick and its execution, or another one of this key."""
    return make_tick(job, key or once_key(1), sequence=sequence, due=due, now=due)


def new(task_id: str = "my-task", **fields: Any) -> tuple[Job, Tick, Execution]:
    """A job that runs now, with its tick and execution."""
    job = new_job(task_id, **fields)
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
