"""The store on one SQLite file. Its statements are in the modules named for what they read and write, the tables in ``schema``.
What only SQLite does of retention, exports and imports is here. A trigger counts each execution in the commit that ends it.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path

from fastlane.models.job import Execution, Task
from fastlane.models.retention import ENDS, Cuts, JobHistory, TaskHour, hour_of
from fastlane.models.store_version import StoreVersion
from fastlane.storage.archive import LogArchiveLogic
from fastlane.storage.backfills import BackfillLogic
from fastlane.storage.base import Noted
from fastlane.storage.calendars import CalendarLogic
from fastlane.storage.logic import HistoryLogic, StoreLogic, TransferLogic, hours_row, task_hour_of
from fastlane.storage.records import EXECUTIONS, HOURS, HOURS_OF_TASK, TO_COME, UNFINISHED, Part, Rows
from fastlane.storage.retention import RetentionLogic, WholeJob
from fastlane.storage.seals import SealLogic
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.jobs import CHANGE_TASK, FORGET_DELETED, SqliteCommits, SqliteJobs
from fastlane.storage.sqlite.lists import SqliteLists
from fastlane.storage.sqlite.logs import SqliteLogs
from fastlane.storage.sqlite.rows import as_json, insert_into

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
        AND settled = 1 AND cleaned = 1 AND (EXISTS (SELECT 1 FROM log_chunks WHERE log_chunks.execution_id = executions.id)
            OR EXISTS (SELECT 1 FROM archived_logs WHERE archived_logs.id = executions.id AND state IN ('proved', 'moved'))))"""
"""Jobs that may have something to remove. A job with more than one tick or execution has a row among the counts. Measured (decision 0084):
0.27 ms of processor time for each job that goes, 2.09 ms before old jobs went together."""


_IS_STILL = f"""SELECT 1 FROM jobs WHERE id = ? AND incarnation = ? AND sequence = ? AND modified_at = ? AND NOT {TO_COME.sql}
    AND NOT EXISTS (SELECT 1 FROM executions INDEXED BY executions_unfinished
        WHERE executions.task_id = jobs.task_id AND executions.job_id = jobs.id AND {UNFINISHED.sql})"""
_DROP_TASK = "DELETE FROM tasks WHERE id = :id AND NOT EXISTS (SELECT 1 FROM jobs WHERE task_id = :id)"


class SqliteRetention(RetentionLogic):
    """A ``RetentionStore`` of the file."""

    shares_commits = True

    def __init__(self, file: SqliteFile, rows: Rows, log_archive: LogArchiveLogic) -> None:
        super().__init__(rows, log_archive)
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

    async def _delete_jobs(self, jobs: Sequence[WholeJob], now: int) -> frozenset[str]:
        return await self._file.write(lambda db: _delete_jobs(db, jobs, now))


def _delete_jobs(db: sqlite3.Connection, jobs: Sequence[WholeJob], now: int) -> frozenset[str]:
    """Deletes jobs in one transaction, the job first: what follows a change of it has nothing left to do then."""
    seen = [(job, [job.row[name] for name in ("id", "incarnation", "sequence", "modified_at")]) for job in jobs]
    going = [job for job, values in seen if db.execute(_IS_STILL, values).fetchall()]
    ids, executions = [(job.row["id"],) for job in going], [(id,) for job in going for id in job.executions]
    db.execute(FORGET_DELETED, (2 * len(executions),))  # more than this adds
    db.executemany("DELETE FROM jobs WHERE id = ?", ids)
    db.executemany("DELETE FROM log_chunks WHERE execution_id = ?", {(id,) for job in going for id, _ in job.chunks})
    db.executemany("DELETE FROM executions WHERE id = ?", executions)
    db.executemany("DELETE FROM ticks WHERE id = ?", [(id,) for job in going for id in job.ticks])
    tasks = Counter(job.row["task_id"] for job in going)
    db.executemany(CHANGE_TASK, [(now, count, task_id) for task_id, count in tasks.items()])
    db.executemany(_DROP_TASK, [{"id": task_id} for task_id in tasks])
    return frozenset(id for (id,) in ids)


