"""Jobs, their tasks and ledgers, and the records of requests (table ``receipts``). A commit makes or advances a job together with its
ticks, its execution and the record, in one transaction. New jobs that wait together go into a few statements: a statement costs more than
most of the rows that it inserts (measured: a tenth of what an enqueue costs when 32 come at once).

Jobs are deleted here, too, as are executions that belong to no job. A job's history goes in slices of bounded size, each in its own
transaction, so that no other writer waits for a long one. The job's floor is raised first: an execution with a sequence up to the floor
must never run, so an attempt that is inserted late does no harm.

Statements for executions: a change is an UPDATE whose condition is the change's rule, and each list follows an index.

Changes and reads that wait together are made by one statement, which takes one JSON text and answers with one: each row that a statement
takes or returns costs Python more than it costs SQLite (measured).
"""

import asyncio
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Any

import orjson

from fastlane.errors import Conflict, Repeated, Unreadable
from fastlane.models.event import Event
from fastlane.models.ids import DAY, IdempotencyRecord
from fastlane.models.job import Execution, ExpectedVersions, Job, JobBounds, RunningContainer, Task, is_under_way, job_version, status_of
from fastlane.models.job_change import STOPPED, unfired
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, Tick
from fastlane.models.transitions import ExecutionChange, Rule
from fastlane.storage.base import Claimed, Decide, Deletion
from fastlane.storage.logs import MAX_CHUNKS
from fastlane.storage.pages import after_all_with, literal_start
from fastlane.storage.records import EVENTS, EXECUTIONS, JOBS, MAX_UNDER_WAY, NEVER_AGAIN, RECEIPTS, TASKS, TICKS, Rows, filled, readable
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.logs import delete_chunks
from fastlane.storage.sqlite.rows import as_json, fetched, insert_into, insert_missing, with_any_text
from fastlane.storage.sqlite.schema import BELONGS, ENDED as ENDED_SQL, TO_COME, UNDER_WAY as UNDER_WAY_SQL, UNFINISHED, WAITING
from fastlane.storage.sqlite.threads import BatchOperation

QUALIFIED = ", ".join(f"executions.{field}" for field in EXECUTIONS.fields)
_IN_UNDER_WAY = "INDEXED BY executions_under_way"
_NEWEST = "ORDER BY sequence DESC, attempt DESC"

_OF_THOSE_THAT_WAIT = f"SELECT rowid FROM executions INDEXED BY executions_waiting WHERE job_id = wanted.value AND {WAITING}"
_LATEST = f"""SELECT {QUALIFIED} FROM json_each(?) AS wanted CROSS JOIN jobs ON jobs.id = wanted.value
    CROSS JOIN executions ON executions.rowid = coalesce(
    (SELECT rowid FROM executions {_IN_UNDER_WAY} WHERE job_id = wanted.value AND {UNDER_WAY_SQL} AND {BELONGS}
        AND rowid NOT IN ({_OF_THOSE_THAT_WAIT}) {_NEWEST} LIMIT 1),
    (SELECT rowid FROM executions {_IN_UNDER_WAY} WHERE job_id = wanted.value AND {UNDER_WAY_SQL} AND {BELONGS} {_NEWEST} LIMIT 1),
    (SELECT rowid FROM executions WHERE job_id = wanted.value AND {ENDED_SQL} {_NEWEST} LIMIT 1))"""

_AS_JSON = f"SELECT json_group_array(json_array({QUALIFIED})) FROM json_each(?) AS asked CROSS JOIN executions"
_EXECUTION_WANTED = f"{_AS_JSON} ON executions.id = asked.value"
_CHANGED = f"{_AS_JSON} ON executions.id = asked.value ->> 0"
_EXECUTION_ID, _OP = EXECUTIONS.fields.index("id"), EXECUTIONS.fields.index("op")

