"""The one thread of a process that writes the SQLite file: everything that waits for it goes into one transaction (a group commit).

An operation is a function of a connection, and nothing but: it may be run twice. A batch is run as it is, those of one kind as one; when
one operation fails, all of it is undone and run again, each operation alone under a savepoint of its own, so that one that fails undoes
itself alone (a savepoint costs as much as what stands under it: SQLite keeps every page that changes). Each is answered only after the
commit: what was answered is on disk, and after a failed commit nothing is.
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable

import structlog

from fastlane.errors import Conflict, FastlaneError, StoreDown
from fastlane.storage.sqlite.schema import execute_patiently
from fastlane.storage.sqlite.work_queue import Answer, Item, Operation, WorkQueue, join, perform

log = structlog.get_logger()

OPERATION_ERRORS = (FastlaneError, sqlite3.Error, ValueError, TypeError, OverflowError)
"""What an operation may raise and fail alone by."""

MAX_WAITING = 4096
MAX_BATCH = 256


class Writer:
    """Owns the thread and its connection. A transaction waits ``patience`` seconds for other processes, each call ``deadline`` seconds in
    all; at most ``MAX_WAITING`` operations wait or are under way."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], patience: float, deadline: float) -> None:
        self._connect = connect
        self._patience = patience
        self._deadline = deadline
        self._line = WorkQueue(deadline)
        self._thread = threading.Thread(target=self._work, name="sqlite-writer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def run(self, operation: Operation[Answer]) -> "asyncio.Future[Answer]":
        """The operation's answer, once it is committed, or what it raised, or StoreDown. One whose caller is cancelled, or gives up,
        before its turn is not run. Raises StoreDown when too many wait."""
        return self._line.run(operation, MAX_WAITING)

    async def close(self) -> None:
        """Commits what waits, and ends the thread."""
        self._line.close()
        await asyncio.to_thread(join, [self._thread], self._deadline)

    def _work(self) -> None:
        db: sqlite3.Connection | None = None
        while self._line.wait():
            try:
                db = db or self._open()
                execute_patiently(db, "BEGIN IMMEDIATE", self._patience)
            except (sqlite3.Error, OSError) as error:
                items = self._line.take(MAX_WAITING)
                _fail(items, error)
                self._line.answer(items)
            else:
                # Taken only now: BEGIN may have waited for another process, and the batch has all that came meanwhile.
                items = self._line.take(MAX_BATCH)
                _commit(db, items, self._patience)
                self._line.answer(items)
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()

    def _open(self) -> sqlite3.Connection:
        db = self._connect()
        db.execute("PRAGMA busy_timeout = 0")  # ``execute_patiently`` waits instead
        return db


def _commit(db: sqlite3.Connection, batch: list[Item], patience: float) -> None:
    """One group commit: runs and commits the batch in the transaction that has begun."""
    try:
        if not _run_together(db, batch):
            db.execute("ROLLBACK")
            execute_patiently(db, "BEGIN IMMEDIATE", patience)
            _run_apart(db, batch)
        db.execute("COMMIT")
    except (sqlite3.Error, StoreDown) as error:
        _fail(batch, error)
    except Exception as error:  # the frame around every operation: a mistake in one must not end the thread
        log.exception("store.operation_failed")
        _fail(batch, error)
    if db.in_transaction:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")


def _fail(batch: list[Item], error: Exception) -> None:
    """Nothing of it is written: all of them are told StoreDown."""
    for item in batch:
        item.error = StoreDown(f"the store cannot be written: {error}")


def _run_together(db: sqlite3.Connection, batch: list[Item]) -> bool:
    """Runs the batch; False when one of it failed: then the transaction must be undone."""
    try:
        perform(db, batch)
    except OPERATION_ERRORS as error:
        _check_transaction(db, error)
        return False
    return True


def _run_apart(db: sqlite3.Connection, batch: list[Item]) -> None:
    """Runs the batch; what an operation raises undoes it alone, unless SQLite has undone the whole transaction."""
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
    """Raises StoreDown when SQLite has undone the transaction because of this error."""
    if not db.in_transaction:
        raise StoreDown(f"the store cannot be written: {error}") from error


def translated(error: Exception) -> Exception:
    """One of our exceptions for one of sqlite3's; any other as it is. Only what may pass by itself is StoreDown."""
    if not isinstance(error, sqlite3.Error):
        return error
    name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")  # what the sqlite3 module itself finds wrong has none
    if name in {"SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE"}:
        return Conflict(f"the store has it already: {error}")
    if isinstance(error, sqlite3.OperationalError) and name != "SQLITE_ERROR":
        return StoreDown(f"the store cannot be used: {error}")
    return FastlaneError(f"the store refuses this: {error}")
