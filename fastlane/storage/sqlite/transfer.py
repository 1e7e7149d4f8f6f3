"""What only an export or an import asks of the file."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import astuple

import orjson

from fastlane.models.access import Requester
from fastlane.models.delivery import Delivery, MailQuota
from fastlane.models.execution import Execution
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.job import Task
from fastlane.models.retention import ENDS, TaskHour, hour_of
from fastlane.storage.base.transfer import Noted
from fastlane.storage.documents import EXECUTION_FIELDS, execution_document
from fastlane.storage.event_rows import creator_of
from fastlane.storage.readable import readable
from fastlane.storage.sqlite.driver.readers import Readers
from fastlane.storage.sqlite.driver.writer import Writer
from fastlane.storage.sqlite.history import count_of
from fastlane.storage.sqlite.idempotency import FIELDS
from fastlane.storage.sqlite.jobs import FIRST
from fastlane.storage.sqlite.notify import deliveries, quotas
from fastlane.storage.sqlite.rows import fetched, insert_into

_RECORDS = f"""SELECT {", ".join(FIELDS)} FROM receipts WHERE created_at >= ? AND (created_at, key) > (?, ?)
    ORDER BY created_at, key LIMIT ?"""
_RESTORE_RECORD = insert_into("receipts", FIELDS) + " ON CONFLICT (key) DO NOTHING"
_RESTORE_TASK = """INSERT INTO tasks (id, created_at, modified_at, jobs_count) VALUES (?, ?, ?, 0)
    ON CONFLICT (id) DO UPDATE SET created_at = excluded.created_at, modified_at = excluded.modified_at"""
_CREATORS = """SELECT jobs.id, created_by, requested_by FROM json_each(?) AS asked CROSS JOIN jobs ON jobs.id = asked.value"""
_NOTED = """SELECT executions.id, start_noted_at, end_noted_at FROM json_each(?) AS asked CROSS JOIN executions
    ON executions.id = asked.value"""
_LOGGED = "SELECT value FROM json_each(?) AS asked WHERE EXISTS (SELECT 1 FROM log_chunks WHERE execution_id = asked.value)"
_RESTORE_EXECUTION = insert_into("executions", (*EXECUTION_FIELDS, "start_noted_at", "end_noted_at")) + " ON CONFLICT (id) DO NOTHING"
_OF_HOUR = "WHERE task_id = :task_id AND hour = :hour AND pool = :pool"
_UNCOUNT = {
    status: f"UPDATE hours SET {status} = {status} - 1, started = started - :started, late = late - :late {_OF_HOUR}" for status in ENDS
}
_FORGET_EMPTY = f"DELETE FROM hours {_OF_HOUR} AND {' + '.join(ENDS)} = 0"
_HOUR = ("task_id", "pool", "hour", *(status.value for status in ENDS), "started", "late", "latest")
_HOURS = f"""SELECT {", ".join(_HOUR)} FROM hours INDEXED BY hours_of_task WHERE (task_id, hour, pool) > (?, ?, ?)
    ORDER BY task_id, hour, pool LIMIT ?"""
_RESTORE_HOUR = f"{insert_into('hours', _HOUR)} ON CONFLICT (task_id, hour, pool) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in _HOUR[3:]
)


class SqliteTransfer:
    """A ``TransferStore`` beside the other verbs of the file."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def idempotency_records(self, since: int, limit: int, after: tuple[int, str] | None = None) -> Sequence[IdempotencyRecord]:
        given = (since, *(after or FIRST), limit)
        return await self._readers.run(lambda db: [IdempotencyRecord(*row) for row in db.execute(_RECORDS, given).fetchall()])

    async def restore_task(self, task: Task) -> None:
        await self._writer.run(lambda db: db.execute(_RESTORE_TASK, (task.id, task.created_at, task.modified_at)).rowcount)

    async def restore_record(self, record: IdempotencyRecord) -> None:
        await self._writer.run(lambda db: db.execute(_RESTORE_RECORD, astuple(record)).rowcount)

    async def creators(self, job_ids: Sequence[str]) -> Mapping[str, Requester | None]:
        rows = await self._readers.run(lambda db: fetched(db, _CREATORS, (_json(job_ids),)))
        return dict(readable(rows, lambda row: (row[0], creator_of(*row))))

    async def noted(self, execution_ids: Sequence[str]) -> Mapping[str, Noted]:
        rows = await self._readers.run(lambda db: fetched(db, _NOTED, (_json(execution_ids),)))
        return {id: Noted(start, end) for id, start, end in rows}

    async def deliveries(self, ids: Sequence[str]) -> Mapping[str, Sequence[Delivery]]:
        return await self._readers.run(lambda db: deliveries.of_all(db, ids))

    async def logged(self, execution_ids: Sequence[str]) -> frozenset[str]:
        return await self._readers.run(lambda db: frozenset(id for (id,) in db.execute(_LOGGED, (_json(execution_ids),)).fetchall()))

    async def restore_execution(self, execution: Execution, noted: Noted, *, is_counted: bool) -> bool:
        return await self._writer.run(lambda db: _restore_execution(db, execution, noted, is_counted=is_counted))

    async def hour_rows(self, limit: int, after: TaskHour | None = None) -> Sequence[TaskHour]:
        key = ("", 0, "") if after is None else (after.task_id, after.count.hour, after.pool)
        rows = await self._readers.run(lambda db: fetched(db, _HOURS, (*key, limit)))
        return [TaskHour(task_id, pool, count_of(*values)) for task_id, pool, *values in rows]

    async def restore_hours(self, rows: Sequence[TaskHour]) -> None:
        given = [_values(row) for row in rows]
        await self._writer.run(lambda db: db.executemany(_RESTORE_HOUR, given).rowcount)

    async def mail_quotas(self, limit: int, after: str = "") -> Sequence[MailQuota]:
        return await self._readers.run(lambda db: quotas.after(db, limit, after))


def _restore_execution(db: sqlite3.Connection, execution: Execution, noted: Noted, *, is_counted: bool) -> bool:
    inserted = db.execute(_RESTORE_EXECUTION, (*execution_document(execution).values(), noted.start, noted.end)).rowcount == 1
    if inserted and is_counted:
        _uncount(db, execution)
    return inserted


def _uncount(db: sqlite3.Connection, execution: Execution) -> None:
    """Takes back what a trigger has counted; the latest of its hour, which has this one already, stays."""
    hour, started = hour_of(execution.finished_at or 0), execution.started_at
    late = 0 if started is None else max(0, started - execution.scheduled_for)
    key = {"task_id": execution.task_id, "hour": hour, "pool": execution.pool or ""}
    db.execute(_UNCOUNT[execution.status], {**key, "started": int(started is not None), "late": late})
    db.execute(_FORGET_EMPTY, key)


def _values(row: TaskHour) -> tuple[str | int, ...]:
    count = row.count
    ended = (count.ended.get(status, 0) for status in ENDS)
    return (row.task_id, row.pool, count.hour, *ended, count.started, count.late, count.latest)


def _json(ids: Sequence[str]) -> str:
    return orjson.dumps(list(ids)).decode()
