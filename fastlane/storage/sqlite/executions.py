"""Statements for executions: a change is an UPDATE whose condition is the change's rule, and each list follows an index.

Changes and reads that wait together are made by one statement, which takes one JSON text and answers with one: a row that a statement takes
or gives costs Python more than it costs SQLite (measured).
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

import orjson

from fastlane.errors import Unreadable
from fastlane.models.execution import Execution, RunningContainer
from fastlane.models.host import Uncleaned
from fastlane.models.status import UNDER_WAY, Status
from fastlane.models.transitions import ExecutionChange, Rule
from fastlane.storage.base.claims import Claimed, Decide
from fastlane.storage.documents import EXECUTION_FIELDS, change_document, execution_of
from fastlane.storage.readable import readable
from fastlane.storage.sqlite.conditions import BELONGS as BELONGS
from fastlane.storage.sqlite.jobs import FIRST, bounds
from fastlane.storage.sqlite.rows import fetched, filled, insert_into
from fastlane.storage.sqlite.schema import ENDED as ENDED_SQL
from fastlane.storage.sqlite.schema import UNDER_WAY as UNDER_WAY_SQL
from fastlane.storage.sqlite.schema import WAITING

_ALL = ", ".join(EXECUTION_FIELDS)
_INSERT = insert_into("executions", EXECUTION_FIELDS)
_INSERT_ATTEMPT = f"{_INSERT} ON CONFLICT (id) DO NOTHING"
QUALIFIED = ", ".join(f"executions.{field}" for field in EXECUTION_FIELDS)
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
_ID, _OP = EXECUTION_FIELDS.index("id"), EXECUTION_FIELDS.index("op")

StoredChange = tuple[ExecutionChange, Mapping[str, Any]]
"""A change, and its values as they are stored."""


def insert(db: sqlite3.Connection, execution: Mapping[str, Any]) -> None:
    """Inserts an execution."""
    db.execute(_INSERT, tuple(execution.values()))


def insert_attempt(db: sqlite3.Connection, execution: Mapping[str, Any]) -> bool:
    """Inserts a further attempt, unless a row has its id already."""
    return db.execute(_INSERT_ATTEMPT, tuple(execution.values())).rowcount == 1


def apply(db: sqlite3.Connection, asked: Sequence[StoredChange]) -> list[Execution | None]:
    """The execution after each change; None when the change's condition does not hold and it was not applied before."""
    answers: list[Execution | None] = [None] * len(asked)
    for places in _alike(asked):
        alike = [asked[place] for place in places]
        for place, execution in zip(places, _apply_to_seen(db, alike) or _apply_and_read(db, alike), strict=True):
            answers[place] = execution
    return answers


def _apply_to_seen(db: sqlite3.Connection, alike: Sequence[StoredChange]) -> list[Execution] | None:
    """What these changes make of the rows that their writers saw; None when one of these is another row by now. Then some were changed,
    and to apply all once more changes them no further."""
    first, values = alike[0]
    seen = [change.seen for change, _ in alike if change.seen is not None]
    if len(seen) != len(alike):
        return None
    given = [
        [change.execution_id, change.epoch, change.op, *stored.values(), row.op] for (change, stored), row in zip(alike, seen, strict=True)
    ]
    statement = _update(first.rule, first.epoch is not None, tuple(values), seen=True)
    if db.execute(statement, (orjson.dumps(given).decode(),)).rowcount != len(alike):
        return None
    return [change.applied_to(row) for (change, _), row in zip(alike, seen, strict=True)]


def _apply_and_read(db: sqlite3.Connection, alike: Sequence[StoredChange]) -> list[Execution | None]:
    first, values = alike[0]
    text = orjson.dumps([[change.execution_id, change.epoch, change.op, *stored.values()] for change, stored in alike]).decode()
    db.execute(_update(first.rule, first.epoch is not None, tuple(values)), (text,))
    applied = {row[_OP]: row for row in _from_json(db, _CHANGED, text)}
    return [execution_of(applied[change.op]) if change.op in applied else None for change, _ in alike]


def claim(db: sqlite3.Connection, asked: Sequence[tuple[str, Decide]]) -> list[Claimed | None]:
    """The executions with these ids, each after the change that was decided on, and the bounds of the jobs of those that were changed."""
    answers = [None if row is None else Claimed(row) for row in get(db, [id for id, _ in asked])]
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
    return change, {**change_document(change.values), **change.noted}


def _alike(asked: Sequence[StoredChange]) -> list[list[int]]:
    """The positions of changes that one statement can make: with the same rule and names. Changes of the same execution go into different
    statements, in their order."""
    before: dict[str, int] = {}
    groups: dict[tuple[int, str, bool, tuple[str, ...]], list[int]] = {}
    for place, (change, values) in enumerate(asked):
        turn = before[change.execution_id] = before.get(change.execution_id, -1) + 1
        groups.setdefault((turn, change.name, change.epoch is not None, tuple(values)), []).append(place)
    return [groups[key] for key in sorted(groups, key=itemgetter(0))]


def get(db: sqlite3.Connection, ids: Sequence[str]) -> list[Execution | None]:
    """The executions with these ids, in their order."""
    found = {row[_ID]: row for row in _from_json(db, _WANTED, orjson.dumps(ids).decode())}
    return [execution_of(list(found[id])) if id in found else None for id in ids]


