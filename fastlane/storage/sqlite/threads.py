"""The threads of a process that use the SQLite file: ``Writer``, ``Readers`` and ``Checkpointer``, and the queue in which operations wait
for a thread (``WorkQueue``).

All operations that wait for the writer go into one transaction (a group commit). An operation must be a pure function of its connection,
because it may run twice. A group runs without savepoints first. When an operation fails, the whole group is rolled back and runs again,
each operation under a savepoint, so that only the failing one is undone. (Savepoints are not used at first because each costs as much as
the writes under it: SQLite keeps every page that changes.) Operations are answered after the commit: what was answered is on disk, and
after a failed commit nothing is.

Operations that an event loop queues in one turn reach the threads together and are answered together, because switching between two threads
costs far more than most operations take. Waiting operations of one type may also run as one (``BatchOperation``).

The checkpointer copies the write-ahead log into the file, so that no commit has to wait for that. SQLite by itself does it in the commit
that makes the log longer than 1,000 pages, which are the commits of some 20 jobs: one start in thirty waited for it. While this thread
copies, other connections read and write. When they write so fast that the log is never copied whole, it grows until a commit has to copy
the rest (``connection.LOG_PAGES``).

Each reader has a connection on its own thread. Readers and the writer never wait for each other.
"""

import asyncio
import contextlib
import sqlite3
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import structlog

from fastlane.errors import Conflict, FastlaneError, ReadTooLong, StoreDown
from fastlane.storage.sqlite.connection import execute_patiently

Input = TypeVar("Input")
Answer = TypeVar("Answer")
DatabaseCall = Callable[[sqlite3.Connection], Answer]
RunBatch = Callable[[sqlite3.Connection, Sequence[Input]], Sequence[Answer]]


@dataclass(slots=True)
class BatchOperation(Generic[Input, Answer]):
    """An operation that runs together with all waiting ones that have the same ``run_batch``, which answers each input in order.

    Each statement releases the interpreter lock twice, and gets it back from a busy loop only after a while: one statement for 64 changes
    costs half as much as 64 statements, and takes a fraction of the time (measured).
    """

    input: Input
    run_batch: RunBatch[Input, Answer]

    def __call__(self, db: sqlite3.Connection) -> Answer:
        return self.run_batch(db, [self.input])[0]


@dataclass(slots=True, eq=False)
class QueuedOperation:
    """An operation, the future of its caller, and the time (by the loop's clock) at which the caller gives up; later its answer or
    error."""

    operation: DatabaseCall[Any]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    until: float
    answer: Any = None
    error: Exception | None = None

    def resolve(self) -> None:
        """Answers the caller, unless it is gone. Runs on the caller's loop."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.answer)
        else:
            self.future.set_exception(self.error)

    def is_given_up(self) -> bool:
        """Whether the caller no longer waits. Any thread may ask."""
        return self.future.done()

    def give_up(self, error: StoreDown) -> None:
        """Tells the caller that its time is over; the operation does not begin any more."""
        if not self.future.done():
            self.future.set_exception(error)


class WorkQueue:
    """A queue for any number of loops and threads. Each operation has ``deadline`` seconds in total; ``advice`` is for a caller whose
    operation took longer."""

    def __init__(self, deadline: float, advice: str = "") -> None:
        self._deadline = deadline
        words = f"the store did not answer within {deadline:g} s"
        self._late = partial(ReadTooLong, f"{words}; {advice}") if advice else partial(StoreDown, words)
        self._waiting: deque[QueuedOperation] = deque()
        self._running = 0
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._rung: set[asyncio.AbstractEventLoop] = set()
        self._unanswered: dict[asyncio.AbstractEventLoop, dict[QueuedOperation, None]] = {}
        self._closed = False

    def run(self, operation: DatabaseCall[Answer], most: int) -> "asyncio.Future[Answer]":
        """Queues an operation. The future gets its answer, or what it raised, or StoreDown. Raises StoreDown when ``most`` operations wait
        or run already. An operation whose caller is cancelled or gives up before its turn does not run."""
        loop = asyncio.get_running_loop()
        item = QueuedOperation(operation, loop, loop.create_future(), loop.time() + self._deadline)
        self._put(item, most)
        unanswered = self._unanswered.get(loop)
        if unanswered is None:
            unanswered = self._unanswered[loop] = {}
            loop.call_at(item.until, self._give_up, loop)
        unanswered[item] = None
        return item.future

    def close(self) -> None:
        """Accepts no more operations; threads end when those that wait are done."""
        with self._lock:
            self._closed = True
            self._changed.notify_all()

    # what the threads call

    def wait(self) -> bool:
        """Returns when there is something to do; False when the queue is closed and empty."""
        with self._lock:
            while not self._waiting and not self._closed:
                self._changed.wait()
            return bool(self._waiting)

    def take(self, most: int) -> list[QueuedOperation]:
        """Takes up to ``most`` waiting operations, without those whose callers are gone. Pass all of them to ``answer``."""
        with self._lock:
            items = [self._waiting.popleft() for _ in range(min(len(self._waiting), most))]
            items = [item for item in items if not item.is_given_up()]
            self._running += len(items)
            if self._waiting:
                self._changed.notify()
        return items

    def answer(self, items: list[QueuedOperation]) -> None:
        """Answers each operation on its loop, with one call for each loop."""
        with self._lock:
            self._running -= len(items)
        for item in items:
            if item.error is not None:
                let_go(item.error)
        by_loop: dict[asyncio.AbstractEventLoop, list[QueuedOperation]] = {}
        for item in items:
            by_loop.setdefault(item.loop, []).append(item)
        for loop, answered in by_loop.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed: no caller waits on it
                loop.call_soon_threadsafe(self._resolve, loop, answered)

    def _put(self, item: QueuedOperation, most: int) -> None:
        with self._lock:
            if self._closed:
                raise StoreDown("the store is closed")
            if len(self._waiting) + self._running >= most:
                raise StoreDown(f"{most} operations wait for the store already")
            self._waiting.append(item)
            rung = item.loop in self._rung
            self._rung.add(item.loop)
        if not rung:
            item.loop.call_soon(self._ring, item.loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wakes a thread for all that the loop has queued in this turn."""
        with self._lock:
            self._rung.discard(loop)
            self._changed.notify()

    def _resolve(self, loop: asyncio.AbstractEventLoop, items: list[QueuedOperation]) -> None:
        unanswered = self._unanswered.get(loop, {})
        for item in items:
            unanswered.pop(item, None)
            item.resolve()

    def _give_up(self, loop: asyncio.AbstractEventLoop) -> None:
        """Gives up operations that are out of time, and comes back when the next one may be: a loop has one timer for all of them."""
        unanswered = self._unanswered[loop]
        while unanswered and (oldest := next(iter(unanswered))).until <= loop.time():
            del unanswered[oldest]
            oldest.give_up(self._late())
        if unanswered:
            loop.call_at(next(iter(unanswered)).until, self._give_up, loop)
        else:
            del self._unanswered[loop]


