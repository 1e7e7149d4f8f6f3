"""The one thread of a process that writes the SQLite file: all operations that wait for it go into one transaction (a group commit).

An operation must be a pure function of its connection, because it may run twice. A group runs without savepoints first. When an operation
fails, the whole group is rolled back and runs again, each operation under a savepoint, so that only the failing one is undone. (Savepoints
are not used at first because each costs as much as the writes under it: SQLite keeps every page that changes.) Operations are answered
after the commit: what was answered is on disk, and after a failed commit nothing is.
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable

import structlog

from fastlane.errors import Conflict, FastlaneError, StoreDown
from fastlane.storage.sqlite.driver.connection import execute_patiently
from fastlane.storage.sqlite.driver.work_queue import Answer, Operation, QueuedOperation, WorkQueue, join, perform

log = structlog.get_logger()

OPERATION_ERRORS = (FastlaneError, sqlite3.Error, ValueError, TypeError, OverflowError)
"""Exceptions that fail only the operation that raised them."""

MAX_WAITING = 4096
MAX_BATCH = 256

BeforeCommit = Callable[[sqlite3.Connection], None]
AfterCommit = Callable[[], None]


def _nothing(*_args: sqlite3.Connection) -> None:
    """Adds nothing to a transaction, and does nothing after it."""


class Writer:
    """Owns the thread and its connection. A transaction waits ``patience`` seconds for other processes; a call takes ``deadline`` seconds
    at most; at most ``MAX_WAITING`` operations wait or run. ``before_commit`` is called at the end of each transaction that changed
    anything, and ``after_commit`` when the operations of one have been answered."""

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        patience: float,
        deadline: float,
        before_commit: BeforeCommit = _nothing,
        after_commit: AfterCommit = _nothing,
    ) -> None:
        self._before_commit = before_commit
        self._after_commit = after_commit
        self._connect = connect
        self._patience = patience
        self._deadline = deadline
        self._queue = WorkQueue(deadline)
        self._thread = threading.Thread(target=self._work, name="sqlite-writer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def run(self, operation: Operation[Answer]) -> "asyncio.Future[Answer]":
        """Queues an operation. The future gets its answer once it is committed, or what it raised, or StoreDown. An operation whose caller
        is cancelled or gives up before its turn does not run. Raises StoreDown when too many wait."""
        return self._queue.run(operation, MAX_WAITING)

    async def close(self) -> None:
        """Commits the waiting operations and ends the thread."""
        self._queue.close()
        await asyncio.to_thread(join, [self._thread], self._deadline)

    def _work(self) -> None:
        db: sqlite3.Connection | None = None
        while self._queue.wait():
            try:
                db = db or self._open()
                execute_patiently(db, "BEGIN IMMEDIATE", self._patience)
            except (sqlite3.Error, OSError) as error:
                items = self._queue.take(MAX_WAITING)
                _fail(items, error)
                self._queue.answer(items)
            else:
                # BEGIN may have waited for another process: taken after it, the batch has all that came in that time.
                items = self._queue.take(MAX_BATCH)
                _commit(db, items, self._patience, self._before_commit)
                self._queue.answer(items)
                self._after_commit()
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()

    def _open(self) -> sqlite3.Connection:
        db = self._connect()
        db.execute("PRAGMA busy_timeout = 0")  # ``execute_patiently`` waits instead
        return db


def _commit(db: sqlite3.Connection, batch: list[QueuedOperation], patience: float, before_commit: BeforeCommit) -> None:
    """Runs and commits the operations in the transaction that has begun."""
    changes = db.total_changes
    try:
        if not _run_together(db, batch):
            db.execute("ROLLBACK")
            execute_patiently(db, "BEGIN IMMEDIATE", patience)
            _run_apart(db, batch)
        if db.total_changes != changes:  # otherwise nothing is written, and nothing need be synced
            before_commit(db)
        db.execute("COMMIT")
    except (sqlite3.Error, StoreDown) as error:
        _fail(batch, error)
    except Exception as error:  # the thread's outermost frame: a mistake in an operation must not end it
        log.exception("store.operation_failed")
        _fail(batch, error)
    if db.in_transaction:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")


def _fail(batch: list[QueuedOperation], error: Exception) -> None:
    """Answers all of them with StoreDown: nothing was written."""
    for item in batch:
        item.error = StoreDown(f"the store cannot be written: {error}")


def _run_together(db: sqlite3.Connection, batch: list[QueuedOperation]) -> bool:
    """Runs the operations; False when one failed and the transaction must be rolled back."""
    try:
        perform(db, batch)
    except OPERATION_ERRORS as error:
        _check_transaction(db, error)
        return False
    return True


def _run_apart(db: sqlite3.Connection, batch: list[QueuedOperation]) -> None:
    """Runs the operations under a savepoint each, so that one that fails is undone alone."""
    for item in batch:
        db.execute("SAVEPOINT operation")
        try:
            item.answer = item.operation(db)
        except OPERATION_ERRORS as error:
            _check_transaction(db, error)
            db.execute("ROLLBACK TO operation")
            item.error = translated(error)
        db.execute("RELEASE operation")


def _check_transaction(db: sqlite3.Connection, error: Exception) -> None:
    """Raises StoreDown when SQLite has rolled back the whole transaction because of this error."""
    if not db.in_transaction:
        raise StoreDown(f"the store cannot be written: {error}") from error


def translated(error: Exception) -> Exception:
    """Our exception for one of sqlite3; any other stays as it is. Only what may pass by itself becomes StoreDown."""
    if not isinstance(error, sqlite3.Error):
        return error
    name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")  # errors of the sqlite3 module itself have none
    if name in {"SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE"}:
        return Conflict(f"the store has it already: {error}")
    if isinstance(error, sqlite3.OperationalError) and name != "SQLITE_ERROR":
        return StoreDown(f"the store cannot be used: {error}")
    return FastlaneError(f"the store refuses this: {error}")
