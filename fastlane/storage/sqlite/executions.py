"""Statements for executions: a change is an UPDATE whose condition is the change's rule, and each list follows an index.

Changes and reads that wait together are made by one statement, which takes one JSON text and answers with one: each row that a statement
takes or returns costs Python more than it costs SQLite (measured).
"""

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Any

import orjson

from fastlane.errors import Unreadable
from fastlane.models.job import Execution, JobBounds, RunningContainer, is_under_way
from fastlane.models.status import Status
from fastlane.models.transitions import ExecutionChange, Rule
from fastlane.storage.base import Claimed, Decide
from fastlane.storage.pages import after_all_with, literal_start
from fastlane.storage.records import EXECUTIONS, MAX_UNDER_WAY, NEVER_AGAIN
from fastlane.storage.rows import filled, readable
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.rows import as_json, fetched, with_any_text
from fastlane.storage.sqlite.schema import BELONGS, UNFINISHED, WAITING
from fastlane.storage.sqlite.schema import ENDED as ENDED_SQL
from fastlane.storage.sqlite.schema import UNDER_WAY as UNDER_WAY_SQL
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
_WANTED = f"{_AS_JSON} ON executions.id = asked.value"
_CHANGED = f"{_AS_JSON} ON executions.id = asked.value ->> 0"
_ID, _OP = EXECUTIONS.fields.index("id"), EXECUTIONS.fields.index("op")

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
    found = {row[_ID]: row for row in _from_json(db, _WANTED, as_json(ids))}
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