_OVER = ", ".join(f"'{status}'" for status in NEVER_AGAIN)
_UNDER_WAY = f"""SELECT {QUALIFIED} FROM jobs CROSS JOIN executions INDEXED BY executions_unfinished
    WHERE jobs.id = ? AND executions.task_id = ? AND executions.job_id = jobs.id AND {BELONGS} AND {UNFINISHED} AND settled = 0
        AND status NOT IN ({_OVER})
    ORDER BY executions.sequence, executions.attempt"""
_WAITING = f"""SELECT {QUALIFIED} FROM json_each(?) AS asked CROSS JOIN executions INDEXED BY executions_waiting
    ON executions.job_id = asked.value AND {WAITING}"""

_ENQUEUED = f"""SELECT count(*) FROM (SELECT 1 FROM executions INDEXED BY executions_unfinished
    WHERE task_id = ? AND {UNFINISHED} AND status = 'enqueued' LIMIT ?) AS one_page"""

_BOUNDS = """SELECT jobs.id, incarnation, floor, stop_sequence FROM json_each(?) AS asked CROSS JOIN jobs ON jobs.id = asked.value"""
_IMAGES = f"""WITH live AS (SELECT spec, image_reference FROM executions INDEXED BY executions_under_way WHERE {UNDER_WAY_SQL})
    SELECT spec ->> 'image' FROM live UNION SELECT image_reference FROM live WHERE image_reference IS NOT NULL"""

StoredChange = tuple[ExecutionChange, Mapping[str, Any]]
"""A change, and its values as they are stored."""


class SqliteExecutions:
    """The part of ``ExecutionStore`` that has its own statements: the most frequent ones, and ones that also read a job's row."""

    _file: SqliteFile

    async def execution(self, execution_id: str) -> Execution | None:
        return await self._file.read(BatchOperation(execution_id, executions_with))

    async def change(self, change: ExecutionChange) -> Execution | None:
        """Raises ValueError for a value whose name is not a field of an execution."""
        return await self._file.write(BatchOperation(as_stored(change), apply))

    async def claim(self, execution_id: str, decide: Decide) -> Claimed | None:
        return await self._file.write(BatchOperation((execution_id, decide), claim))

    async def latest(self, job_ids: Sequence[str]) -> Mapping[str, Execution]:
        rows = await self._file.read(lambda db: fetched(db, _LATEST, (as_json(job_ids),)))
        return {execution.job_id: execution for execution in readable(rows, _execution)}

    async def waiting(self, job_id: str) -> Execution | None:
        return await self._file.read(BatchOperation(job_id, waiting))

    async def waiting_of(self, task_id: str, most: int) -> int:
        return await self._file.read(lambda db: int(db.execute(_ENQUEUED, (task_id, most)).fetchone()[0]))

    async def under_way_of(self, task_id: str, job_id: str) -> Sequence[Execution]:
        """One statement reads the oldest ``MAX_UNDER_WAY``, so they are of one moment."""

        def read(db: sqlite3.Connection) -> list[Execution]:
            found = with_any_text(db, lambda: _oldest(db, task_id, job_id))
            last = waiting(db, [job_id])[0] if len(found) == MAX_UNDER_WAY else None
            return found if last is None or last in found else [*found, last]

        return await self._file.read(read)

    async def running_containers(self, limit: int, visible: str | None = None) -> Sequence[RunningContainer]:
        """SQLite takes the image out of the spec, which is a hundred times as long and costly to read in Python."""

        def fetch(count: int) -> "asyncio.Future[list[tuple[Any, ...]]]":
            return self._file.list(lambda db: _running(db, count, visible))

        return await filled(fetch, limit, _container)

    async def images_under_way(self) -> frozenset[str]:
        return frozenset(row[0] for row in await self._file.list(lambda db: fetched(db, _IMAGES, ())))


def apply(db: sqlite3.Connection, asked: Sequence[StoredChange]) -> list[Execution | None]:
    """The execution after each change; None when the change's condition does not hold and it was not applied before."""
    answers: list[Execution | None] = [None] * len(asked)
    for places in _alike(asked):
        alike = [asked[place] for place in places]
        for place, execution in zip(places, _apply_to_seen(db, alike) or _apply_and_read(db, alike), strict=True):
            answers[place] = execution
    return answers


