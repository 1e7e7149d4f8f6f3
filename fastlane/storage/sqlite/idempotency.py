"""Statements for idempotency records (table ``receipts``). A record is written in the transaction of its request's effect."""

import sqlite3
from dataclasses import fields
from operator import attrgetter

from fastlane.errors import Repeated
from fastlane.models.ids import DAY, IdempotencyRecord
from fastlane.storage.sqlite.rows import insert_into

FIELDS = tuple(field.name for field in fields(IdempotencyRecord))
MAX_FORGOTTEN = 100
"""Old records that are deleted with each new one at most."""

_ALL = ", ".join(FIELDS)
_values = attrgetter(*FIELDS)
_INSERT = insert_into("receipts", FIELDS).replace("INSERT", "INSERT OR REPLACE", 1)
_FORGET = "DELETE FROM receipts WHERE key IN (SELECT key FROM receipts WHERE created_at < ? ORDER BY created_at LIMIT ?)"


def insert(db: sqlite3.Connection, record: IdempotencyRecord) -> None:
    """Inserts a record, and deletes some that are older than a day. Raises Repeated when a younger one has its key."""
    refuse_repeat(db, record)
    db.execute(_FORGET, (record.created_at - DAY, MAX_FORGOTTEN))
    db.execute(_INSERT, _values(record))


def refuse_repeat(db: sqlite3.Connection, record: IdempotencyRecord) -> None:
    """Raises Repeated when a record with its key is at most a day old."""
    if get(db, record.key, record.created_at - DAY) is not None:
        raise Repeated("a request with this key had its effect already")


def get(db: sqlite3.Connection, key: str, since: int) -> IdempotencyRecord | None:
    """The record of a key, if it was written at that moment or later."""
    rows = db.execute(f"SELECT {_ALL} FROM receipts WHERE key = ? AND created_at >= ?", (key, since)).fetchall()
    return IdempotencyRecord(*rows[0]) if rows else None
