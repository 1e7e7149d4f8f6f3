"""Deletes jobs, tasks and executions that belong to none, and finds what keeps them from being deleted.

A job's history goes in slices of bounded size, each in its own transaction, so that no other writer waits for a long one. The job's
floor is raised first: an execution with a sequence up to the floor must never run, so an attempt that is inserted late does no harm.
"""

import sqlite3
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from fastlane.models.event import Event
from fastlane.models.execution import Execution
from fastlane.models.job import ExpectedVersions, Job, job_version
from fastlane.models.status import Status
from fastlane.storage.base import Deletion
from fastlane.storage.logs import MAX_CHUNKS
from fastlane.storage.records import EXECUTIONS, JOBS
from fastlane.storage.rows import filled
from fastlane.storage.sqlite.executions import QUALIFIED
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.jobs import JOB_COLUMNS, record_events
from fastlane.storage.sqlite.logs import delete_chunks
from fastlane.storage.sqlite.rows import fetched
from fastlane.storage.sqlite.schema import BELONGS, TO_COME, UNFINISHED

MAX_TICKS, MAX_EXECUTIONS = 250, 100
"""Rows that one transaction deletes at most, which takes some milliseconds."""

_UNFINISHED = f"""SELECT {QUALIFIED} FROM jobs CROSS JOIN executions INDEXED BY executions_unfinished
    WHERE jobs.id = ? AND executions.task_id = ? AND executions.job_id = jobs.id AND {BELONGS} AND {UNFINISHED}
    ORDER BY executions.sequence, executions.attempt LIMIT ?"""
_OPEN = f"""SELECT {JOB_COLUMNS} FROM (
    SELECT id AS open_id FROM jobs INDEXED BY jobs_to_come WHERE task_id = :task AND id > :after AND {TO_COME}
    UNION SELECT executions.job_id FROM executions INDEXED BY executions_unfinished CROSS JOIN jobs ON jobs.id = executions.job_id
        WHERE executions.task_id = :task AND executions.job_id > :after AND {UNFINISHED} AND settled = 0 AND {BELONGS}
    ORDER BY 1 LIMIT :limit) AS one_page CROSS JOIN jobs ON jobs.id = open_id"""
_DELETE_TICKS = """DELETE FROM ticks WHERE rowid IN
    (SELECT rowid FROM ticks INDEXED BY ticks_of_job WHERE job_id = ? ORDER BY due, id LIMIT ?)"""
_OLDEST = "SELECT id FROM executions WHERE job_id = ? ORDER BY sequence, attempt LIMIT ?"
_FORGET = """DELETE FROM deleted_executions WHERE id IN
    (SELECT id FROM deleted_executions WHERE deleted_at < unixepoch() - 86400 ORDER BY deleted_at LIMIT ?)"""
_DISCARD = f"""DELETE FROM executions WHERE id = ? AND epoch = ? AND status IN ('{Status.ENQUEUED}', '{Status.PULLING}')
    AND service_id IS NULL"""
_LEAVE_TASK = "UPDATE tasks SET modified_at = max(modified_at, ?), jobs_count = jobs_count - 1 WHERE id = ?"


class SqliteDeletion:
    """The part of the store that deletes, and that finds what keeps something from being deleted."""

    _file: SqliteFile

    async def open_jobs(self, task_id: str, limit: int, after: str = "") -> Sequence[Job]:
        async def fetch(count: int) -> list[tuple[Any, ...]]:
            given = {"task": task_id, "after": after, "limit": count}
            return sorted(await self._file.read(lambda db: fetched(db, _OPEN, given)), key=itemgetter(JOBS.fields.index("id")))

        return await filled(fetch, limit, lambda row: JOBS.of(list(row)))

    async def unfinished(self, task_id: str, job_id: str, limit: int) -> Sequence[Execution]:
        rows = await self._file.read(lambda db: db.execute(_UNFINISHED, (job_id, task_id, limit)).fetchall())
        return [EXECUTIONS.of(list(row)) for row in rows]

    async def delete_job(
        self, job_id: str, incarnation: str, now: int, expected: ExpectedVersions | None = None, event: Event | None = None
    ) -> Deletion:
        return await self._file.write(lambda db: _delete_job(db, job_id, incarnation, now, expected, event))

    async def delete_task(self, task_id: str, event: Event | None = None) -> bool:
        def delete(db: sqlite3.Connection) -> bool:
            if db.execute("SELECT 1 FROM jobs WHERE task_id = ? LIMIT 1", (task_id,)).fetchall():
                return False
            if db.execute("DELETE FROM tasks WHERE id = ?", (task_id,)).rowcount and event is not None:
                record_events(db, [event])
            return True

        return await self._file.write(delete)

    async def discard(self, execution: Execution) -> bool:
        def delete(db: sqlite3.Connection) -> bool:
            db.execute(_FORGET, (2,))  # more than this adds
            return db.execute(_DISCARD, (execution.id, execution.epoch)).rowcount == 1

        return await self._file.write(delete)

    async def was_deleted(self, execution_id: str) -> bool:
        query = "SELECT 1 FROM deleted_executions WHERE id = ?"
        return await self._file.read(lambda db: bool(db.execute(query, (execution_id,)).fetchall()))


def _delete_job(
    db: sqlite3.Connection, job_id: str, incarnation: str, now: int, expected: ExpectedVersions | None, event: Event | None
) -> Deletion:
    """Deletes one slice of a job's history, and with the last one the job."""
    columns = f"task_id, {TO_COME}, revision, stop_sequence"
    found = db.execute(f"SELECT {columns} FROM jobs WHERE id = ? AND incarnation = ?", (job_id, incarnation)).fetchall()
    if not found:
        return Deletion.DONE
    task_id, to_come, revision, stop_sequence = found[0]
    if expected is not None:
        expected.check(job_id, job_version(incarnation, revision, stop_sequence))
    if to_come or db.execute(_UNFINISHED, (job_id, task_id, 1)).fetchall():
        return Deletion.KEPT
    db.execute("UPDATE jobs SET floor = sequence WHERE id = ?", (job_id,))
    if db.execute(_DELETE_TICKS, (job_id, MAX_TICKS)).rowcount == MAX_TICKS or not _delete_oldest(db, job_id):
        return Deletion.MORE
    db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
    record_events(db, [] if event is None else [event])
    db.execute(_LEAVE_TASK, (now, task_id))
    return Deletion.DONE


def _delete_oldest(db: sqlite3.Connection, job_id: str) -> bool:
    """Deletes the oldest executions with their logs; whether none is left."""
    oldest = [id for (id,) in db.execute(_OLDEST, (job_id, MAX_EXECUTIONS))]
    _, chunks = delete_executions(db, oldest)
    return chunks > 0 and len(oldest) < MAX_EXECUTIONS


def delete_executions(db: sqlite3.Connection, ids: Sequence[str]) -> tuple[int, int]:
    """Deletes these executions with their logs, as far as one transaction may: how many, and how many chunks it may still delete. A log
    goes from its end, so that its beginning is left."""
    db.execute(_FORGET, (2 * MAX_EXECUTIONS,))  # more than this adds
    chunks = MAX_CHUNKS
    for number, id in enumerate(ids):
        chunks -= delete_chunks(db, id, chunks)
        if chunks == 0:
            return number, 0
        db.execute("DELETE FROM executions WHERE id = ?", (id,))
    return len(ids), chunks
