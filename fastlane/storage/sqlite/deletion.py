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
from fastlane.storage.documents import EXECUTION_FIELDS, JOB_FIELDS, execution_from, job_from
from fastlane.storage.sqlite import events
from fastlane.storage.sqlite.executions import BELONGS, QUALIFIED
from fastlane.storage.sqlite.rows import fetched, filled
from fastlane.storage.sqlite.schema import TO_COME, UNFINISHED

TICKS, EXECUTIONS, CHUNKS = 250, 100, 32
"""Rows that one transaction deletes at most, which takes some milliseconds: all pages of a chunk, up to 256 KiB, must be visited."""

_UNFINISHED = f"""SELECT {QUALIFIED} FROM jobs CROSS JOIN executions INDEXED BY executions_unfinished
    WHERE jobs.id = ? AND executions.task_id = ? AND executions.job_id = jobs.id AND {BELONGS} AND {UNFINISHED}
    ORDER BY executions.sequence, executions.attempt LIMIT ?"""
_OPEN = f"""SELECT {", ".join(JOB_FIELDS)} FROM (
    SELECT id AS open_id FROM jobs INDEXED BY jobs_to_come WHERE task_id = :task AND id > :after AND {TO_COME}
    UNION SELECT executions.job_id FROM executions INDEXED BY executions_unfinished CROSS JOIN jobs ON jobs.id = executions.job_id
        WHERE executions.task_id = :task AND executions.job_id > :after AND {UNFINISHED} AND settled = 0 AND {BELONGS}
    ORDER BY 1 LIMIT :limit) AS one_page CROSS JOIN jobs ON jobs.id = open_id"""
_DELETE_TICKS = """DELETE FROM ticks WHERE rowid IN
    (SELECT rowid FROM ticks INDEXED BY ticks_of_job WHERE job_id = ? ORDER BY due, id LIMIT ?)"""
_OLDEST = "SELECT id FROM executions WHERE job_id = ? ORDER BY sequence, attempt LIMIT ?"
_DELETE_CHUNKS = """DELETE FROM log_chunks WHERE rowid IN
    (SELECT rowid FROM log_chunks WHERE execution_id = ? ORDER BY sequence DESC LIMIT ?)"""
_FORGET = """DELETE FROM deleted_executions WHERE id IN
    (SELECT id FROM deleted_executions WHERE deleted_at < unixepoch() - 86400 ORDER BY deleted_at LIMIT ?)"""
_DISCARD = f"""DELETE FROM executions WHERE id = ? AND epoch = ? AND status IN ('{Status.ENQUEUED}', '{Status.PULLING}')
    AND service_id IS NULL"""
_LEAVE_TASK = "UPDATE tasks SET modified_at = max(modified_at, ?), jobs_count = jobs_count - 1 WHERE id = ?"


def open_of_task(db: sqlite3.Connection, task_id: str, limit: int, after: str) -> list[Job]:
    """A task's jobs with a tick to come or an execution under way or not settled, by id."""

    def fetch(count: int) -> list[tuple[Any, ...]]:
        return sorted(fetched(db, _OPEN, {"task": task_id, "after": after, "limit": count}), key=itemgetter(JOB_FIELDS.index("id")))

    return filled(fetch, limit, lambda row: job_from(dict(zip(JOB_FIELDS, row, strict=True))))


def unfinished(db: sqlite3.Connection, task_id: str, job_id: str, limit: int) -> list[Execution]:
    """The executions that belong to the job and are under way, not settled or not cleaned, oldest first."""
    rows = db.execute(_UNFINISHED, (job_id, task_id, limit)).fetchall()
    return [execution_from(dict(zip(EXECUTION_FIELDS, row, strict=True))) for row in rows]


def delete_job(
    db: sqlite3.Connection, job_id: str, incarnation: str, now: int, expected: ExpectedVersions | None, event: Event | None = None
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
    if db.execute(_DELETE_TICKS, (job_id, TICKS)).rowcount == TICKS or not _delete_oldest(db, job_id):
        return Deletion.MORE
    db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
    events.insert(db, [] if event is None else [event])
    db.execute(_LEAVE_TASK, (now, task_id))
    return Deletion.DONE


def discard(db: sqlite3.Connection, execution_id: str, epoch: int) -> bool:
    """Deletes an execution that was never bound to a service, if it still has this epoch."""
    db.execute(_FORGET, (2,))  # more than this adds
    return db.execute(_DISCARD, (execution_id, epoch)).rowcount == 1


def was_deleted(db: sqlite3.Connection, execution_id: str) -> bool:
    """Whether an execution with this id was deleted within the last day, after a worker had claimed it."""
    return bool(db.execute("SELECT 1 FROM deleted_executions WHERE id = ?", (execution_id,)).fetchall())


def delete_task(db: sqlite3.Connection, task_id: str, event: Event | None = None) -> bool:
    """Deletes a task without jobs; False when it has any."""
    if db.execute("SELECT 1 FROM jobs WHERE task_id = ? LIMIT 1", (task_id,)).fetchall():
        return False
    if db.execute("DELETE FROM tasks WHERE id = ?", (task_id,)).rowcount and event is not None:
        events.insert(db, [event])
    return True


def _delete_oldest(db: sqlite3.Connection, job_id: str) -> bool:
    """Deletes the oldest executions with their logs; whether none is left."""
    oldest = [id for (id,) in db.execute(_OLDEST, (job_id, EXECUTIONS))]
    _, chunks = delete_executions(db, oldest)
    return chunks > 0 and len(oldest) < EXECUTIONS


def delete_executions(db: sqlite3.Connection, ids: Sequence[str]) -> tuple[int, int]:
    """Deletes these executions with their logs, as far as one transaction may: how many, and how many chunks it may still delete. A log
    goes from its end, so that its beginning is left."""
    db.execute(_FORGET, (2 * EXECUTIONS,))  # more than this adds
    chunks = CHUNKS
    for number, id in enumerate(ids):
        chunks -= delete_chunks(db, id, chunks)
        if chunks == 0:
            return number, 0
        db.execute("DELETE FROM executions WHERE id = ?", (id,))
    return len(ids), chunks


def delete_chunks(db: sqlite3.Connection, execution_id: str, limit: int) -> int:
    """Deletes the last chunks of a log, ``limit`` at most; how many."""
    return db.execute(_DELETE_CHUNKS, (execution_id, limit)).rowcount
