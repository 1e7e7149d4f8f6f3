"""Rewrites a SQLite file without its free pages, and so that it can return free pages to the disk from then on.

Files that an older fastlane made keep what was deleted as free pages, which are only used again. SQLite's VACUUM changes that. It copies
the whole file twice, into a temporary file and into the write-ahead log, and lets nobody write meanwhile. Ended half-way, it has changed
nothing.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from fastlane.errors import FastlaneError
from fastlane.storage.sqlite.driver.connection import connect, execute_patiently, is_busy

INSTRUCTIONS = 1_000_000
"""Instructions of SQLite between two signs of progress."""


def compact(path: Path, patience: float, progress: Callable[[], None]) -> tuple[int, int]:
    """Rewrites the file: its size before and after, in bytes. Waits ``patience`` seconds for the lock. Raises FastlaneError when there is
    too little free disk, or when the file cannot be rewritten now."""
    before = path.stat().st_size
    os.environ["SQLITE_TMPDIR"] = str(path.parent)  # the temporary file may be as large as this one: not into a small /tmp
    try:
        with closing(connect(path, patience)) as db:
            _check_room(db, path)
            db.set_progress_handler(progress, INSTRUCTIONS)
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