def let_go(error: BaseException) -> None:
    """Empties the frames in which an error was raised, after they have ended. They hold the rows that were read until then, and the
    operation whose future holds the error: such a cycle stays until a full garbage collection, which is hours away."""
    raised: BaseException | None = error
    while raised is not None:
        traceback.clear_frames(raised.__traceback__)
        raised = raised.__cause__ or raised.__context__


def perform(db: sqlite3.Connection, items: Sequence[QueuedOperation]) -> None:
    """Runs the operations, each batch together, and keeps their answers. Raises what one of them raises."""
    batches: dict[RunBatch[Any, Any], tuple[list[QueuedOperation], list[Any]]] = {}
    for item in items:
        operation = item.operation
        if isinstance(operation, BatchOperation):
            batch, inputs = batches.setdefault(operation.run_batch, ([], []))
            batch.append(item)
            inputs.append(operation.input)
        else:
            item.answer = operation(db)
    for run_batch, (batch, inputs) in batches.items():
        for item, answer in zip(batch, run_batch(db, inputs), strict=True):
            item.answer = answer


def join(threads: list[threading.Thread], deadline: float) -> None:
    """Returns when the threads that were started have ended; waits up to ``deadline`` seconds for each."""
    for thread in threads:
        if thread.ident is not None:
            thread.join(deadline)


log = structlog.get_logger()

OPERATION_ERRORS = (FastlaneError, sqlite3.Error, ValueError, TypeError, OverflowError)
"""Exceptions that fail only the operation that raised them."""

THREADS = 4
MAX_READS = 1024
MAX_READ_BATCH = 64
"""Waiting reads that one thread takes at once; other threads take the rest."""
INSTRUCTIONS = 50_000
"""How many of SQLite's instructions (about a millisecond's worth) run between two checks whether anyone still waits for the read."""

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

    def run(self, operation: DatabaseCall[Answer]) -> "asyncio.Future[Answer]":
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
    """Our exception for one of sqlite3; any other stays as it is. Only passing faults become StoreDown."""
    if not isinstance(error, sqlite3.Error):
        return error
    name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")  # errors of the sqlite3 module itself have none
    if name in {"SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE"}:
        return Conflict(f"the store has it already: {error}")
    if isinstance(error, sqlite3.OperationalError) and name != "SQLITE_ERROR":
        return StoreDown(f"the store cannot be used: {error}")
    return FastlaneError(f"the store refuses this: {error}")


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


class Readers:
    """Owns the threads and their connections. A call takes ``deadline`` seconds at most; then, and when its caller is cancelled, the read
    is interrupted. At most ``MAX_READS`` reads wait or run. A caller whose read takes too long gets ``advice``."""

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        deadline: float,
        *,
        threads: int = THREADS,
        batch: int = MAX_READ_BATCH,
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
        return self._queue.run(query, MAX_READS)

    async def close(self) -> None:
        """Lets the waiting and running reads end; waits up to ``deadline`` seconds for each thread."""
        self._queue.close()
        await asyncio.to_thread(join, self._threads, self._deadline)

    def _work(self) -> None:
        db: sqlite3.Connection | None = None
        while self._queue.wait():
            db = self._read_next(db)
        if db is not None:
            db.close()

    def _read_next(self, db: sqlite3.Connection | None) -> sqlite3.Connection | None:
        """Answers what waits, and returns the connection. No answer is kept then, which may have many MiB, until something waits again."""
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
        return db

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
    """Reads while somebody waits for the answer: a read that takes too long must not keep its thread from others."""
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
