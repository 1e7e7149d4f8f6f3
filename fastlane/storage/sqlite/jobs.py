"""Commits of jobs, and the statements for executions that are the most frequent ones.

A commit makes, replaces or deletes a job together with all that belongs to it, in one transaction. New jobs that wait together go into a
few statements: a statement costs more than most of the rows that it inserts (measured: a tenth of what an enqueue costs when 32 come at
once).

Changes and reads of executions that wait together are made by one statement, which takes one JSON text and answers with one: each row that
a statement takes or returns costs Python more than it costs SQLite (measured). A change is an UPDATE whose condition is the change's rule.
"""

import asyncio
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import attrgetter, itemgetter
from typing import Any

import orjson

from fastlane.clock import unless_cancelled
from fastlane.errors import Conflict, NotUnique, Repeated
from fastlane.models.event import Event
from fastlane.models.ids import DAY, IdempotencyRecord
from fastlane.models.job import Execution, Job, JobBounds, status_of
from fastlane.models.status import Status
from fastlane.models.transitions import ExecutionChange, Rule
from fastlane.storage.base import DELETED_STAY, GIVEN_UP_STAYS, Claimed, Decide
from fastlane.storage.pages import after_all_with, literal_start
from fastlane.storage.records import (
    COMPARED,
    EVENTS,
    EXECUTIONS,
    JOBS,
    RECEIPTS,
    TICKS,
    Commit,
    Effects,
    Place,
    Record,
    Where,
    readable,
)
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.rows import SqliteRows, as_json, bounded, fetched, insert_into, insert_missing, with_any_text
from fastlane.storage.sqlite.schema import BELONGS, ENDED as ENDED_SQL, UNDER_WAY as UNDER_WAY_SQL, WAITING
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

_WAITING = f"""SELECT {QUALIFIED} FROM json_each(?) AS asked CROSS JOIN executions INDEXED BY executions_waiting
    ON executions.job_id = asked.value AND {WAITING}"""

_AS_JSON = f"SELECT json_group_array(json_array({QUALIFIED})) FROM json_each(?) AS asked CROSS JOIN executions"
_EXECUTION_WANTED = f"{_AS_JSON} ON executions.id = asked.value"
_CHANGED = f"{_AS_JSON} ON executions.id = asked.value ->> 0"
_EXECUTION_ID, _OP, _SPEC = (EXECUTIONS.fields.index(name) for name in ("id", "op", "spec"))

_BOUNDS = """SELECT jobs.id, incarnation, floor, stop_sequence FROM json_each(?) AS asked CROSS JOIN jobs ON jobs.id = asked.value"""
_IMAGES = f"""WITH live AS (SELECT spec, image_reference FROM executions INDEXED BY executions_under_way WHERE {UNDER_WAY_SQL})
    SELECT spec ->> 'image' FROM live UNION SELECT image_reference FROM live WHERE image_reference IS NOT NULL"""

StoredChange = tuple[ExecutionChange, Mapping[str, Any]]
"""A change, and its values as they are stored."""


class SqliteJobs:
    """The methods of the store that have their own statements: the most frequent ones, and ones that also look at another table."""

    _file: SqliteFile

    async def execution(self, execution_id: str) -> Execution | None:
        return await self._file.read(BatchOperation(execution_id, executions_with))

    async def change(self, change: ExecutionChange) -> Execution | None:
        """Raises ValueError for a value whose name is not a field of an execution."""
        return await self._file.write(BatchOperation(as_stored(change), apply))

    async def claim(self, execution_id: str, decide: Decide) -> Claimed | None:
        return await self._file.write(BatchOperation((execution_id, decide), claim))

    async def latest(self, job_ids: Sequence[str]) -> Mapping[str, Execution]:
        rows = await self._file.read(lambda db: with_any_text(db, lambda: bounded(db, _LATEST, (as_json(job_ids),), _SPEC)))
        return {execution.job_id: execution for execution in readable(rows, _execution)}

    async def waiting(self, job_id: str) -> Execution | None:
        """Each end asks this, so those that end together ask by one statement."""
        return await self._file.read(BatchOperation(job_id, waiting_of))

    async def followers(self, job_id: str, limit: int, after: str = "") -> Sequence[Job]:
        found = list[Job]()
        while len(found) < limit and (ids := await self._file.read(BatchOperation((job_id, after, limit - len(found)), links_of))):
            rows = await self._file.read(partial(_jobs_with, ids))
            found += [job for job in readable(rows, _job) if job.schedule.after and job_id in job.schedule.after.jobs]
            after = ids[-1]
        return found

    async def delete_task(self, task_id: str, event: Event | None = None) -> bool:
        def delete(db: sqlite3.Connection) -> bool:
            if db.execute("SELECT 1 FROM jobs WHERE task_id = ? LIMIT 1", (task_id,)).fetchall():
                return False
            if db.execute("DELETE FROM tasks WHERE id = ?", (task_id,)).rowcount and event is not None:
                record_events(db, [event])
            return True

        return await self._file.write(delete)

    async def give_up(self, execution_id: str) -> None:
        await self._file.write(lambda db: db.execute(_GIVE_UP, (execution_id,)).rowcount)

    async def images_under_way(self) -> frozenset[str]:
        return frozenset(row[0] for row in await self._file.list(lambda db: fetched(db, _IMAGES, ())))


