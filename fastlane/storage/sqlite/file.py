"""One SQLite file, for one machine: any number of processes may share it on a local disk. Writes go through one thread with group commit
(``Writer``), reads through a few others (``Readers``); both are in ``threads``."""

import asyncio
import sqlite3
from pathlib import Path

from fastlane.errors import StoreDown
from fastlane.storage.sqlite.connection import connect, keep_freed_memory
from fastlane.storage.sqlite.migration import Progress, prepare
from fastlane.storage.sqlite.threads import Answer, Checkpointer, DatabaseCall, Readers, Writer

GRACE = 2.0
"""Seconds beyond ``busy_timeout`` after which a call is given up."""

LIST_THREADS, LIST_DEADLINE = 2, 5.0
"""Threads for lists, and the seconds that one may take: a list that grows with what is stored never delays the other reads."""
LIST_ADVICE = "ask for less: one task, a status, a later since; or walk by nextUrl instead of by page numbers"


class SqliteFile:
    """The file at ``path``, in an existing folder. A write waits at most ``busy_timeout`` seconds for other processes; every call ends at
    most ``GRACE`` seconds later, with StoreDown if it must."""

    def __init__(self, path: Path | str, busy_timeout: float) -> None:
        self.path = Path(path)
        self.busy_timeout = busy_timeout
        self._deadline = busy_timeout + GRACE
        self._checkpointer = Checkpointer(self._connect, self._deadline)
        self._writer = Writer(self._connect, busy_timeout, self._deadline, _count_commit, self._checkpointer.count_commit)
        self._readers = Readers(self._connect, self._deadline)
        self._list_readers = Readers(
            self._connect, LIST_DEADLINE, threads=LIST_THREADS, batch=1, name="sqlite-list-reader", advice=LIST_ADVICE
        )

    async def open(self) -> None:
        """Raises FastlaneError for a file that only a newer fastlane may use. A migration has no deadline while it gets on."""
        keep_freed_memory()
        progress = Progress()
        preparation = asyncio.ensure_future(asyncio.to_thread(prepare, self.path, self.busy_timeout, progress))
        try:
            await progress.watch(preparation, self._deadline + self.busy_timeout)
        except (sqlite3.Error, OSError) as error:
            raise StoreDown(f"the store {self.path} cannot be opened: {str(error) or 'no answer in time'}") from error
        self._checkpointer.start()
        self._writer.start()
        self._readers.start()
        self._list_readers.start()

    async def close(self) -> None:
        """Commits what waits, and ends the threads."""
        await self._writer.close()
        await self._checkpointer.close()
        await self._readers.close()
        await self._list_readers.close()

    def write(self, operation: DatabaseCall[Answer]) -> "asyncio.Future[Answer]":
        """The result of an operation, once it is committed."""
        return self._writer.run(operation)

    def read(self, query: DatabaseCall[Answer]) -> "asyncio.Future[Answer]":
        """The result of a query."""
        return self._readers.run(query)

    def list(self, query: DatabaseCall[Answer]) -> "asyncio.Future[Answer]":
        """The result of a query that may take long."""
        return self._list_readers.run(query)

    def _connect(self) -> sqlite3.Connection:
        return connect(self.path, self.busy_timeout)


def _count_commit(db: sqlite3.Connection) -> None:
    """Counts the commit that follows."""
    db.execute("UPDATE version SET commits = commits + 1 WHERE id = 1")
