"""The line in which operations of event loops wait for a thread that runs them, and the way of their answers back to those loops.

What a loop brings in one turn reaches the threads together, and is answered together: to change over between two threads costs far more
than most operations take. Operations of one kind that wait together may also be run as one (``BatchOperation``).
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastlane.errors import StoreDown

Thing = TypeVar("Thing")
Answer = TypeVar("Answer")
Operation = Callable[[sqlite3.Connection], Answer]
Together = Callable[[sqlite3.Connection, Sequence[Thing]], Sequence[Answer]]


@dataclass(slots=True)
class BatchOperation(Generic[Thing, Answer]):
    """An operation on one thing which is run with all others of its kind that wait: ``together`` answers for each thing, in their order.

    Each statement lets go of the interpreter twice, and gets it back from a busy loop only after a while: one statement for 64 changes
    costs half of what 64 take alone, and a fraction of the time (measured).
    """

    thing: Thing
    together: Together[Thing, Answer]

    def __call__(self, db: sqlite3.Connection) -> Answer:
        return self.together(db, [self.thing])[0]


@dataclass(slots=True, eq=False)
class Item:
    """An operation and who waits for it, until when by the loop's clock; then its answer or error."""

    operation: Operation[Any]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    until: float
    answer: Any = None
    error: Exception | None = None

    def resolve(self) -> None:
        """Answers, on the caller's loop, unless the caller has gone."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.answer)
        else:
            self.future.set_exception(self.error)

    def give_up(self, deadline: float) -> None:
        """Its time is over: it is not begun any more, and who waits is told so."""
        if not self.future.done():
            self.future.set_exception(StoreDown(f"the store did not answer within {deadline:g} s"))


class WorkQueue:
    """A line for any number of loops and threads. Each operation has ``deadline`` seconds in all."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._waiting: deque[Item] = deque()
        self._running = 0
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._rung: set[asyncio.AbstractEventLoop] = set()
        self._unanswered: dict[asyncio.AbstractEventLoop, dict[Item, None]] = {}
        self._closed = False

    def run(self, operation: Operation[Answer], most: int) -> "asyncio.Future[Answer]":
        """The operation's answer, from a thread. Its future has what the operation raised, or StoreDown. Raises StoreDown when ``most``
        wait or run already. One whose caller is cancelled, or gives up, before its turn is not run."""
        loop = asyncio.get_running_loop()
        item = Item(operation, loop, loop.create_future(), loop.time() + self._deadline)
        self._put(item, most)
        unanswered = self._unanswered.get(loop)
        if unanswered is None:
            unanswered = self._unanswered[loop] = {}
            loop.call_at(item.until, self._give_up, loop)
        unanswered[item] = None
        return item.future

    def close(self) -> None:
        """No more is let in; threads are told once all that waits is done."""
        with self._lock:
            self._closed = True
            self._changed.notify_all()

    # what the threads call

    def wait(self) -> bool:
        """Returns when there is something to do; False when the line is closed and empty."""
        with self._lock:
            while not self._waiting and not self._closed:
                self._changed.wait()
            return bool(self._waiting)

    def take(self, most: int) -> list[Item]:
        """The next ``most`` that wait, without those whose callers have gone. All of them are to be handed to ``answer``."""
        with self._lock:
            items = [self._waiting.popleft() for _ in range(min(len(self._waiting), most))]
            items = [item for item in items if not item.future.done()]
            self._running += len(items)
            if self._waiting:
                self._changed.notify()
        return items

    def answer(self, items: list[Item]) -> None:
        """Answers each on its own loop, in one call a loop."""
        with self._lock:
            self._running -= len(items)
        by_loop: dict[asyncio.AbstractEventLoop, list[Item]] = {}
        for item in items:
            by_loop.setdefault(item.loop, []).append(item)
        for loop, part in by_loop.items():
            with contextlib.suppress(RuntimeError):  # a loop that was closed has nobody who waits
                loop.call_soon_threadsafe(self._resolve, loop, part)

    def _put(self, item: Item, most: int) -> None:
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
        """Wakes a thread, for all that the loop has brought in this turn."""
        with self._lock:
            self._rung.discard(loop)
            self._changed.notify()

    def _resolve(self, loop: asyncio.AbstractEventLoop, items: list[Item]) -> None:
        unanswered = self._unanswered.get(loop, {})
        for item in items:
            unanswered.pop(item, None)
            item.resolve()

    def _give_up(self, loop: asyncio.AbstractEventLoop) -> None:
        """Gives up what is over its time, and comes back when the next may be: one timer for all that a loop waits for."""
        unanswered = self._unanswered[loop]
        while unanswered and (oldest := next(iter(unanswered))).until <= loop.time():
            del unanswered[oldest]
            oldest.give_up(self._deadline)
        if unanswered:
            loop.call_at(next(iter(unanswered)).until, self._give_up, loop)
        else:
            del self._unanswered[loop]


def perform(db: sqlite3.Connection, items: Sequence[Item]) -> None:
    """Runs the operations, those of one kind together, and notes their answers; raises what one of them raises."""
    kinds: dict[Together[Any, Any], tuple[list[Item], list[Any]]] = {}
    for item in items:
        operation = item.operation
        if isinstance(operation, BatchOperation):
            alike, things = kinds.setdefault(operation.together, ([], []))
            alike.append(item)
            things.append(operation.thing)
        else:
            item.answer = operation(db)
    for together, (alike, things) in kinds.items():
        for item, answer in zip(alike, together(db, things), strict=True):
            item.answer = answer


def join(threads: list[threading.Thread], deadline: float) -> None:
    """Returns when the threads that were started have ended, or after so many seconds each."""
    for thread in threads:
        if thread.ident is not None:
            thread.join(deadline)