def apply(db: sqlite3.Connection, asked: Sequence[StoredChange]) -> list[Execution | None]:
    """The execution after each change; None when the change's condition does not hold and it was not applied before."""
    answers: list[Execution | None] = [None] * len(asked)
    if any([change.settles_an_end for change, _ in asked]) and db.execute(_ANY_LINK).fetchone() is not None:
        asked = _unless_followed(db, asked)
    for places in _alike(asked):
        alike = [asked[place] for place in places]
        for place, execution in zip(places, _apply_to_seen(db, alike) or _apply_and_read(db, alike), strict=True):
            answers[place] = execution
    return answers


def _unless_followed(db: sqlite3.Connection, asked: Sequence[StoredChange]) -> list[StoredChange]:
    """These changes, without the settling of executions whose jobs others follow."""
    jobs = sorted({change.seen.job_id for change, _ in asked if change.settles_an_end and change.seen is not None})
    followed = {job for job, links in zip(jobs, links_of(db, [(job, "", 1) for job in jobs]), strict=True) if links}

    def is_followed(change: ExecutionChange) -> bool:
        return change.settles_an_end and (change.seen is None or change.seen.job_id in followed)

    return [as_stored(one[0].without_settling()) if is_followed(one[0]) else one for one in asked]


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


def waiting_of(db: sqlite3.Connection, job_ids: Sequence[str]) -> list[Execution | None]:
    """The newest execution of each of these jobs that waits for others of its job, in their order."""
    found = readable(fetched(db, _WAITING, (as_json(job_ids),)), _execution)
    newest = {execution.job_id: execution for execution in sorted(found, key=attrgetter("sequence"))}
    return [newest.get(id) for id in job_ids]


def links_of(db: sqlite3.Connection, asked: Sequence[tuple[str, str, int]]) -> list[list[str]]:
    """The ids of jobs after each of these jobs: as many, by id, after an id."""
    wanted = as_json([list(one) for one in asked])
    found: list[list[str]] = [[] for _ in asked]
    for place, id in db.execute(_LINKS, (wanted,)).fetchall():
        found[place].append(id)
    return [ids[:limit] for ids, (_, _, limit) in zip(found, asked, strict=True)]


def _jobs_with(ids: Sequence[str], db: sqlite3.Connection) -> list[Any]:
    return fetched(db, _JOBS_WANTED, (as_json(ids),))


def _job(row: Sequence[Any]) -> Job:
    return JOBS.of(list(row))


def _from_json(db: sqlite3.Connection, query: str, asked: str) -> list[list[Any]]:
    (text,) = db.execute(query, (asked,)).fetchone()
    rows: list[list[Any]] = orjson.loads(text)
    return rows


def visible_tasks(db: sqlite3.Connection, pattern: str) -> list[str]:
    """The ids of the tasks that a pattern matches. Tasks whose ids begin differently are not read."""
    start = literal_start(pattern)
    query = "SELECT id FROM tasks WHERE id >= :start AND visible(:pattern, id)"
    query += " AND id < :end" if start else ""
    given = {"start": start, "end": after_all_with(start), "pattern": pattern}
    return [id for (id,) in db.execute(query, given).fetchall()]


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

MAX_FORGOTTEN = 100
"""Old records that are deleted with each new one at most."""
MAX_ROWS = 64
"""Rows in one statement at most. The number of rows is always a power of two, so that few different statements are prepared."""

JOB_COLUMNS = ", ".join(JOBS.fields)
_COLUMNS = (*JOBS.columns, "job_status")
_COUNT_JOBS = """INSERT INTO tasks (id, created_at, modified_at, jobs_count) VALUES (?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET modified_at = max(modified_at, excluded.modified_at), jobs_count = jobs_count + excluded.jobs_count"""
_AS_SEEN = " AND ".join(["id = ?", *(f"{name} IS ?" for name in COMPARED)])
_REPLACE = f"""UPDATE jobs SET {", ".join(f"{column} = ?" for column in JOBS.columns)}, created_by = coalesce(created_by, requested_by)
    WHERE {_AS_SEEN}"""
CHANGE_TASK = "UPDATE tasks SET modified_at = max(modified_at, ?), jobs_count = jobs_count - ? WHERE id = ?"
_record_values = attrgetter(*RECEIPTS.fields)
_INSERT_RECORD = insert_into("receipts", RECEIPTS.fields).replace("INSERT", "INSERT OR REPLACE", 1)
_FORGET_RECORDS = "DELETE FROM receipts WHERE key IN (SELECT key FROM receipts WHERE created_at < ? ORDER BY created_at LIMIT ?)"


