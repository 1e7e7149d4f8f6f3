"""What only an export or an import asks of the file."""

import sqlite3
from collections.abc import Sequence

from fastlane.models.execution import Execution
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.job import Task
from fastlane.models.retention import ENDS, TaskHour, hour_of
from fastlane.storage.base import Noted
from fastlane.storage.logic import TransferLogic
from fastlane.storage.records import EXECUTIONS, RECEIPTS
from fastlane.storage.rows import Rows
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.history import count_of
from fastlane.storage.sqlite.logs import logged
from fastlane.storage.sqlite.rows import FIRST, fetched, insert_into

_RECORDS = f"""SELECT {", ".join(RECEIPTS.fields)} FROM receipts WHERE created_at >= ? AND (created_at, key) > (?, ?)
    ORDER BY created_at, key LIMIT ?"""
_RESTORE_TASK = """INSERT INTO tasks (id, created_at, modified_at, jobs_count) VALUES (?, ?, ?, 0)
    ON CONFLICT (id) DO UPDATE SET created_at = excluded.created_at, modified_at = excluded.modified_at"""
_RESTORE_EXECUTION = insert_into("executions", (*EXECUTIONS.fields, "start_noted_at", "end_noted_at")) + " ON CONFLICT (id) DO NOTHING"
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


class SqliteTransfer(TransferLogic):
    """A ``TransferStore`` of the file."""

    def __init__(self, file: SqliteFile, rows: Rows) -> None:
        super().__init__(rows)
        self._file = file

    async def idempotency_records(self, since: int, limit: int, after: tuple[int, str] | None = None) -> Sequence[IdempotencyRecord]:
        given = (since, *(after or FIRST), limit)
        return await self._file.read(lambda db: [IdempotencyRecord(*row) for row in db.execute(_RECORDS, given).fetchall()])

    async def restore_task(self, task: Task) -> None:
        await self._file.write(lambda db: db.execute(_RESTORE_TASK, (task.id, task.created_at, task.modified_at)).rowcount)

    async def restore_record(self, record: IdempotencyRecord) -> None:
        await self._rows.insert(RECEIPTS, record)

    async def logged(self, execution_ids: Sequence[str]) -> frozenset[str]:
        return await self._file.read(lambda db: logged(db, execution_ids))

    async def restore_execution(self, execution: Execution, noted: Noted, *, is_counted: bool) -> bool:
        def restore(db: sqlite3.Connection) -> bool:
            inserted = db.execute(_RESTORE_EXECUTION, (*EXECUTIONS.row(execution).values(), noted.start, noted.end)).rowcount == 1
            if inserted and is_counted:
                _uncount(db, execution)
            return inserted

        return await self._file.write(restore)

    async def hour_rows(self, limit: int, after: TaskHour | None = None) -> Sequence[TaskHour]:
        key = ("", 0, "") if after is None else (after.task_id, after.count.hour, after.pool)
        rows = await self._file.read(lambda db: fetched(db, _HOURS, (*key, limit)))
        return [TaskHour(task_id, pool, count_of(*values)) for task_id, pool, *values in rows]

    async def restore_hours(self, rows: Sequence[TaskHour]) -> None:
        given = [_values(row) for row in rows]
        await self._file.write(lambda db: db.executemany(_RESTORE_HOUR, given).rowcount)


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
