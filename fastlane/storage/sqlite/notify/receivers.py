"""Statements for the receivers that fail."""

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple

from fastlane.models.delivery import Receiver
from fastlane.storage.notices import RECEIVER_FIELDS
from fastlane.storage.sqlite.notify import quotas
from fastlane.storage.sqlite.rows import fetched

_ALL = ", ".join(RECEIVER_FIELDS)
_INSERT = f"INSERT OR IGNORE INTO receivers ({_ALL}) VALUES ({', '.join('?' * len(RECEIVER_FIELDS))})"
_UPDATE = f"UPDATE receivers SET {', '.join(f'{name} = ?' for name in RECEIVER_FIELDS)} WHERE id = ? AND version = ?"


def get(db: sqlite3.Connection, receiver_id: str) -> Receiver | None:
    """One receiver."""
    rows = fetched(db, f"SELECT {_ALL} FROM receivers WHERE id = ?", (receiver_id,))
    return Receiver(*rows[0]) if rows else None


def failing(db: sqlite3.Connection, limit: int) -> Sequence[Receiver]:
    """Those that have failed for longest first."""
    query = f"SELECT {_ALL} FROM receivers INDEXED BY receivers_by_age ORDER BY failing_since, id LIMIT ?"
    return [Receiver(*row) for row in fetched(db, query, (limit,))]


def write(db: sqlite3.Connection, receiver: Receiver) -> bool:
    """Writes a version of a row after the one before it."""
    if receiver.version == 1:
        return db.execute(_INSERT, astuple(receiver)).rowcount == 1
    return db.execute(_UPDATE, (*astuple(receiver), receiver.id, receiver.version - 1)).rowcount == 1


def drop(db: sqlite3.Connection, receiver: Receiver) -> bool:
    """Deletes this version of a row."""
    return db.execute("DELETE FROM receivers WHERE id = ? AND version = ?", (receiver.id, receiver.version)).rowcount == 1


def prune(db: sqlite3.Connection, before: int) -> None:
    """Deletes those that failed last before a moment, and the quotas of mails whose last one was before it."""
    quotas.prune(db, before)
    db.execute("DELETE FROM receivers WHERE failed_at < ?", (before,))