def _has_much_room(db: sqlite3.Connection) -> bool:
    """Whether more pages of the file are free than are to stay, and can be returned."""
    mode, free, all = (int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("auto_vacuum", "freelist_count", "page_count"))
    return mode == INCREMENTAL and free > max(FREE_PAGES, all // FREE_PART)


_RESTORE_TASK = """INSERT INTO tasks (id, created_at, modified_at, jobs_count) VALUES (?, ?, ?, 0)
    ON CONFLICT (id) DO UPDATE SET created_at = excluded.created_at, modified_at = excluded.modified_at"""
_RESTORE_EXECUTION = insert_into("executions", (*EXECUTIONS.fields, "start_noted_at", "end_noted_at")) + " ON CONFLICT (id) DO NOTHING"
_OF_HOUR = "WHERE task_id = :task_id AND hour = :hour AND pool = :pool"
_UNCOUNT = {
    status: f"UPDATE hours SET {status} = {status} - 1, started = started - :started, late = late - :late {_OF_HOUR}" for status in ENDS
}
_FORGET_EMPTY = f"DELETE FROM hours {_OF_HOUR} AND {' + '.join(ENDS)} = 0"
_RESTORE_HOUR = f"{insert_into('hours', HOURS.fields)} ON CONFLICT (task_id, hour, pool) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in HOURS.fields if name not in HOURS.key
)
_HOURS = replace(HOURS_OF_TASK, equal=(), order=HOURS.key)


class SqliteTransfer(TransferLogic):
    """A ``TransferStore`` of the file."""

    def __init__(self, file: SqliteFile, rows: Rows, log_archive: LogArchiveLogic) -> None:
        super().__init__(rows, log_archive)
        self._file = file

    async def restore_task(self, task: Task) -> None:
        await self._file.write(lambda db: db.execute(_RESTORE_TASK, (task.id, task.created_at, task.modified_at)).rowcount)

    async def restore_execution(self, execution: Execution, noted: Noted, *, is_counted: bool) -> bool:
        def restore(db: sqlite3.Connection) -> bool:
            inserted = db.execute(_RESTORE_EXECUTION, (*EXECUTIONS.row(execution).values(), noted.start, noted.end)).rowcount == 1
            if inserted and is_counted:
                _uncount(db, execution)
            return inserted

        return await self._file.write(restore)

    async def hour_rows(self, limit: int, after: TaskHour | None = None) -> Sequence[TaskHour]:
        place = ("", 0, "") if after is None else (after.task_id, after.count.hour, after.pool)
        return [task_hour_of(row) for row in await self._rows.select(_HOURS, {}, HOURS.fields, Part(limit, place))]

    async def restore_hours(self, rows: Sequence[TaskHour]) -> None:
        given = [hours_row(row) for row in rows]
        await self._file.write(
            lambda db: db.executemany(_RESTORE_HOUR, [tuple(row[name] for name in HOURS.fields) for row in given]).rowcount
        )


def _uncount(db: sqlite3.Connection, execution: Execution) -> None:
    """Takes back the counts of a trigger; the latest of its hour, which includes this one already, stays."""
    hour, started = hour_of(execution.finished_at or 0), execution.started_at
    late = 0 if started is None else max(0, started - execution.scheduled_for)
    key = {"task_id": execution.task_id, "hour": hour, "pool": execution.pool or ""}
    db.execute(_UNCOUNT[execution.status], {**key, "started": int(started is not None), "late": late})
    db.execute(_FORGET_EMPTY, key)


class SqliteStore(SqliteJobs, SqliteLists, SqliteLogs, StoreLogic):
    """A ``Store`` on the file at ``path``, see ``SqliteFile``."""

    log_archive: LogArchiveLogic

    def __init__(self, path: Path | str, *, busy_timeout: float = 5.0) -> None:
        self._file = SqliteFile(path, busy_timeout)
        self._rows = SqliteCommits(self._file)
        self.log_archive = LogArchiveLogic(self._rows)
        self.retention = SqliteRetention(self._file, self._rows, self.log_archive)
        self.history = HistoryLogic(self._rows)
        self.backfills = BackfillLogic(self._rows)
        self.calendars = CalendarLogic(self._rows)
        self.seals = SealLogic(self._rows, self.log_archive)
        self.transfer = SqliteTransfer(self._file, self._rows, self.log_archive)
        self.close = self._file.close

    async def open(self) -> None:
        """Raises FastlaneError for a file that only a newer fastlane may use."""
        await self._file.open()
        await self.log_archive.open()

    async def check(self) -> None:
        await self._file.write(lambda db: db.execute("UPDATE checks SET count = count + 1").rowcount)

    async def is_migrating(self) -> bool:
        return False  # who brings the file up to date locks it: then it takes no writes, which ``check`` tells

    async def version(self, _: bool = False, /) -> StoreVersion:
        query = "SELECT store, commits FROM version WHERE id = 1"
        return await self._file.read(lambda db: StoreVersion(*db.execute(query).fetchone()))
