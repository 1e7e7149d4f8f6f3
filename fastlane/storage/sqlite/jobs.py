"""Jobs, their tasks and ledgers, and the records of requests (table ``receipts``). A commit makes or advances a job together with its
ticks, its execution and the record, in one transaction. New jobs that wait together go into a few statements: a statement costs more than
most of the rows that it inserts (measured: a tenth of what an enqueue costs when 32 come at once).

Jobs are deleted here, too, as are executions that belong to no job. A job's history goes in slices of bounded size, each in its own
transaction, so that no other writer waits for a long one. The job's floor is raised first: an execution with a sequence up to the floor
must never run, so an attempt that is inserted late does no harm."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any

from fastlane.errors import Conflict, Repeated
from fastlane.models.event import Event
from fastlane.models.ids import DAY, IdempotencyRecord
from fastlane.models.job import Execution, ExpectedVersions, Job, JobBounds, Task, job_version, status_of
from fastlane.models.job_change import STOPPED, unfired
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, Tick
from fastlane.storage.base import Deletion
from fastlane.storage.logs import MAX_CHUNKS
from fastlane.storage.records import EVENTS, EXECUTIONS, JOBS, RECEIPTS, TASKS, TICKS
from fastlane.storage.rows import Rows, filled
from fastlane.storage.sqlite.executions import QUALIFIED, bounds
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.logs import delete_chunks
from fastlane.storage.sqlite.rows import as_json, fetched, insert_into, insert_missing
from fastlane.storage.sqlite.schema import BELONGS, TO_COME, UNFINISHED
from fastlane.storage.sqlite.threads import BatchOperation

Row = Mapping[str, Any]

COMPARED = ("incarnation", "revision", "sequence", "next_tick", "floor", "check_at", "late_since")
"""The fields of a job that must not have changed since it was read."""
MAX_FORGOTTEN = 100
"""Old records that are deleted with each new one at most."""
MAX_ROWS = 64
"""Rows in one statement at most. The number of rows is always a power of two, so that few different statements are prepared."""

JOB_COLUMNS = ", ".join(JOBS.fields)
_COLUMNS = (*JOBS.columns, "job_status")
_ID = JOBS.fields.index("id")
_WANTED = f"SELECT {', '.join(f'jobs.{name}' for name in JOBS.fields)} FROM json_each(?) AS asked CROSS JOIN jobs ON jobs.id = asked.value"
_INSERT_TICK, _INSERT_EXECUTION = insert_into("ticks", TICKS.fields), insert_into("executions", EXECUTIONS.fields)
_COUNT_JOBS = """INSERT INTO tasks (id, created_at, modified_at, jobs_count) VALUES (?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET modified_at = max(modified_at, excluded.modified_at), jobs_count = jobs_count + excluded.jobs_count"""
_ADVANCE = f"""UPDATE jobs SET {", ".join(f"{column} = :{column}" for column in JOBS.columns)},
    created_by = coalesce(created_by, requested_by)
    WHERE id = :id AND incarnation = :seen_incarnation AND revision = :seen_revision AND sequence = :seen_sequence
    AND next_tick IS :seen_next_tick AND floor = :seen_floor AND check_at IS :seen_check_at AND late_since IS :seen_late_since"""
_CHANGE_TASK = "UPDATE tasks SET modified_at = max(modified_at, ?) WHERE id = ?"
_STOP = f"""UPDATE jobs SET sequence = sequence + 1, stop_sequence = sequence + 1, next_tick = NULL, held_tick = NULL, last_tick = ?,
    modified_at = ? WHERE id = ? RETURNING {JOB_COLUMNS}"""
_record_values = attrgetter(*RECEIPTS.fields)
_INSERT_RECORD = insert_into("receipts", RECEIPTS.fields).replace("INSERT", "INSERT OR REPLACE", 1)
_FORGET_RECORDS = "DELETE FROM receipts WHERE key IN (SELECT key FROM receipts WHERE created_at < ? ORDER BY created_at LIMIT ?)"


class SqliteJobs:
    """The part of ``JobStore`` that writes jobs, and reads single ones."""

    _file: SqliteFile
    _rows: Rows

    async def create(self, job: Job, tick: Tick | None, execution: Execution | None, record: IdempotencyRecord | None = None) -> None:
        stored = JOBS.row(job)
        shared = {name: stored[name] for name in ("spec", "requested_by") if getattr(job, name) is getattr(execution, name, None)}
        row = None if execution is None else EXECUTIONS.row(execution, shared)  # shared parts are written only once
        stored["job_status"] = status_of(job, () if execution is None else (execution,))
        new = NewJob(stored, None if tick is None else TICKS.row(tick), row, record)
        await self._file.write(BatchOperation(new, create))

    async def advance(
        self,
        seen: Job,
        job: Job,
        ticks: Sequence[Tick],
        execution: Execution | None,
        record: IdempotencyRecord | None = None,
        events: Sequence[Event] = (),
    ) -> bool:
        def advance(db: sqlite3.Connection) -> bool:
            if record is not None:
                refuse_repeat(db, record)
            row = JOBS.row(job)
            expected = {f"seen_{name}": getattr(seen, name) for name in COMPARED}
            if db.execute(_ADVANCE, {**row, **expected, "id": seen.id}).rowcount != 1:
                return False
            if job.modified_at != seen.modified_at:
                db.execute(_CHANGE_TASK, (job.modified_at, job.task_id))
            if record is not None:
                keep_record(db, record)
            for tick in rows:
                db.execute(_INSERT_TICK, tick)
            if made is not None:
                db.execute(_INSERT_EXECUTION, made)
            record_events(db, events)
            return True

        rows = [tuple(TICKS.row(tick).values()) for tick in ticks]
        made = None if execution is None else tuple(EXECUTIONS.row(execution).values())
        return await self._file.write(advance)

    async def idempotency_record(self, key: str, since: int) -> IdempotencyRecord | None:
        record = await self._rows.get(RECEIPTS, key)
        return None if record is None or record.created_at < since else record

    async def stop_job(self, job_id: str, now: int, expected: ExpectedVersions | None = None, event: Event | None = None) -> Job | None:
        def stop(db: sqlite3.Connection) -> Job | None:
            (seen,) = jobs_with(db, [job_id])
            if seen is None:
                return None
            if expected is not None:
                expected.check(job_id, seen.version)
            ticks, last = unfired(seen, Outcome.STOPPED, STOPPED, now=now)
            for tick in ticks:
                db.execute(_INSERT_TICK, tuple(TICKS.row(tick).values()))
            record_events(db, [] if event is None else [event])
            db.execute(_CHANGE_TASK, (now, seen.task_id))
            return JOBS.of(list(db.execute(_STOP, (last, now, job_id)).fetchall()[0]))

        return await self._file.write(stop)

    async def job(self, job_id: str) -> Job | None:
        return await self._file.read(BatchOperation(job_id, jobs_with))

    async def job_bounds(self, job_id: str) -> JobBounds | None:
        return await self._file.read(BatchOperation(job_id, bounds))

    async def task(self, task_id: str) -> Task | None:
        return await self._rows.get(TASKS, task_id)


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job as it is stored, with its status, and what is created with it."""

    job: Row
    tick: Row | None = None
    execution: Row | None = None
    record: IdempotencyRecord | None = None


def create(db: sqlite3.Connection, new: Sequence[NewJob]) -> list[None]:
    """Inserts all of them. Raises Repeated when a record with the same key exists, Conflict when a job with the same id does."""
    for entry in new:
        if entry.record is not None:
            keep_record(db, entry.record)
    inserted = _insert(db, "jobs", _COLUMNS, [entry.job for entry in new], " ON CONFLICT (id) DO NOTHING")
    if inserted < len(new):
        raise Conflict("there is a job with this id already")
    counts: dict[str, int] = {}
    for entry in new:
        counts[entry.job["task_id"]] = counts.get(entry.job["task_id"], 0) + 1
    latest = {entry.job["task_id"]: entry.job["modified_at"] for entry in new}
    for task_id, count in counts.items():
        db.execute(_COUNT_JOBS, (task_id, latest[task_id], latest[task_id], count))
    _insert(db, "ticks", TICKS.columns, [entry.tick for entry in new if entry.tick is not None])
    _insert(db, "executions", EXECUTIONS.columns, [entry.execution for entry in new if entry.execution is not None])
    return [None] * len(new)


def _insert(db: sqlite3.Connection, table: str, fields: tuple[str, ...], rows: Sequence[Row], more: str = "") -> int:
    """Inserts rows whose values are in the order of ``fields``. Returns the number of inserted rows."""
    if len(rows) == 1:
        return db.execute(_statement(table, fields, 1, more), [*rows[0].values()]).rowcount
    return sum(
        db.execute(_statement(table, fields, len(chunk), more), [value for row in chunk for value in row.values()]).rowcount
        for chunk in _chunks(rows)
    )


def _chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    start = 0
    while left := len(rows) - start:
        size = min(MAX_ROWS, 1 << (left.bit_length() - 1))
        yield rows[start : start + size]
        start += size


@lru_cache(maxsize=64)
def _statement(table: str, fields: tuple[str, ...], rows: int, more: str) -> str:
    row = f"({', '.join('?' * len(fields))})"
    return f"INSERT INTO {table} ({', '.join(fields)}) VALUES {', '.join([row] * rows)}{more}"


def keep_record(db: sqlite3.Connection, record: IdempotencyRecord) -> None:
    """Inserts a record, and deletes some that are older than a day. Raises Repeated when a younger one has its key."""
    refuse_repeat(db, record)
    db.execute(_FORGET_RECORDS, (record.created_at - DAY, MAX_FORGOTTEN))
    db.execute(_INSERT_RECORD, _record_values(record))


def refuse_repeat(db: sqlite3.Connection, record: IdempotencyRecord) -> None:
    """Raises Repeated when a record with its key is at most a day old."""
    if db.execute("SELECT 1 FROM receipts WHERE key = ? AND created_at >= ?", (record.key, record.created_at - DAY)).fetchall():
        raise Repeated("a request with this key had its effect already")


def record_events(db: sqlite3.Connection, events: Sequence[Event]) -> None:
    """Records events, in the same transaction as the changes that they report."""
    if events:
        insert_missing(db, EVENTS, [tuple(EVENTS.row(event).values()) for event in events])


def jobs_with(db: sqlite3.Connection, ids: Sequence[str]) -> list[Job | None]:
    """The jobs with these ids, in their order; None for an id that no job has."""
    found = {row[_ID]: row for row in db.execute(_WANTED, (as_json(ids),)).fetchall()}
    return [JOBS.of(list(found[id])) if id in found else None for id in ids]


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
    """The part of the store that deletes, and that finds the obstacles to a deletion."""

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
