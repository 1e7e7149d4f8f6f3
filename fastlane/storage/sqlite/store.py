"""The store on one SQLite file. Its statements are in the modules named for what they read and write, the tables in ``schema``.
Retention, the counts of ended executions, exports and imports are here.

Each write of retention is a transaction of some milliseconds. A trigger counts each execution in the commit that ends it.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence, Set
from pathlib import Path

from fastlane.models.ids import IdempotencyRecord
from fastlane.models.job import Execution, Task
from fastlane.models.retention import ENDS, Cuts, HourCount, JobHistory, TaskHour, WantedHours, hour_of
from fastlane.models.store_version import StoreVersion
from fastlane.storage.base import Noted
from fastlane.storage.logic import StoreLogic, TransferLogic
from fastlane.storage.logs import MAX_CHUNKS
from fastlane.storage.records import EXECUTIONS, RECEIPTS, TO_COME, UNFINISHED, Rows
from fastlane.storage.retention import RetentionLogic, WholeJob
from fastlane.storage.sqlite import jobs
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.jobs import SqliteDeletion, SqliteExecutions, SqliteJobs
from fastlane.storage.sqlite.lists import SqliteLists
from fastlane.storage.sqlite.logs import SqliteLogs, delete_chunks
from fastlane.storage.sqlite.rows import FIRST, SqliteRows, as_json, fetched, insert_into

FREE_PAGES, FREE_PART = 1_024, 16
"""Free pages that stay in the file, as a number and as a part of the file, for later writes."""
RELEASED_PAGES = 256
"""Pages that one step returns to the disk."""
INCREMENTAL = 2
"""SQLite's number of the mode in which it can return them."""

_CANDIDATES = """SELECT value FROM json_each(:jobs) AS one WHERE EXISTS (SELECT 1 FROM job_counts WHERE job_id = value)
    OR EXISTS (SELECT 1 FROM ticks INDEXED BY ticks_of_job WHERE job_id = value AND due < :before
        AND NOT EXISTS (SELECT 1 FROM executions WHERE executions.id = ticks.execution_id))
    OR EXISTS (SELECT 1 FROM executions INDEXED BY executions_of_job WHERE job_id = value AND finished_at < :logs
        AND settled = 1 AND cleaned = 1 AND EXISTS (SELECT 1 FROM log_chunks WHERE log_chunks.execution_id = executions.id))"""
"""A job with more than one tick or execution has a row among the counts."""


_IS_STILL = f"""SELECT 1 FROM jobs WHERE id = ? AND incarnation = ? AND sequence = ? AND modified_at = ? AND NOT {TO_COME.sql}
    AND NOT EXISTS (SELECT 1 FROM executions INDEXED BY executions_unfinished
        WHERE executions.task_id = jobs.task_id AND executions.job_id = jobs.id AND {UNFINISHED.sql})"""
_LEAVE_TASK = "UPDATE tasks SET modified_at = max(modified_at, ?), jobs_count = jobs_count - ? WHERE id = ?"
_DROP_TASK = "DELETE FROM tasks WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE task_id = ?1)"
_FORGET = """DELETE FROM deleted_executions WHERE id IN
    (SELECT id FROM deleted_executions WHERE deleted_at < unixepoch() - 86400 ORDER BY deleted_at LIMIT ?)"""


class SqliteRetention(RetentionLogic):
    """A ``RetentionStore`` of the file."""

    def __init__(self, file: SqliteFile, rows: Rows) -> None:
        super().__init__(rows)
        self._file = file

    async def candidates(self, jobs: Sequence[JobHistory], cuts: Cuts) -> Set[str]:
        given = {"jobs": as_json([job.job_id for job in jobs]), "before": cuts.executions, "logs": cuts.logs}
        rows = await self._file.read(lambda db: db.execute(_CANDIDATES, given).fetchall())
        return {id for (id,) in rows}

    async def log_bytes(self) -> int:
        query = "SELECT value FROM counters WHERE name = 'log_bytes'"
        return await self._file.read(lambda db: int(db.execute(query).fetchone()[0]))

    async def release_space(self) -> bool:
        if not await self._file.read(_has_much_room):
            return False
        await self._file.write(lambda db: len(db.execute(f"PRAGMA incremental_vacuum({RELEASED_PAGES})").fetchall()))
        return await self._file.read(_has_much_room)

    async def _raise_floor(self, job: JobHistory, floor: int) -> bool:
        statement = "UPDATE jobs SET floor = max(floor, ?) WHERE id = ? AND incarnation = ?"
        return await self._file.write(lambda db: db.execute(statement, (floor, job.job_id, job.incarnation)).rowcount == 1)

    async def _delete_executions(self, ids: Sequence[str]) -> tuple[int, int]:
        return await self._file.write(lambda db: jobs.delete_executions(db, ids)) if ids else (0, MAX_CHUNKS)

    async def _delete_logs(self, execution_ids: Sequence[str], chunks: int) -> int:
        return await self._file.write(lambda db: _delete_logs(db, execution_ids, chunks))

    async def _delete_jobs(self, jobs: Sequence[WholeJob], now: int) -> frozenset[str]:
        return await self._file.write(lambda db: _delete_jobs(db, jobs, now))