def _from_json(db: sqlite3.Connection, query: str, asked: str) -> list[list[Any]]:
    (text,) = db.execute(query, (asked,)).fetchone()
    rows: list[list[Any]] = orjson.loads(text)
    return rows


def of_job(db: sqlite3.Connection, job_id: str, limit: int, offset: int, statuses: frozenset[Status] | None) -> list[Execution]:
    """A job's executions (with these statuses), newest first."""
    index, wanted = "", ""
    if statuses is not None:
        wanted = f"AND {_one_of(statuses)}"
    if statuses and statuses <= UNDER_WAY:
        index, wanted = _IN_UNDER_WAY, f"{wanted} AND {UNDER_WAY_SQL}"  # this walk is short even when the job's history is long
    query = f"SELECT {_ALL} FROM executions {index} WHERE job_id = ? {wanted} {_NEWEST} LIMIT ? OFFSET ?"
    return filled(lambda count: fetched(db, query, (job_id, count, offset)), limit, _execution)


def last_started(db: sqlite3.Connection, job_id: str) -> Execution | None:
    """A job's newest execution that has started."""
    query = f"SELECT {_ALL} FROM executions WHERE job_id = ? AND started_at IS NOT NULL {_NEWEST} LIMIT 1"
    rows = db.execute(query, (job_id,)).fetchall()
    return _execution(rows[0]) if rows else None


def latest(db: sqlite3.Connection, job_ids: Sequence[str]) -> dict[str, Execution]:
    """For each job, its newest execution under way, or else its newest."""
    found = readable(fetched(db, _LATEST, (orjson.dumps(list(job_ids)).decode(),)), _execution)
    return {execution.job_id: execution for execution in found}


def in_statuses(db: sqlite3.Connection, statuses: frozenset[Status], limit: int, after: tuple[int, str] | None) -> list[Execution]:
    """Executions with one of these statuses, by (scheduled_for, id): a walk along the index for each status, merged."""
    if not statuses:
        return []
    walk = f"SELECT {_ALL} FROM executions WHERE status = ? AND (scheduled_for, id) > (?, ?)"
    query = " UNION ALL ".join([walk] * len(statuses)) + " ORDER BY scheduled_for, id LIMIT ?"
    given = [value for status in sorted(statuses) for value in (status.value, *(after or FIRST))]
    return filled(lambda count: fetched(db, query, (*given, count)), limit, _execution)


def unsettled(db: sqlite3.Connection, limit: int) -> list[Execution]:
    """Final executions that are not settled yet, oldest first."""
    query = f"""SELECT {_ALL} FROM executions INDEXED BY executions_unsettled
        WHERE settled = 0 AND {ENDED_SQL} ORDER BY finished_at, id LIMIT ?"""
    return filled(lambda count: fetched(db, query, (count,)), limit, _execution)


def uncleaned(db: sqlite3.Connection, limit: int, after: tuple[int, str] | None) -> list[Execution]:
    """Settled executions that are not cleaned yet, by (finished_at, id)."""
    query = f"""SELECT {_ALL} FROM executions INDEXED BY executions_uncleaned
        WHERE settled = 1 AND cleaned = 0 AND (finished_at, id) > (?, ?) ORDER BY finished_at, id LIMIT ?"""
    return filled(lambda count: fetched(db, query, (*(after or FIRST), count)), limit, _execution)


def uncleaned_by_host(db: sqlite3.Connection, limit: int) -> list[Uncleaned]:
    """How many of the oldest of these each host has. The index holds the host: to get at it in a row, SQLite would read the row's spec."""
    query = """SELECT host, count(*), min(finished_at) FROM (
        SELECT host, finished_at FROM executions INDEXED BY executions_uncleaned
        WHERE settled = 1 AND cleaned = 0 ORDER BY finished_at, id LIMIT ?) AS one_page GROUP BY host ORDER BY 3, 1"""
    return [Uncleaned(*row) for row in fetched(db, query, (limit,))]


def running_containers(db: sqlite3.Connection, limit: int, tasks: Sequence[str] | None) -> list[RunningContainer]:
    """What runs, of these tasks (None: of all). SQLite takes the image out of the spec, which is a hundred times as long: to read that in
    Python would be costly."""
    seen = "" if tasks is None else " AND task_id IN (SELECT value FROM json_each(:tasks))"
    query = f"""SELECT id, task_id, job_id, host, container_id, CASE WHEN json_valid(spec) THEN spec ->> '$.image' END
        FROM executions INDEXED BY executions_by_status WHERE status = 'running'{seen} ORDER BY scheduled_for, id LIMIT :limit"""
    given = {} if tasks is None else {"tasks": orjson.dumps(tasks).decode()}
    return filled(lambda count: fetched(db, query, {**given, "limit": count}), limit, _container)


def _container(row: Sequence[Any]) -> RunningContainer:
    image = row[-1]
    if not isinstance(image, str) or not image.isascii():
        raise Unreadable(f"execution {row[0]} cannot be read from the store: its spec has no image")
    return RunningContainer(*row)


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
    return execution_of(list(row))
