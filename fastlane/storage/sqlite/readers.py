"""The connections that read the SQLite file, each on a thread: reads never wait for the writer, nor it for them."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable

import structlog

from fastlane.storage.sqlite.work_queue import Answer, BatchOperation, Item, WorkQueue, join, perform
from fastlane.storage.sqlite.writer import OPERATION_ERRORS, translated

log = structlog.get_logger()

THREADS = 4
MAX_WAITING = 1024
MAX_BATCH = 64
"""So many of the reads that wait one thread takes at once; others take the rest."""


class Readers:
    """Owns the threads and their connections. ``deadline`` bounds each call, in seconds; at most ``MAX_WAITING`` reads wait or run."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], deadline: float) -> None:
        self._connect = connect
        self._deadline = deadline
        self._line = WorkQueue(deadline)
        self._threads = [threading.Thread(target=self._work, name=f"sqlite-reader-{number}", daemon=True) for number in range(THREADS)]

    def start(self) -> None:
        """Starts the threads."""
        for thread in self._threads:
            thread.start()

    def run(self, query: Callable[[sqlite3.Connection], Answer]) -> "asyncio.Future[Answer]":
        """The query's answer, or what it raised, or StoreDown. Raises StoreDown when too many wait."""
        return self._line.run(query, MAX_WAITING)

    async def close(self) -> None:
        """Lets what waits and runs end, for ``deadline`` seconds a thread at most."""
        self._line.close()
        await asyncio.to_thread(join, self._threads, self._deadline)

    def _work(self) -> None:
        db: sqlite3.Connection | None = None
        while self._line.wait():
            items = self._line.take(MAX_BATCH)
            try:
                db = db or self._open()
            except sqlite3.Error as error:
                for item in items:
                    item.error = translated(error)
                self._line.answer(items)
            else:
                parts, others = apart(items)
                _read(db, parts)
                self._line.answer(parts)
                for item in others:
                    _read_alone(db, item)
                self._line.answer(others)
        if db is not None:
            db.close()

    def _open(self) -> sqlite3.Connection:
        db = self._connect()
        db.execute("PRAGMA query_only = ON")
        return db


def apart(items: list[Item]) -> tuple[list[Item], list[Item]]:
    """Those that are run as one, and are quick; and those that are run each alone, for which the first ones do not wait."""
    parts = [item for item in items if isinstance(item.operation, BatchOperation)]
    return parts, [item for item in items if not isinstance(item.operation, BatchOperation)]


def _read(db: sqlite3.Connection, items: list[Item]) -> None:
    try:
        perform(db, items)
    except OPERATION_ERRORS:  # of one of them: which one is seen when each is run alone
        for item in items:
            _read_alone(db, item)
    except Exception as error:  # the thread's outermost frame: a mistake in one query must not end it
        log.exception("store.query_failed")
        for item in items:
            item.error = error


def _read_alone(db: sqlite3.Connection, item: Item) -> None:
    try:
        item.answer = item.operation(db)
    except OPERATION_ERRORS as error:
        item.error = translated(error)
    except Exception as error:  # the same
        log.exception("store.query_failed")
        item.error = error
