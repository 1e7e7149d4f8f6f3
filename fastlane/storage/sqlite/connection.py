"""Connections to the SQLite file: their settings, waiting for a lock, and the rewriting of a file without its free pages.

Files that an older fastlane made keep the space of deleted rows as free pages, which are reused but never returned. SQLite's VACUUM changes
that. It copies the whole file twice, into a temporary file and into the write-ahead log, and blocks all writers meanwhile. If it ends
half-way, nothing has changed."""

import ctypes
import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from fastlane.errors import FastlaneError
from fastlane.models.access import may_see

JOURNAL_BYTES = 64 * 1024 * 1024
"""The size to which the write-ahead log is truncated after it has grown larger."""
LOG_PAGES = 4_000
"""Pages of the write-ahead log (16 MiB) from which on a commit copies them into the file, if the checkpointer has not done so."""


def connect(path: Path, busy_timeout: float, made_of: type[sqlite3.Connection] = sqlite3.Connection) -> sqlite3.Connection:
    """A connection in autocommit mode. It waits ``busy_timeout`` seconds for a lock, and syncs each commit."""
    db = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, check_same_thread=False, cached_statements=256, factory=made_of)
    try:
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA temp_store = MEMORY")  # what a statement may have to undo goes to a file else, from 16 pages on: 20 µs an INSERT
        db.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
        db.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        db.create_function("visible", 2, may_see, deterministic=True)
    except sqlite3.Error:
        db.close()
        raise
    return db


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


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""``mallopt``'s numbers in glibc's malloc.h."""

KEPT_BYTES = 16 * 1024 * 1024
MAPPED_BYTES = 1024 * 1024


def keep_freed_memory() -> None:
    """Lets this process keep up to 16 MiB of freed memory, where the C library is glibc; elsewhere it does nothing.

    SQLite allocates and frees some hundred kilobytes for each UPDATE that has a RETURNING or a savepoint. When they are at the end of the
    heap, glibc returns them to the kernel every time and gets them again page by page: 78 page faults and 200 µs for a change that
    otherwise takes 40 µs (measured, Debian 13).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)


COMPACTION_INSTRUCTIONS = 1_000_000
"""Instructions of SQLite between two signs of progress."""


def compact(path: Path, patience: float, progress: Callable[[], None]) -> tuple[int, int]:
    """Rewrites the file. Returns its size before and after, in bytes. Waits ``patience`` seconds for the lock. Raises FastlaneError when
    there is too little free disk, or when the file cannot be rewritten now."""
    before = path.stat().st_size
    os.environ["SQLITE_TMPDIR"] = str(path.parent)  # the temporary file may be as large as this one: not into a small /tmp
    try:
        with closing(connect(path, patience)) as db:
            _check_room(db, path)
            db.set_progress_handler(progress, COMPACTION_INSTRUCTIONS)
            db.execute("PRAGMA temp_store = FILE")
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            execute_patiently(db, "VACUUM", patience)
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.OperationalError as error:
        words = "another process writes to it all the time; stop the servers and workers that use it" if is_busy(error) else str(error)
        raise FastlaneError(f"{path} cannot be rewritten: {words}") from error
    return before, path.stat().st_size


def _check_room(db: sqlite3.Connection, path: Path) -> None:
    pages, free, size = (int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size"))
    needed, there = 2 * (pages - free) * size, shutil.disk_usage(path.parent).free
    if there < needed:
        words = f"{needed >> 20:,} MiB must be free there for the time being, and {there >> 20:,} MiB are"
        raise FastlaneError(f"the disk of {path} is too full to rewrite it: {words}")
