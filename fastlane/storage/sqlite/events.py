"""Statements for events: recorded ones are rows of their own, the others are read from jobs and executions along indexes by time."""

import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from fastlane.models.event import Event, Source, Span
from fastlane.storage.event_rows import EVENT_FIELDS, READINGS, event_document
from fastlane.storage.sqlite.event_tables import END_NOTED, OF_EXECUTION, OF_JOB, START_NOTED
from fastlane.storage.sqlite.rows import fetched, filled, insert_into

_INSERT = f"{insert_into('events', EVENT_FIELDS)} ON CONFLICT (id) DO NOTHING"
_PRUNE = """DELETE FROM events WHERE rowid IN
    (SELECT rowid FROM events INDEXED BY events_by_time WHERE time < ? ORDER BY time, id LIMIT ?)"""
_TABLES: Mapping[Source, tuple[str, str, str]] = {
    Source.RECORDED: ("events", "events_by_time", "TRUE"),
    Source.CREATED: ("jobs", "jobs_by_creation", "TRUE"),
    Source.ENQUEUED: ("executions", "executions_by_creation", "TRUE"),
    Source.STARTED: ("executions", "executions_by_start", START_NOTED),
    Source.ENDED: ("executions", "executions_by_end", END_NOTED),
}
"""The table of each source, its index by time, and that index's condition."""


def insert(db: sqlite3.Connection, events: Sequence[Event]) -> None:
    """Records those whose ids no row has."""
    if events:
        db.executemany(_INSERT, [tuple(event_document(event).values()) for event in events])


def read(db: sqlite3.Connection, source: Source, span: Span, limit: int) -> Sequence[Event]:
    """The first events of a source in a span."""
    reading = READINGS[source]
    first, last = (span.last, span.first) if span.backwards else (span.first, span.last)
    name, value = _narrowed(span)
    query = _query(source, name, span.backwards)
    given = {"value": value, "from": first.time, "from_id": first.id, "until": last.time, "until_id": last.id}

    def event(row: Sequence[Any]) -> Event:
        return reading.read(dict(zip(reading.columns, row, strict=True)))

    return filled(lambda count: fetched(db, query, {**given, "count": count}), limit, event)


def prune(db: sqlite3.Connection, before: int, limit: int) -> int:
    """Deletes the oldest from before a moment."""
    return db.execute(_PRUNE, (before, limit)).rowcount


def _narrowed(span: Span) -> tuple[str, str | None]:
    for name in ("execution_id", "job_id", "task_id"):
        if (value := getattr(span, name)) is not None:
            return name, value
    return "", None


@lru_cache(maxsize=64)
def _query(source: Source, name: str, backwards: bool) -> str:
    """``name``: the field by which the span is narrowed, if any. A query narrowed to a job or an execution walks its own rows."""
    table, index, condition = _TABLES[source]
    reading = READINGS[source]
    columns = {"": ":value", "task_id": "task_id", "job_id": reading.job, "execution_id": "execution_id"}
    if table == "executions":
        columns["execution_id"] = "id"
        index = {"job_id": "INDEXED BY executions_of_job", "execution_id": ""}.get(name, f"INDEXED BY {index}")
    elif table == "events":
        index = {"job_id": "INDEXED BY events_of_job", "execution_id": "INDEXED BY events_of_execution"}.get(name, f"INDEXED BY {index}")
        condition = {"job_id": OF_JOB, "execution_id": OF_EXECUTION}.get(name, condition)
    else:
        index = "" if name == "job_id" else f"INDEXED BY {index}"
    narrowed = f"{columns[name]} = :value" if name else ":value IS NULL"
    order = "DESC" if backwards else "ASC"
    return f"""SELECT {", ".join(reading.columns)} FROM {table} {index}
        WHERE {narrowed} AND {condition} AND {reading.time} >= :from AND {reading.time} <= :until
        AND ({reading.time}, id) >= (:from, :from_id) AND ({reading.time}, id) <= (:until, :until_id)
        ORDER BY {reading.time} {order}, id {order} LIMIT :count"""