def _apply_to_seen(db: sqlite3.Connection, alike: Sequence[StoredChange]) -> list[Execution] | None:
    """Applies these changes to the rows that their writers saw, and returns the results; None when one of these rows has changed since.
    Then some changes were made, and applying all of them again changes nothing more."""
    first, values = alike[0]
    seen = [change.seen for change, _ in alike if change.seen is not None]
    if len(seen) != len(alike):
        return None
    given = [
        [change.execution_id, change.epoch, change.op, *stored.values(), row.op] for (change, stored), row in zip(alike, seen, strict=True)
    ]
    statement = _update(first.rule, first.epoch is not None, tuple(values), seen=True)
    if db.execute(statement, (as_json(given),)).rowcount != len(alike):
        return None
    return [change.applied_to(row) for (change, _), row in zip(alike, seen, strict=True)]


def _apply_and_read(db: sqlite3.Connection, alike: Sequence[StoredChange]) -> list[Execution | None]:
    first, values = alike[0]
    text = orjson.dumps([[change.execution_id, change.epoch, change.op, *stored.values()] for change, stored in alike]).decode()
    db.execute(_update(first.rule, first.epoch is not None, tuple(values)), (text,))
    applied = {row[_OP]: row for row in _from_json(db, _CHANGED, text)}
    return [EXECUTIONS.of(applied[change.op]) if change.op in applied else None for change, _ in alike]


def claim(db: sqlite3.Connection, asked: Sequence[tuple[str, Decide]]) -> list[Claimed | None]:
    """The executions with these ids, each after the change that was decided on, and the bounds of the changed ones' jobs."""
    answers = [None if row is None else Claimed(row) for row in executions_with(db, [id for id, _ in asked])]
    changes: dict[int, StoredChange] = {}
    for place, (read, (_, decide)) in enumerate(zip(answers, asked, strict=True)):
        if read is not None and (change := decide(read.execution)) is not None:
            changes[place] = as_stored(change)
    changed = {place: row for place, row in zip(changes, apply(db, list(changes.values())), strict=True) if row is not None}
    found = bounds(db, [row.job_id for row in changed.values()]) if changed else []
    for (place, row), limits in zip(changed.items(), found, strict=True):
        answers[place] = Claimed(row, True, limits)
    return answers


def as_stored(change: ExecutionChange) -> StoredChange:
    """The change, for ``apply``. Raises ValueError for a value whose name is not a field of an execution."""
    return change, {**EXECUTIONS.changes(change.values), **change.noted}


def _alike(asked: Sequence[StoredChange]) -> list[list[int]]:
    """The positions of changes that one statement can make: with the same rule and names. Changes of the same execution go into different
    statements, in their order."""
    before: dict[str, int] = {}
    groups: dict[tuple[int, str, bool, tuple[str, ...]], list[int]] = {}
    for place, (change, values) in enumerate(asked):
        turn = before[change.execution_id] = before.get(change.execution_id, -1) + 1
        groups.setdefault((turn, change.name, change.epoch is not None, tuple(values)), []).append(place)
    return [groups[key] for key in sorted(groups, key=itemgetter(0))]


def executions_with(db: sqlite3.Connection, ids: Sequence[str]) -> list[Execution | None]:
    """The executions with these ids, in their order."""
    found = {row[_EXECUTION_ID]: row for row in _from_json(db, _EXECUTION_WANTED, as_json(ids))}
    return [EXECUTIONS.of(list(found[id])) if id in found else None for id in ids]


def _from_json(db: sqlite3.Connection, query: str, asked: str) -> list[list[Any]]:
    (text,) = db.execute(query, (asked,)).fetchone()
    rows: list[list[Any]] = orjson.loads(text)
    return rows


