"""Statements for the paused pools, which are one row."""

import sqlite3

import orjson

from fastlane.models.pool import Pauses


def pauses(db: sqlite3.Connection) -> Pauses:
    """The paused pools."""
    revision, names = db.execute("SELECT revision, names FROM pauses").fetchone()
    return Pauses(revision, frozenset(orjson.loads(names)))


def pause(db: sqlite3.Connection, name: str, paused: bool) -> Pauses:
    """Adds a pool to the paused ones, or removes it; the paused pools after it."""
    before = pauses(db)
    names = before.names | {name} if paused else before.names - {name}
    if names == before.names:
        return before
    db.execute("UPDATE pauses SET revision = revision + 1, names = ?", (orjson.dumps(sorted(names)).decode(),))
    return Pauses(before.revision + 1, names)
