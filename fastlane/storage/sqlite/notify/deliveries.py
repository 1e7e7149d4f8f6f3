"""Statements for deliveries. Those that are to be sent are found by an index that has no others."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson

from fastlane.models.delivery import Delivery
from fastlane.storage.notices import DELIVERY_COLUMNS, DELIVERY_FIELDS, by_execution, delivery_from
from fastlane.storage.readable import readable
from fastlane.storage.sqlite.rows import fetched, filled, insert_into
from fastlane.storage.sqlite.schema import TO_SEND

_ALL = ", ".join(DELIVERY_FIELDS)
_INSERT = f"{insert_into('deliveries', DELIVERY_COLUMNS)} ON CONFLICT (id) DO NOTHING"
_UPDATE = f"UPDATE deliveries SET {', '.join(f'{name} = ?' for name in DELIVERY_COLUMNS)} WHERE id = ? AND version = ?"
_OF_EXECUTION = f"SELECT {_ALL} FROM deliveries INDEXED BY deliveries_of_execution WHERE execution_id = ? ORDER BY id LIMIT ?"
_OF_ALL = f"""SELECT {", ".join(f"deliveries.{name}" for name in DELIVERY_FIELDS)} FROM json_each(?) AS asked
    CROSS JOIN deliveries INDEXED BY deliveries_of_execution ON deliveries.execution_id = asked.value"""
_DUE = f"""SELECT {_ALL} FROM deliveries INDEXED BY deliveries_due WHERE {TO_SEND} AND due <= :now
    AND origin NOT IN (SELECT value FROM json_each(:without)) ORDER BY due, id LIMIT :limit"""
MOST = 1_000
"""Deliveries of an execution that are read: more than there can be."""


def insert(db: sqlite3.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts those whose ids no row has."""
    db.executemany(_INSERT, [tuple(row.values()) for row in rows])


def get(db: sqlite3.Connection, delivery_id: str) -> Delivery | None:
    """One delivery."""
    rows = fetched(db, f"SELECT {_ALL} FROM deliveries WHERE id = ?", (delivery_id,))
    return _delivery(rows[0]) if rows else None


def of_execution(db: sqlite3.Connection, execution_id: str) -> Sequence[Delivery]:
    """Those of an execution, by id."""
    return filled(lambda count: fetched(db, _OF_EXECUTION, (execution_id, count)), MOST, _delivery)


def of_all(db: sqlite3.Connection, ids: Sequence[str]) -> dict[str, list[Delivery]]:
    """Those of each of these executions, by id."""
    return by_execution(readable(fetched(db, _OF_ALL, (orjson.dumps(list(ids)).decode(),)), _delivery))


def due(db: sqlite3.Connection, now: int, limit: int, without: Collection[str]) -> Sequence[Delivery]:
    """Those that are due, but for those to these origins."""
    given = {"now": now, "without": orjson.dumps(sorted(without)).decode()}
    return filled(lambda count: fetched(db, _DUE, {**given, "limit": count}), limit, _delivery)


def write(db: sqlite3.Connection, row: Mapping[str, Any]) -> bool:
    """Writes a version of a delivery after the one before it."""
    return db.execute(_UPDATE, (*row.values(), row["id"], row["version"] - 1)).rowcount == 1


def drop(db: sqlite3.Connection, delivery_id: str) -> None:
    """Deletes one."""
    db.execute("DELETE FROM deliveries WHERE id = ?", (delivery_id,))


def _delivery(row: Sequence[Any]) -> Delivery:
    return delivery_from(dict(zip(DELIVERY_FIELDS, row, strict=True)))
