"""How a connection to the SQLite file is made, and how it waits for a lock."""

import random
import re
import sqlite3
import time
from pathlib import Path

JOURNAL_BYTES = 64 * 1024 * 1024
"""The size to which the write-ahead log is truncated after it has grown larger."""
LOG_PAGES = 4_000
"""Pages of it (16 MiB) from which on a commit copies them into the file, if ``checkpointer`` has not done so."""


def connect(path: Path, busy_timeout: float, made_of: type[sqlite3.Connection] = sqlite3.Connection) -> sqlite3.Connection:
    """A connection in autocommit mode. It waits ``busy_timeout`` seconds for a lock, and syncs each commit."""
    db = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, check_same_thread=False, cached_statements=256, factory=made_of)
    try:
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA temp_store = MEMORY")  # what a statement may have to undo goes to a file else, from 16 pages on: 20 µs an INSERT
        db.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
        db.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        db.create_function("visible", 2, _visible, deterministic=True)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _visible(pattern: str, task_id: str) -> bool:
    """Whether a pattern matches a task's id: ``visible(pattern, task_id)`` in queries."""
    return re.match(pattern, task_id) is not None


def execute_patiently(db: sqlite3.Connection, statement: str, patience: float) -> None:
    """Executes a statement that takes a lock; tries for ``patience`` seconds while others hold it.

    SQLite's own waiting tries less and less often, down to ten times a second, so that a busy process can keep another out for long, and
    it does not wait at all to switch to the write-ahead log.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            db.execute(statement)
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.0005, 0.0015))
        else:
            return


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Whether another connection has the lock that was needed."""
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
