"""The connections that read the SQLite file, each on a thread: reads never wait for the writer, nor it for them."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable

import structlog

from fastlane.errors import FastlaneError
from fastlane.storage.sqlite_line import Answer, Line, join
from fastlane.storage.sqlite_writer import translated

log = structlog.get_logger()

THREADS = 4
MAX_WAITING = 1024
MAX_BATCH = 32
"""So many of the reads that wait one thread takes at once; others take the rest."""


class Readers:
    """Owns the threads and their connections. ``deadline`` bounds each call, in seconds; at most ``MAX_WAITING`` reads wait or run."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], deadline: float) -> None:
        self._connect = connect
        self._deadline = deadline
        self._line = Line(deadline)
        self._threads = [threading.Thread(target=self._work, name=f"sqlite-reader-{number}", daemon=True) for number in range(THREADS)]

    def start(self) -> None:
        """Starts the threads."""
        for thread in self._threads:
            thread.start()

    async def run(self, query: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """The query's answer. Raises what it raised, or StoreDown."""
        return await self._line.run(query, MAX_WAITING)

    async def close(self) -> None:
        """Lets what waits and runs end, for ``deadline`` seconds a thread at most."""
        self._line.close()
        await asyncio.to_thread(join, self._threads, self._deadline)

    def _work(self) -> None:
        db: sqlite3.Connection | None = None
        while self._line.wait():
            items = self._line.take(MAX_BATCH)
            for item in items:
                try:
                    db = db or self._open()
                    item.answer = item.operation(db)
                except (FastlaneError, sqlite3.Error) as error:
                    item.error = translated(error)
                except Exception as error:  # the thread's outermost frame: a mistake in one query must not end it
                    log.exception("store.query_failed")
                    item.error = error
            self._line.answer(items)
        if db is not None:
            db.close()

    def _open(self) -> sqlite3.Connection:
        db = self._connect()
        db.execute("PRAGMA query_only = ON")
        return db
