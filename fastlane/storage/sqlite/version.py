"""Statements for the store's id and the number of its commits, which are one row."""

import sqlite3

from fastlane.models.store_version import StoreVersion


def version(db: sqlite3.Connection) -> StoreVersion:
    """How far the store has come."""
    return StoreVersion(*db.execute("SELECT store, commits FROM version WHERE id = 1").fetchone())


def count_commit(db: sqlite3.Connection) -> None:
    """Counts the commit that is to follow."""
    db.execute("UPDATE version SET commits = commits + 1 WHERE id = 1")
