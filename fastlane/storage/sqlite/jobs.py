"""Statements for tasks, jobs and ticks. Those that write run inside the writer's transaction."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from fastlane.models.event import Event
from fastlane.models.job import ExpectedVersions, Job, JobBounds, Task
from fastlane.models.job_change import STOPPED, unfired
from fastlane.models.tick import Outcome
from fastlane.storage.documents import JOB_COLUMNS, JOB_FIELDS, TICK_FIELDS, job_from, tick_document
from fastlane.storage.sqlite import events
from fastlane.storage.sqlite.rows import fetched, filled, insert_into
from fastlane.storage.sqlite.schema import TO_CHECK

Document = Mapping[str, Any]

COMPARED = ("incarnation", "revision", "sequence", "next_tick", "floor", "check_at", "late_since")
"""The fields in which a job must still be as it was seen."""
FIRST = (-(2**63), "")
"""Less than every (moment, id)."""
LAST = (2**63 - 1, "")
"""More than every (moment, id)."""


_JOB = ", ".join(JOB_FIELDS)
_ID = JOB_FIELDS.index("id")
_WANTED = f"SELECT {', '.join(f'jobs.{field}' for field in JOB_FIELDS)} FROM json_each(?) AS asked CROSS JOIN jobs ON jobs.id = asked.value"
_BOUNDS = """SELECT jobs.id, incarnation, floor, stop_sequence FROM json_each(?) AS asked CROSS JOIN jobs ON jobs.id = asked.value"""
_INSERT_TICK = insert_into("ticks", TICK_FIELDS)
_COUNT_JOBS = """INSERT INTO tasks (id, created_at, modified_at, jobs_count) VALUES (?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET modified_at = max(modified_at, excluded.modified_at), jobs_count = jobs_count + excluded.jobs_count"""
_ADVANCE = f"""UPDATE jobs SET {", ".join(f"{column} = :{column}" for column in JOB_COLUMNS)},
    created_by = coalesce(created_by, requested_by)
    WHERE id = :id AND incarnation = :seen_incarnation AND revision = :seen_revision AND sequence = :seen_sequence
    AND next_tick IS :seen_next_tick AND floor = :seen_floor AND check_at IS :seen_check_at AND late_since IS :seen_late_since"""
_CHANGE_TASK = "UPDATE tasks SET modified_at = max(modified_at, ?) WHERE id = ?"
_STOP = f"""UPDATE jobs SET sequence = sequence + 1, stop_sequence = sequence + 1, next_tick = NULL, held_tick = NULL, last_tick = ?,
    modified_at = ? WHERE id = ? RETURNING {_JOB}"""


def count_jobs(db: sqlite3.Connection, task_id: str, now: int, new: int) -> None:
    """Adds ``new`` to the number of a task's jobs; creates the task when it is new."""
    db.execute(_COUNT_JOBS, (task_id, now, now, new))


def advance(db: sqlite3.Connection, seen: Job, job: Document) -> bool:
    """Replaces ``seen`` by ``job``; False when ``seen`` is no longer what is stored."""
    expected = {f"seen_{name}": getattr(seen, name) for name in COMPARED}
    advanced = db.execute(_ADVANCE, {**job, **expected, "id": seen.id}).rowcount == 1
    if advanced and job["modified_at"] != seen.modified_at:
        db.execute(_CHANGE_TASK, (job["modified_at"], job["task_id"]))
    return advanced


def stop(db: sqlite3.Connection, job_id: str, now: int, expected: ExpectedVersions | None, event: Event | None = None) -> Job | None:
    """Gives the job's next sequence to a stop, and a row to each tick that came due and has not fired; the job after it. Records the
    event."""
    (seen,) = get(db, [job_id])
    if seen is None:
        return None
    if expected is not None:
        expected.check(job_id, seen.version)
    rows, last = unfired(seen, Outcome.STOPPED, STOPPED, now=now)
    for row in rows:
        insert_tick(db, tick_document(row))
    events.insert(db, [] if event is None else [event])
    db.execute(_CHANGE_TASK, (now, seen.task_id))
    return _job(db.execute(_STOP, (last, now, job_id)).fetchall()[0])


def get(db: sqlite3.Connection, ids: Sequence[str]) -> list[Job | None]:
    """The jobs with these ids, in their order; None for an id that no job has."""
    found = {row[_ID]: row for row in db.execute(_WANTED, (orjson.dumps(ids).decode(),)).fetchall()}
    return [_job(found[id]) if id in found else None for id in ids]


def bounds(db: sqlite3.Connection, ids: Sequence[str]) -> list[JobBounds | None]:
    """Which executions of the jobs with these ids may start, in their order; None for an id that no job has."""
    found = {id: JobBounds(*values) for id, *values in db.execute(_BOUNDS, (orjson.dumps(ids).decode(),)).fetchall()}
    return [found.get(id) for id in ids]


def of_task(db: sqlite3.Connection, task_id: str, limit: int) -> list[Job]:
    """A task's newest jobs, newest first."""
    query = f"SELECT {_JOB} FROM jobs WHERE task_id = ? ORDER BY created_at DESC, id DESC LIMIT ?"
    return filled(lambda count: fetched(db, query, (task_id, count)), limit, _job)


def due(db: sqlite3.Connection, before: int, limit: int, after: tuple[int, str] | None) -> list[Job]:
    """Jobs whose next tick is due before that moment, soonest first."""
    query = f"SELECT {_JOB} FROM jobs WHERE next_tick < ? AND (next_tick, id) > (?, ?) ORDER BY next_tick, id LIMIT ?"
    return filled(lambda count: fetched(db, query, (before, *(after or FIRST), count)), limit, _job)


def to_check(db: sqlite3.Connection, before: int, limit: int) -> list[Job]:
    """Jobs of which somebody is to look whether they are late, the one with the earliest check first."""
    query = f"SELECT {_JOB} FROM jobs INDEXED BY jobs_to_check WHERE {TO_CHECK} AND check_at <= ? ORDER BY check_at, id LIMIT ?"
    return filled(lambda count: fetched(db, query, (before, count)), limit, _job)


def task(db: sqlite3.Connection, task_id: str) -> Task | None:
    """One task."""
    rows = db.execute("SELECT id, created_at, modified_at, jobs_count FROM tasks WHERE id = ?", (task_id,)).fetchall()
    return Task(*rows[0]) if rows else None


def insert_tick(db: sqlite3.Connection, tick: Document) -> None:
    """A tick's row."""
    db.execute(_INSERT_TICK, tuple(tick.values()))


def close_tick(db: sqlite3.Connection, tick_id: str, outcome: Outcome, reason: str | None) -> None:
    """Writes what became of a tick."""
    db.execute("UPDATE ticks SET outcome = ?, reason = ? WHERE id = ?", (outcome.value, reason, tick_id))


def _job(row: Sequence[Any]) -> Job:
    return job_from(dict(zip(JOB_FIELDS, row, strict=True)))
