"""The connections that read the SQLite file, each on its own thread. Readers and the writer never wait for each other."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable

import structlog

from fastlane.storage.sqlite.writer import OPERATION_ERRORS, Answer, BatchOperation, QueuedOperation, WorkQueue, join, perform, translated

log = structlog.get_logger()

THREADS = 4
MAX_WAITING = 1024
MAX_BATCH = 64
"""Waiting reads that one thread takes at once; other threads take the rest."""
INSTRUCTIONS = 50_000
"""How many of SQLite's instructions (about a millisecond's worth) run between two checks whether anyone still waits for the read."""


class Readers:
    """Owns the threads and their connections. A call takes ``deadline`` seconds at most; then, and when its caller is cancelled, the read
    is interrupted. At most ``MAX_WAITING`` reads wait or run. ``advice`` is told to a caller whose read takes too long."""

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        deadline: float,
        *,
        threads: int = THREADS,
        batch: int = MAX_BATCH,
        name: str = "sqlite-reader",
        advice: str = "",
    ) -> None:
        self._connect = connect
        self._deadline = deadline
        self._batch = batch
        self._queue = WorkQueue(deadline, advice)
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(threads)]

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
            items = self._queue.take(self._batch)
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
                    _read_while_wanted(db, item)
                self._queue.answer(others)
        if db is not None:
            db.close()

    def _open(self) -> sqlite3.Connection:
        db = self._connect()
        db.execute("PRAGMA query_only = ON")
        return db


def split(items: list[QueuedOperation]) -> tuple[list[QueuedOperation], list[QueuedOperation]]:
    """The quick operations, which run in batches, and the others, which run alone and do not delay these."""
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


def _read_while_wanted(db: sqlite3.Connection, item: QueuedOperation) -> None:
    """Reads until nobody waits for the answer any more: a read that takes too long must not keep its thread from others."""
    db.set_progress_handler(item.is_given_up, INSTRUCTIONS)
    try:
        _read_alone(db, item)
    finally:
        db.set_progress_handler(None, 0)


def _read_alone(db: sqlite3.Connection, item: QueuedOperation) -> None:
    try:
        item.answer = item.operation(db)
    except OPERATION_ERRORS as error:
        item.error = translated(error)
    except Exception as error:  # the thread's outermost frame
        log.exception("store.query_failed")
        item.error = error
