"""Which pools are paused, in the SQLite file: one row."""

import sqlite3

import orjson

from fastlane.models.placement.pool import Pauses


def pauses(db: sqlite3.Connection) -> Pauses:
    """The paused pools."""
    revision, names = db.execute("SELECT revision, names FROM pauses").fetchone()
    return Pauses(revision, frozenset(orjson.loads(names)))


def pause(db: sqlite3.Connection, name: str, paused: bool) -> Pauses:
    """Adds a pool to them, or takes it out; what they are then."""
    before = pauses(db)
    names = before.names | {name} if paused else before.names - {name}
    if names == before.names:
        return before
    db.execute("UPDATE pauses SET revision = revision + 1, names = ?", (orjson.dumps(sorted(names)).decode(),))
    return Pauses(before.revision + 1, names)
