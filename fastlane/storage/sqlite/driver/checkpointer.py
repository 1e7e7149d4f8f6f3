"""The thread that copies the write-ahead log into the file, so that no commit has to wait for that.

SQLite by itself does it in the commit that makes the log longer than 1,000 pages, which are the commits of some 20 jobs: one start in
thirty waited for it. While this thread copies, other connections read and write. When they write so fast that the log is never copied
whole, it grows until a commit has to copy the rest (``connection.LOG_PAGES``).
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable

from fastlane.storage.sqlite.driver.work_queue import join

COMMITS = 50
"""Commits of this process between two copies: a commit of one operation writes 6 to 36 pages."""


class Checkpointer:
    """Owns the thread and its connection."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], deadline: float, commits: int = COMMITS) -> None:
        self._connect = connect
        self._deadline = deadline
        self._commits = commits
        self._left = commits
        self._due = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="sqlite-checkpointer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def count_commit(self) -> None:
        """Counts a commit of the writer, whose thread calls this. Never waits."""
        self._left -= 1
        if self._left <= 0:
            self._left = self._commits
            self._due.set()

    async def close(self) -> None:
        """Ends the thread after the copy that is under way."""
        self._closed = True
        self._due.set()
        await asyncio.to_thread(join, [self._thread], self._deadline)

    def _work(self) -> None:
        db: sqlite3.Connection | None = None
        while self._wait():
            # A copy that fails is made up for by the next one, or by the commit that finds the log too long: that one reports the fault.
            with contextlib.suppress(sqlite3.Error, OSError):
                db = db or self._connect()
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        if db is not None:
            db.close()

    def _wait(self) -> bool:
        """Returns when a copy is due; False when the thread is to end."""
        self._due.wait()
        self._due.clear()
        return not self._closed