def _running(db: sqlite3.Connection, limit: int, visible: str | None) -> list[tuple[Any, ...]]:
    seen = "" if visible is None else " AND task_id IN (SELECT value FROM json_each(:tasks))"
    query = f"""SELECT id, task_id, job_id, host, container_id, CASE WHEN json_valid(spec) THEN spec ->> '$.image' END
        FROM executions INDEXED BY executions_by_status WHERE status = 'running'{seen} ORDER BY scheduled_for, id LIMIT :limit"""
    given: dict[str, Any] = {"limit": limit} if visible is None else {"limit": limit, "tasks": as_json(visible_tasks(db, visible))}
    return fetched(db, query, given)


def visible_tasks(db: sqlite3.Connection, pattern: str) -> list[str]:
    """The ids of the tasks that a pattern matches. Tasks whose ids begin differently are not read."""
    start = literal_start(pattern)
    query = "SELECT id FROM tasks WHERE id >= :start AND visible(:pattern, id)"
    query += " AND id < :end" if start else ""
    given = {"start": start, "end": after_all_with(start), "pattern": pattern}
    return [id for (id,) in db.execute(query, given).fetchall()]


def _container(row: Sequence[Any]) -> RunningContainer:
    image = row[-1]
    if not isinstance(image, str) or not image.isascii():
        raise Unreadable(f"execution {row[0]} cannot be read from the store: its spec has no image")
    return RunningContainer(*row)


def waiting(db: sqlite3.Connection, job_ids: Sequence[str]) -> list[Execution | None]:
    """The newest execution of each of these jobs that waits for others of its job, in their order."""
    found = readable(fetched(db, _WAITING, (as_json(job_ids),)), _execution)
    newest = {execution.job_id: execution for execution in sorted(found, key=attrgetter("sequence"))}
    return [newest.get(id) for id in job_ids]


def _oldest(db: sqlite3.Connection, task_id: str, job_id: str) -> list[Execution]:
    with closing(db.execute(_UNDER_WAY, (job_id, task_id))) as rows:
        return list(islice(filter(is_under_way, map(_execution, rows)), MAX_UNDER_WAY))


@lru_cache(maxsize=256)
def _update(rule: Rule, fenced: bool, names: tuple[str, ...], *, seen: bool = False) -> str:
    """The UPDATE for changes that are given as arrays of id, epoch, op and values. Its condition is ``ExecutionChange.permitted`` in SQL.
    ``seen``: behind the values is the op of the row as it was seen, which it must still have.

    The names are known to be columns. The plus signs keep SQLite from any index but the one of ids."""
    conditions = ["executions.id = asked.value ->> 0", f"+executions.{_one_of(rule.sources)}"]
    if fenced:
        conditions.append("+epoch = asked.value ->> 1")
    if rule.bound is not None:
        conditions.append("+service_id IS NOT NULL" if rule.bound else "+service_id IS NULL")
    if rule.unstopped:
        conditions.append("+stop_requested_at IS NULL")
    if rule.settled is not None:
        conditions.append(f"+settled = {int(rule.settled)}")
    if seen:
        conditions.append(f"+op = asked.value ->> {3 + len(names)}")
    places = {"op": 2} | {name: place for place, name in enumerate(names, 3)}
    assignments = ", ".join(f"{name} = asked.value ->> {place}" for name, place in places.items())
    return f"UPDATE executions SET {assignments} FROM json_each(?) AS asked WHERE {' AND '.join(conditions)}"


def _one_of(statuses: Iterable[Status]) -> str:
    return f"status IN ({', '.join(repr(status.value) for status in sorted(statuses))})"


def _execution(row: Sequence[Any]) -> Execution:
    return EXECUTIONS.of(list(row))


def bounds(db: sqlite3.Connection, ids: Sequence[str]) -> list[JobBounds | None]:
    """Which executions of the jobs with these ids may start, in their order; None for an id that no job has."""
    found = {id: JobBounds(*values) for id, *values in db.execute(_BOUNDS, (as_json(ids),)).fetchall()}
    return [found.get(id) for id in ids]


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
