"""The one thread of a process that writes the SQLite file: everything that waits for it goes into one transaction (a group commit).

An operation is a function of a connection, and nothing but: it may be run twice. A batch is run as it is; when one operation fails, all
of it is undone and run again, each operation under a savepoint of its own, so that one that fails undoes itself alone (a savepoint
costs as much as what stands under it: SQLite keeps every page that changes). Each is answered only after the commit: what was
answered is on disk, and after a failed commit nothing is.
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from fastlane.errors import Conflict, FastlaneError, StoreDown
from fastlane.storage.sqlite_schema import execute_patiently

log = structlog.get_logger()

Answer = TypeVar("Answer")
Operation = Callable[[sqlite3.Connection], Answer]

OPERATION_ERRORS = (FastlaneError, sqlite3.Error, ValueError, TypeError, OverflowError)
"""What an operation may raise and fail alone by."""

MAX_WAITING = 4096
MAX_BATCH = 256


@dataclass(slots=True)
class _Item:
    """An operation and who waits for it; then its answer or error."""

    operation: Operation[Any]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    answer: Any = None
    error: Exception | None = None

    def give_up(self, deadline: float) -> None:
        """Its time is over; what has not begun by then never will."""
        if not self.future.done():
            self.future.set_exception(StoreDown(f"the store did not commit within {deadline:g} s"))

    def resolve(self) -> None:
        """Answers, on the caller's loop, unless the caller has gone."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.answer)
        else:
            self.future.set_exception(self.error)


class Writer:
    """Owns the thread and its connection. A transaction waits ``patience`` seconds for other processes, each call ``deadline`` seconds in
    all; at most ``MAX_WAITING`` operations wait."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], patience: float, deadline: float) -> None:
        self._connect = connect
        self._patience = patience
        self._deadline = deadline
        self._waiting: deque[_Item] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._rung: set[asyncio.AbstractEventLoop] = set()
        self._thread = threading.Thread(target=self._work, name="sqlite-writer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    async def run(self, operation: Operation[Answer]) -> Answer:
        """The operation's answer, once it is committed. Raises what it raised, or StoreDown. One whose caller is cancelled, or
        gives up, before its turn is not run."""
        loop = asyncio.get_running_loop()
        item = _Item(operation, loop, loop.create_future())
        self._put(item)
        timer = loop.call_later(self._deadline, item.give_up, self._deadline)
        try:
            answer: Answer = await item.future
        finally:
            timer.cancel()
        return answer

    async def close(self) -> None:
        """Commits what waits, and ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join, self._deadline)

    def _put(self, item: _Item) -> None:
        with self._changed:
            if self._closed:
                raise StoreDown("the store is closed")
            if len(self._waiting) >= MAX_WAITING:
                raise StoreDown(f"{MAX_WAITING} writes wait for the store already")
            self._waiting.append(item)
            rung = item.loop in self._rung
            self._rung.add(item.loop)
        if not rung:
            item.loop.call_soon(self._ring, item.loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wakes the thread, once for all that a loop brings in one turn: both would take the interpreter from each other all the time."""
        with self._changed:
            self._rung.discard(loop)
            self._changed.notify()

    def _take(self, most: int) -> list[_Item]:
        """The next ``most`` that wait, without those whose callers have gone."""
        with self._changed:
            count = min(len(self._waiting), most)
            items = [self._waiting.popleft() for _ in range(count)]
        return [item for item in items if not item.future.done()]

    def _wait(self) -> bool:
        """Waits for something to do; False when there is nothing left and the writer is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return bool(self._waiting)

    def _work(self) -> None:
        db: sqlite3.Connection | None = None
        while self._wait():
            try:
                db = db or self._open()
                execute_patiently(db, "BEGIN IMMEDIATE", self._patience)
            except (sqlite3.Error, OSError) as error:
                _answer(self._take(MAX_WAITING), error)
            else:
                # Taken only now: BEGIN may have waited for another process, and the batch has all that came meanwhile.
                _commit(db, self._take(MAX_BATCH), self._patience)
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()

    def _open(self) -> sqlite3.Connection:
        db = self._connect()
        db.execute("PRAGMA busy_timeout = 0")  # ``execute_patiently`` waits instead
        return db


def _commit(db: sqlite3.Connection, batch: list[_Item], patience: float) -> None:
    """One group commit: runs and commits the batch in the transaction that has begun, then answers."""
    failure: Exception | None = None
    try:
        if not _run_together(db, batch):
            db.execute("ROLLBACK")
            execute_patiently(db, "BEGIN IMMEDIATE", patience)
            _run_apart(db, batch)
        db.execute("COMMIT")
    except (sqlite3.Error, StoreDown) as error:
        failure = error
    except Exception as error:  # the frame around every operation: a mistake in one must not end the thread
        log.exception("store.operation_failed")
        failure = error
    if db.in_transaction:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
    _answer(batch, failure)


def _run_together(db: sqlite3.Connection, batch: list[_Item]) -> bool:
    """Runs the batch; False when one of it failed: then the transaction must be undone."""
    try:
        for item in batch:
            item.answer = item.operation(db)
    except OPERATION_ERRORS as error:
        _check_transaction(db, error)
        return False
    return True


def _run_apart(db: sqlite3.Connection, batch: list[_Item]) -> None:
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


def _answer(items: list[_Item], failure: Exception | None) -> None:
    """Answers each on its own loop, in one call a loop; with a failure, all of them are told StoreDown."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Item]] = {}
    for item in items:
        if failure is not None:
            item.error = StoreDown(f"the store cannot be written: {failure}")
        by_loop.setdefault(item.loop, []).append(item)
    for loop, part in by_loop.items():
        with contextlib.suppress(RuntimeError):  # a loop that was closed has nobody who waits
            loop.call_soon_threadsafe(_resolve, part)


def _resolve(items: list[_Item]) -> None:
    for item in items:
        item.resolve()


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
