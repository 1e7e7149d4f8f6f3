"""Statements that only an export or an import needs."""

import sqlite3
from dataclasses import astuple

from fastlane.models.idempotency import IdempotencyRecord
from fastlane.models.task import Task
from fastlane.storage.sqlite.idempotency import FIELDS
from fastlane.storage.sqlite.jobs import FIRST
from fastlane.storage.sqlite.rows import insert_into

_RECORDS = f"""SELECT {", ".join(FIELDS)} FROM receipts WHERE created_at >= ? AND (created_at, key) > (?, ?)
    ORDER BY created_at, key LIMIT ?"""
_RESTORE_RECORD = insert_into("receipts", FIELDS) + " ON CONFLICT (key) DO NOTHING"
_RESTORE_TASK = """INSERT INTO tasks (id, created_at, modified_at, jobs_count) VALUES (?, ?, ?, 0)
    ON CONFLICT (id) DO UPDATE SET created_at = excluded.created_at, modified_at = excluded.modified_at"""


def records(db: sqlite3.Connection, since: int, limit: int, after: tuple[int, str] | None) -> list[IdempotencyRecord]:
    """The records that were written at that moment or later, by (created_at, key), after the named one."""
    return [IdempotencyRecord(*row) for row in db.execute(_RECORDS, (since, *(after or FIRST), limit)).fetchall()]


def restore_record(db: sqlite3.Connection, record: IdempotencyRecord) -> None:
    """Inserts a record, unless its key has one."""
    db.execute(_RESTORE_RECORD, astuple(record))


def restore_task(db: sqlite3.Connection, task: Task) -> None:
    """Gives a task the times of this one; makes it, without jobs, when there is none."""
    db.execute(_RESTORE_TASK, (task.id, task.created_at, task.modified_at))