class SqliteCommits(SqliteRows):
    """``Rows`` of a file with its commits."""

    async def commit(self, commit: Commit) -> bool:
        if commit.seen is not None or commit.job is None:
            return await self._file.write(lambda db: _carry_out(db, commit))
        await self._file.write(BatchOperation(NewJob.of(commit.job, commit.effects), create))
        return True

    async def delete(self, record: Record[Any], keys: Sequence[Place], seen: Where | None = None) -> int:
        if record is not EXECUTIONS:
            return await super().delete(record, keys, seen)
        forgotten = self._file.write(lambda db: db.execute(FORGET_DELETED, (2 * len(keys) + 2,)).rowcount)  # more than this adds
        return (await unless_cancelled(asyncio.gather(super().delete(record, keys, seen), forgotten)))[0]

    async def visible_tasks(self, pattern: str) -> Sequence[str]:
        return await self._file.read(lambda db: visible_tasks(db, pattern))


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job as it is stored, with its status, and what is created with it."""

    job: Row
    ticks: Sequence[Row]
    execution: Row | None
    record: IdempotencyRecord | None

    @classmethod
    def of(cls, job: Job, effects: Effects) -> "NewJob":
        """The rows of a commit that makes a job. What the job shares with its execution is converted only once."""
        execution, stored = effects.execution, JOBS.row(job)
        shared = {name: stored[name] for name in ("spec", "requested_by") if getattr(job, name) is getattr(execution, name, None)}
        stored["job_status"] = status_of(job, () if execution is None else (execution,))
        made = None if execution is None else EXECUTIONS.row(execution, shared)
        return cls(stored, [TICKS.row(tick) for tick in effects.ticks], made, effects.record)


def create(db: sqlite3.Connection, new: Sequence[NewJob]) -> list[None]:
    """Inserts all of them. Raises Repeated when a record with the same key exists, Conflict when a job with the same id does."""
    for entry in new:
        if entry.record is not None:
            keep_record(db, entry.record)
    try:
        inserted = _insert(db, "jobs", _COLUMNS, [entry.job for entry in new], " ON CONFLICT (id) DO NOTHING")
    except sqlite3.IntegrityError as error:
        _refuse_key(error)
        raise
    if inserted < len(new):
        raise Conflict("there is a job with this id already")
    counts: dict[str, int] = {}
    for entry in new:
        counts[entry.job["task_id"]] = counts.get(entry.job["task_id"], 0) + 1
    latest = {entry.job["task_id"]: entry.job["modified_at"] for entry in new}
    for task_id, count in counts.items():
        db.execute(_COUNT_JOBS, (task_id, latest[task_id], latest[task_id], count))
    _insert(db, "ticks", TICKS.columns, [tick for entry in new for tick in entry.ticks])
    _insert(db, "executions", EXECUTIONS.columns, [entry.execution for entry in new if entry.execution is not None])
    return [None] * len(new)


def _refuse_key(error: sqlite3.IntegrityError) -> None:
    """Raises NotUnique for a statement that gave a job the key of another one."""
    if "unique_key" in str(error):
        raise NotUnique("another job has this unique key") from error


def _carry_out(db: sqlite3.Connection, commit: Commit) -> bool:
    """Replaces or deletes a job, and writes what belongs to that; False when the job is not as it was seen."""
    effects, seen = commit.effects, commit.seen or {}
    as_seen = (commit.job_id, *(seen[name] for name in COMPARED))
    if effects.record is not None:
        refuse_repeat(db, effects.record)
    if commit.job is None:
        written = db.execute(f"DELETE FROM jobs WHERE {_AS_SEEN}", as_seen)
    else:
        try:
            written = db.execute(_REPLACE, (*JOBS.row(commit.job).values(), *as_seen))
        except sqlite3.IntegrityError as error:
            _refuse_key(error)
            raise
    if written.rowcount != 1:
        return False
    if commit.task_modified_at is not None:
        db.execute(CHANGE_TASK, (commit.task_modified_at, int(commit.job is None), commit.task_id))
    if effects.record is not None:
        keep_record(db, effects.record)
    made: Sequence[tuple[Record[Any], Any]] = [*((TICKS, tick) for tick in effects.ticks), (EXECUTIONS, effects.execution)]
    for record, value in made:
        if value is not None:
            db.execute(insert_into(record.name, record.columns), tuple(record.row(value).values()))
    record_events(db, effects.events)
    return True


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


_ANY_LINK = "SELECT 1 FROM job_links LIMIT 1"
_LINKS = """SELECT asked.key, job_links.job_id FROM json_each(?) AS asked CROSS JOIN job_links
    ON job_links.upstream_id = asked.value ->> 0 AND job_links.job_id > asked.value ->> 1 ORDER BY asked.key, job_links.job_id"""
_JOBS_WANTED = f"""SELECT {", ".join(f"jobs.{name}" for name in JOBS.fields)} FROM json_each(?) AS asked
    CROSS JOIN jobs ON jobs.id = asked.value ORDER BY jobs.id"""
_GIVE_UP = f"INSERT OR REPLACE INTO deleted_executions VALUES (?, unixepoch() + {GIVEN_UP_STAYS - DELETED_STAY})"
FORGET_DELETED = f"""DELETE FROM deleted_executions WHERE id IN
    (SELECT id FROM deleted_executions WHERE deleted_at < unixepoch() - {DELETED_STAY} ORDER BY deleted_at LIMIT ?)"""