def _delete_jobs(db: sqlite3.Connection, jobs: Sequence[WholeJob], now: int) -> frozenset[str]:
    """Deletes jobs in one transaction, the job first: what follows a change of it has nothing left to do then."""
    seen = [(job, [job.row[name] for name in ("id", "incarnation", "sequence", "modified_at")]) for job in jobs]
    going = [job for job, values in seen if db.execute(_IS_STILL, values).fetchall()]
    ids, executions = [(job.row["id"],) for job in going], [(id,) for job in going for id in job.executions]
    db.execute(_FORGET, (2 * len(executions),))  # more than this adds
    db.executemany("DELETE FROM jobs WHERE id = ?", ids)
    db.executemany("DELETE FROM log_chunks WHERE execution_id = ?", {(id,) for job in going for id, _ in job.chunks})
    db.executemany("DELETE FROM executions WHERE id = ?", executions)
    db.executemany("DELETE FROM ticks WHERE id = ?", [(id,) for job in going for id in job.ticks])
    tasks = Counter(job.row["task_id"] for job in going)
    db.executemany(_LEAVE_TASK, [(now, count, task_id) for task_id, count in tasks.items()])
    db.executemany(_DROP_TASK, [(task_id,) for task_id in tasks])
    return frozenset(id for (id,) in ids)


def _delete_logs(db: sqlite3.Connection, execution_ids: Sequence[str], chunks: int) -> int:
    """Deletes up to ``chunks`` chunks of these logs, each from its end. Returns how many logs are gone."""
    for number, id in enumerate(execution_ids):
        db.execute("UPDATE executions SET truncated = 1 WHERE id = ?", (id,))
        chunks -= delete_chunks(db, id, chunks)
        if chunks == 0:
            return number + (not db.execute("SELECT 1 FROM log_chunks WHERE execution_id = ? LIMIT 1", (id,)).fetchall())
    return len(execution_ids)


def _has_much_room(db: sqlite3.Connection) -> bool:
    """Whether more pages of the file are free than are to stay, and can be returned."""
    mode, free, all = (int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("auto_vacuum", "freelist_count", "page_count"))
    return mode == INCREMENTAL and free > max(FREE_PAGES, all // FREE_PART)


_SUMS = f"hour, {', '.join(f'sum({status.value})' for status in ENDS)}, sum(started), sum(late), max(latest)"
_BEFORE = "FROM hours INDEXED BY hours_by_age WHERE hour < ?"


class SqliteHistory:
    """The ``HistoryStore`` of the file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def count_ends(self, limit: int) -> int:
        del limit  # a trigger has counted them
        return 0

    async def hours(self, wanted: WantedHours) -> Sequence[HourCount]:
        return await self._file.list(lambda db: _hours(db, wanted))

    async def overdue_hours(self, before: int) -> int:
        return await self._file.list(lambda db: int(db.execute(f"SELECT count(*) {_BEFORE}", (before,)).fetchone()[0]))

    async def prune_hours(self, before: int, limit: int) -> int:
        statement = f"DELETE FROM hours WHERE rowid IN (SELECT rowid {_BEFORE} ORDER BY hour LIMIT ?)"
        return await self._file.write(lambda db: db.execute(statement, (before, limit)).rowcount)


def _hours(db: sqlite3.Connection, wanted: WantedHours) -> list[HourCount]:
    given = {"since": wanted.since, "until": wanted.until, "task": wanted.task_id, "pool": wanted.pool, "visible": wanted.visible}
    index = "hours_by_age" if wanted.task_id is None else "hours_of_task"
    conditions = ["hour >= :since", "hour < :until"]
    conditions += ["task_id = :task"] if wanted.task_id is not None else []
    conditions += ["pool = :pool"] if wanted.pool is not None else []
    conditions += ["visible(:visible, task_id)"] if wanted.visible is not None else []
    query = f"SELECT {_SUMS} FROM hours INDEXED BY {index} WHERE {' AND '.join(conditions)} GROUP BY hour ORDER BY hour"
    return [count_of(*row) for row in db.execute(query, given)]


def count_of(hour: int, *values: int) -> HourCount:
    """The counts of a row: how many ended in each of ``ENDS``, how many started, how late they did."""
    *ended, started, late, latest = values
    return HourCount(hour, {status: count for status, count in zip(ENDS, ended, strict=True) if count}, started, late, latest)


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
    """Takes back the counts of a trigger; the latest of its hour, which includes this one already, stays."""
    hour, started = hour_of(execution.finished_at or 0), execution.started_at
    late = 0 if started is None else max(0, started - execution.scheduled_for)
    key = {"task_id": execution.task_id, "hour": hour, "pool": execution.pool or ""}
    db.execute(_UNCOUNT[execution.status], {**key, "started": int(started is not None), "late": late})
    db.execute(_FORGET_EMPTY, key)


def _values(row: TaskHour) -> tuple[str | int, ...]:
    count = row.count
    ended = (count.ended.get(status, 0) for status in ENDS)
    return (row.task_id, row.pool, count.hour, *ended, count.started, count.late, count.latest)


class SqliteStore(SqliteJobs, SqliteExecutions, SqliteDeletion, SqliteLists, SqliteLogs, StoreLogic):
    """A ``Store`` on the file at ``path``, see ``SqliteFile``."""

    def __init__(self, path: Path | str, *, busy_timeout: float = 5.0) -> None:
        self._file = SqliteFile(path, busy_timeout)
        self._rows = SqliteRows(self._file)
        self.retention = SqliteRetention(self._file, self._rows)
        self.history = SqliteHistory(self._file)
        self.transfer = SqliteTransfer(self._file, self._rows)
        self.open, self.close = self._file.open, self._file.close

    async def check(self) -> None:
        await self._file.write(lambda db: db.execute("UPDATE checks SET count = count + 1").rowcount)

    async def version(self) -> StoreVersion:
        query = "SELECT store, commits FROM version WHERE id = 1"
        return await self._file.read(lambda db: StoreVersion(*db.execute(query).fetchone()))
