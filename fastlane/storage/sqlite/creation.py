"""The commits of a job: it is made or advanced together with its ticks and execution. New jobs that wait together go into a few statements.

A statement costs more than most of the rows that it inserts (measured: a tenth of what an enqueue costs when 32 come at once).
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fastlane.errors import Conflict
from fastlane.models.event import Event
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.job import Job
from fastlane.storage.documents import EXECUTION_FIELDS, JOB_COLUMNS, TICK_FIELDS
from fastlane.storage.sqlite import events, executions, idempotency, jobs
from fastlane.storage.sqlite.jobs import count_jobs

Document = Mapping[str, Any]

_COLUMNS = (*JOB_COLUMNS, "job_status")

MAX_ROWS = 64
"""Rows in one statement at most. The number of rows is always a power of two, so that few different statements are prepared."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job as it is stored, with its status, and what is created with it."""

    job: Document
    tick: Document | None = None
    execution: Document | None = None
    record: IdempotencyRecord | None = None


def create(db: sqlite3.Connection, new: Sequence[NewJob]) -> list[None]:
    """Inserts all of them. Raises Repeated when a record with the same key exists, Conflict when a job with the same id does."""
    for entry in new:
        if entry.record is not None:
            idempotency.insert(db, entry.record)
    inserted = _insert(db, "jobs", _COLUMNS, [entry.job for entry in new], " ON CONFLICT (id) DO NOTHING")
    if inserted < len(new):
        raise Conflict("there is a job with this id already")
    counts: dict[str, int] = {}
    for entry in new:
        counts[entry.job["task_id"]] = counts.get(entry.job["task_id"], 0) + 1
    latest = {entry.job["task_id"]: entry.job["modified_at"] for entry in new}
    for task_id, count in counts.items():
        count_jobs(db, task_id, latest[task_id], count)
    _insert(db, "ticks", TICK_FIELDS, [entry.tick for entry in new if entry.tick is not None])
    _insert(db, "executions", EXECUTION_FIELDS, [entry.execution for entry in new if entry.execution is not None])
    return [None] * len(new)


def advance(
    db: sqlite3.Connection,
    seen: Job,
    job: Document,
    rows: tuple[Sequence[Document], Document | None],
    record: IdempotencyRecord | None,
    recorded: Sequence[Event] = (),
) -> bool:
    """Replaces ``seen`` by ``job`` and inserts ticks, the execution, the record and events; False when ``seen`` is no longer stored."""
    ticks, execution = rows
    if record is not None:
        idempotency.refuse_repeat(db, record)
    if not jobs.advance(db, seen, job):
        return False
    if record is not None:
        idempotency.insert(db, record)
    for tick in ticks:
        jobs.insert_tick(db, tick)
    if execution is not None:
        executions.insert(db, execution)
    events.insert(db, recorded)
    return True


def _insert(db: sqlite3.Connection, table: str, fields: tuple[str, ...], rows: Sequence[Document], more: str = "") -> int:
    """Inserts rows whose values are in the order of ``fields``; the number of inserted rows."""
    if len(rows) == 1:
        return db.execute(_statement(table, fields, 1, more), [*rows[0].values()]).rowcount
    return sum(
        db.execute(_statement(table, fields, len(chunk), more), [value for row in chunk for value in row.values()]).rowcount
        for chunk in _chunks(rows)
    )


def _chunks(rows: Sequence[Document]) -> Iterator[Sequence[Document]]:
    start = 0
    while left := len(rows) - start:
        size = min(MAX_ROWS, 1 << (left.bit_length() - 1))
        yield rows[start : start + size]
        start += size


@lru_cache(maxsize=64)
def _statement(table: str, fields: tuple[str, ...], rows: int, more: str) -> str:
    row = f"({', '.join('?' * len(fields))})"
    return f"INSERT INTO {table} ({', '.join(fields)}) VALUES {', '.join([row] * rows)}{more}"
