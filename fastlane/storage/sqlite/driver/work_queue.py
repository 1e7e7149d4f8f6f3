"""The queue in which operations from event loops wait for a thread that runs them, and the way of their answers back to those loops.

What a loop queues in one turn reaches the threads together and is answered together, because switching between two threads costs far more
than most operations take. Waiting operations of one type may also run as one (``BatchOperation``).
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from fastlane.errors import ReadTooLong, StoreDown

Input = TypeVar("Input")
Answer = TypeVar("Answer")
Operation = Callable[[sqlite3.Connection], Answer]
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

    operation: Operation[Any]
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

    def run(self, operation: Operation[Answer], most: int) -> "asyncio.Future[Answer]":
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


def perform(db: sqlite3.Connection, items: Sequence[QueuedOperation]) -> None:
    """Runs the operations, those of one batch together, and keeps their answers. Raises what one of them raises."""
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
