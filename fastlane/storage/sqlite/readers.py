"""The connections that read the SQLite file, each on its own thread. Readers and the writer never wait for each other."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable

import structlog

from fastlane.storage.sqlite.work_queue import Answer, BatchOperation, QueuedOperation, WorkQueue, join, perform
from fastlane.storage.sqlite.writer import OPERATION_ERRORS, translated

log = structlog.get_logger()

THREADS = 4
MAX_WAITING = 1024
MAX_BATCH = 64
"""Waiting reads that one thread takes at once; other threads take the rest."""


class Readers:
    """Owns the threads and their connections. A call takes ``deadline`` seconds at most; at most ``MAX_WAITING`` reads wait or run."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], deadline: float) -> None:
        self._connect = connect
        self._deadline = deadline
        self._queue = WorkQueue(deadline)
        self._threads = [threading.Thread(target=self._work, name=f"sqlite-reader-{number}", daemon=True) for number in range(THREADS)]

    def start(self) -> None:
        """Starts the threads."""
        for thread in self._threads:
            thread.start()

    def run(self, query: Callable[[sqlite3.Connection], Answer]) -> "asyncio.Future[Answer]":
        """Queues a query. The future gets its answer, or what it raised, or StoreDown. Raises StoreDown when too many wait."""
        return self._queue.run(query, MAX_WAITING)

    async def close(self) -> None:
        """Lets the waiting and running reads end; waits up to ``deadline`` seconds for each thread."""
        self._queue.close()
        await asyncio.to_thread(join, self._threads, self._deadline)

    def _work(self) -> None:
        db: sqlite3.Connection | None = None
        while self._queue.wait():
            items = self._queue.take(MAX_BATCH)
            try:
                db = db or self._open()
            except sqlite3.Error as error:
                for item in items:
                    item.error = translated(error)
                self._queue.answer(items)
            else:
                batched, others = split(items)
                _read(db, batched)
                self._queue.answer(batched)
                for item in others:
                    _read_alone(db, item)
                self._queue.answer(others)
        if db is not None:
            db.close()

    def _open(self) -> sqlite3.Connection:
        db = self._connect()
        db.execute("PRAGMA query_only = ON")
        return db


def split(items: list[QueuedOperation]) -> tuple[list[QueuedOperation], list[QueuedOperation]]:
    """The quick operations, which run in batches, and the others, which run alone and do not delay the first."""
    batched = [item for item in items if isinstance(item.operation, BatchOperation)]
    return batched, [item for item in items if not isinstance(item.operation, BatchOperation)]


def _read(db: sqlite3.Connection, items: list[QueuedOperation]) -> None:
    try:
        perform(db, items)
    except OPERATION_ERRORS:  # one of them failed: it shows which when each runs alone
        for item in items:
            _read_alone(db, item)
    except Exception as error:  # the thread's outermost frame: a mistake in one query must not end it
        log.exception("store.query_failed")
        for item in items:
            item.error = error


def _read_alone(db: sqlite3.Connection, item: QueuedOperation) -> None:
    try:
        item.answer = item.operation(db)
    except OPERATION_ERRORS as error:
        item.error = translated(error)
    except Exception as error:  # the thread's outermost frame
        log.exception("store.query_failed")
        item.error = error
