"""Which queue belongs to the store, which is one row."""

import sqlite3

from fastlane.storage.base import Generation


def generation(db: sqlite3.Connection) -> Generation:
    """The stored generation."""
    return Generation(*db.execute("SELECT number, run_id, builder, since FROM generation").fetchone())


def change(db: sqlite3.Connection, seen: Generation, new: Generation) -> bool:
    """Replaces ``seen`` by ``new``; False when ``seen`` is no longer what is stored."""
    update = """UPDATE generation SET number = ?, run_id = ?, builder = ?, since = ?
        WHERE number = ? AND run_id = ? AND builder IS ? AND since = ?"""
    values = [value for row in (new, seen) for value in (row.number, row.run_id, row.builder, row.since)]
    return db.execute(update, values).rowcount == 1
