"""New jobs in the SQLite file, with their first ticks and executions: those that wait together are inserted by a few statements.

Each statement costs more than most rows that it inserts (measured: a tenth of all that an enqueue costs among 32 at once).
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fastlane.errors import Conflict
from fastlane.models.idempotency import IdempotencyRecord
from fastlane.storage.documents import EXECUTION_FIELDS, JOB_FIELDS, TICK_FIELDS
from fastlane.storage.sqlite import idempotency
from fastlane.storage.sqlite.jobs import touch_task

Document = Mapping[str, Any]

MOST_ROWS = 64
"""Rows of one statement. It is a power of two, as every number of rows is, so that there are few statements to prepare."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job as it is stored, and what is made with it."""

    job: Document
    tick: Document | None = None
    execution: Document | None = None
    record: IdempotencyRecord | None = None


def create(db: sqlite3.Connection, new: Sequence[NewJob]) -> list[None]:
    """Inserts all of it. Raises Repeated for a record that is there, Conflict when there is a job with an id of theirs."""
    for one in new:
        if one.record is not None:
            idempotency.insert(db, one.record)
    made = _insert(db, "jobs", JOB_FIELDS, [one.job for one in new], " ON CONFLICT (id) DO NOTHING")
    if made < len(new):
        raise Conflict("there is a job with this id already")
    counts = Counter(one.job["task_id"] for one in new)
    latest = {one.job["task_id"]: one.job["modified_at"] for one in new}
    for task_id, count in counts.items():
        touch_task(db, task_id, latest[task_id], count)
    _insert(db, "ticks", TICK_FIELDS, [one.tick for one in new if one.tick is not None])
    _insert(db, "executions", EXECUTION_FIELDS, [one.execution for one in new if one.execution is not None])
    return [None] * len(new)


def _insert(db: sqlite3.Connection, table: str, fields: tuple[str, ...], rows: Sequence[Document], more: str = "") -> int:
    """Inserts rows whose values stand in the order of ``fields``; how many were inserted."""
    return sum(
        db.execute(_statement(table, fields, len(part), more), [value for row in part for value in row.values()]).rowcount
        for part in _parts(rows)
    )


def _parts(rows: Sequence[Document]) -> Iterator[Sequence[Document]]:
    start = 0
    while left := len(rows) - start:
        size = min(MOST_ROWS, 1 << (left.bit_length() - 1))
        yield rows[start : start + size]
        start += size


@lru_cache(maxsize=64)
def _statement(table: str, fields: tuple[str, ...], rows: int, more: str) -> str:
    row = f"({', '.join('?' * len(fields))})"
    return f"INSERT INTO {table} ({', '.join(fields)}) VALUES {', '.join([row] * rows)}{more}"
