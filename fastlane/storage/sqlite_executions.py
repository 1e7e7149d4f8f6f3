"""Executions in the SQLite file: a change as one UPDATE that has its rule as condition, and the lists, each along an index."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

from fastlane.models.execution import Execution
from fastlane.models.status import UNDER_WAY, Change, Rule, Status
from fastlane.storage.documents import EXECUTION_FIELDS, execution_from
from fastlane.storage.sqlite_jobs import FIRST, insert_into
from fastlane.storage.sqlite_schema import ENDED as ENDED_SQL
from fastlane.storage.sqlite_schema import UNDER_WAY as UNDER_WAY_SQL

_ALL = ", ".join(EXECUTION_FIELDS)
_INSERT = insert_into("executions", EXECUTION_FIELDS)
_INSERT_ATTEMPT = f"""INSERT INTO executions ({_ALL}) SELECT {", ".join("?" * len(EXECUTION_FIELDS))}
    WHERE EXISTS (SELECT 1 FROM ticks WHERE id = ?) ON CONFLICT (id) DO NOTHING"""
_QUALIFIED = ", ".join(f"executions.{field}" for field in EXECUTION_FIELDS)
_IN_UNDER_WAY = "INDEXED BY executions_under_way"
_NEWEST = "ORDER BY sequence DESC, attempt DESC"

_LATEST = f"""SELECT {_QUALIFIED} FROM json_each(?) AS wanted CROSS JOIN executions ON executions.rowid = coalesce(
    (SELECT rowid FROM executions {_IN_UNDER_WAY} WHERE job_id = wanted.value AND {UNDER_WAY_SQL} {_NEWEST} LIMIT 1),
    (SELECT rowid FROM executions WHERE job_id = wanted.value {_NEWEST} LIMIT 1))"""


def insert(db: sqlite3.Connection, execution: Mapping[str, Any]) -> None:
    """An execution's row."""
    db.execute(_INSERT, tuple(execution.values()))


def insert_attempt(db: sqlite3.Connection, execution: Mapping[str, Any]) -> bool:
    """A row for one more attempt at a tick that is there, unless there is one with its id."""
    return db.execute(_INSERT_ATTEMPT, (*execution.values(), execution["tick_id"])).rowcount == 1


def apply(db: sqlite3.Connection, change: Change, values: Mapping[str, Any]) -> Execution | None:
    """The execution after the change, whose values are given as they are stored; None when its condition does not hold and it was not
    applied before."""
    given = {**values, "op": change.op, "where_id": change.execution_id, "where_epoch": change.epoch}
    update = _update(change.rule, change.epoch is not None, tuple(values))
    rows = db.execute(update, given).fetchall()
    if not rows:
        repeat = f"SELECT {_ALL} FROM executions WHERE id = ? AND op = ?"
        rows = db.execute(repeat, (change.execution_id, change.op)).fetchall()
    return _execution(rows[0]) if rows else None


def get(db: sqlite3.Connection, execution_id: str) -> Execution | None:
    """One execution."""
    rows = db.execute(f"SELECT {_ALL} FROM executions WHERE id = ?", (execution_id,)).fetchall()
    return _execution(rows[0]) if rows else None


def of_job(db: sqlite3.Connection, job_id: str, limit: int, offset: int, statuses: frozenset[Status] | None) -> list[Execution]:
    """A job's executions (of these statuses), newest first."""
    index, wanted = "", ""
    if statuses is not None:
        wanted = f"AND {_one_of(statuses)}"
    if statuses and statuses <= UNDER_WAY:
        index, wanted = _IN_UNDER_WAY, f"{wanted} AND {UNDER_WAY_SQL}"  # however long the job's history, this walk is short
    query = f"SELECT {_ALL} FROM executions {index} WHERE job_id = ? {wanted} {_NEWEST} LIMIT ? OFFSET ?"
    return _executions(db.execute(query, (job_id, limit, offset)))


def last_started(db: sqlite3.Connection, job_id: str) -> Execution | None:
    """A job's newest execution that has started."""
    query = f"SELECT {_ALL} FROM executions WHERE job_id = ? AND started_at IS NOT NULL {_NEWEST} LIMIT 1"
    rows = _executions(db.execute(query, (job_id,)))
    return rows[0] if rows else None


def latest(db: sqlite3.Connection, job_ids: Sequence[str]) -> dict[str, Execution]:
    """Of each job: its newest execution under way, or else its newest."""
    found = _executions(db.execute(_LATEST, (orjson.dumps(list(job_ids)).decode(),)))
    return {execution.job_id: execution for execution in found}


def in_statuses(db: sqlite3.Connection, statuses: frozenset[Status], limit: int, after: tuple[int, str] | None) -> list[Execution]:
    """Executions with one of these statuses, by (scheduled_for, id): one walk along the index a status, merged."""
    if not statuses:
        return []
    one = f"SELECT {_ALL} FROM executions WHERE status = ? AND (scheduled_for, id) > (?, ?)"
    query = " UNION ALL ".join([one] * len(statuses)) + " ORDER BY scheduled_for, id LIMIT ?"
    given = [value for status in sorted(statuses) for value in (status.value, *(after or FIRST))]
    return _executions(db.execute(query, (*given, limit)))


def unsettled(db: sqlite3.Connection, limit: int) -> list[Execution]:
    """Final executions that are not settled yet, oldest first."""
    query = f"""SELECT {_ALL} FROM executions INDEXED BY executions_unsettled
        WHERE settled = 0 AND {ENDED_SQL} ORDER BY finished_at, id LIMIT ?"""
    return _executions(db.execute(query, (limit,)))


def uncleaned(db: sqlite3.Connection, limit: int) -> list[Execution]:
    """Settled executions that are not cleaned yet, oldest first."""
    query = f"""SELECT {_ALL} FROM executions INDEXED BY executions_uncleaned
        WHERE settled = 1 AND cleaned = 0 ORDER BY finished_at, id LIMIT ?"""
    return _executions(db.execute(query, (limit,)))


@lru_cache(maxsize=256)
def _update(rule: Rule, fenced: bool, names: tuple[str, ...]) -> str:
    """The UPDATE of a change: ``Change.permitted`` as SQL. The names are known to be columns."""
    conditions = ["id = :where_id", _one_of(rule.sources)]
    if fenced:
        conditions.append("epoch = :where_epoch")
    if rule.bound is not None:
        conditions.append("service_id IS NOT NULL" if rule.bound else "service_id IS NULL")
    if rule.unstopped:
        conditions.append("stop_requested_at IS NULL")
    if rule.settled is not None:
        conditions.append(f"settled = {int(rule.settled)}")
    assignments = ", ".join(f"{name} = :{name}" for name in dict.fromkeys((*names, "op")))
    return f"UPDATE executions SET {assignments} WHERE {' AND '.join(conditions)} RETURNING {_ALL}"


def _one_of(statuses: Iterable[Status]) -> str:
    return f"status IN ({', '.join(repr(status.value) for status in sorted(statuses))})"


def _executions(cursor: sqlite3.Cursor) -> list[Execution]:
    return [_execution(row) for row in cursor.fetchall()]


def _execution(row: Sequence[Any]) -> Execution:
    return execution_from(dict(zip(EXECUTION_FIELDS, row, strict=True)))
