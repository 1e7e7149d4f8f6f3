"""The line in which operations of event loops wait for a thread that runs them, and the way of their answers back to those loops.

What a loop brings in one turn reaches the threads together, and is answered together: to change over between two threads costs far more
than most operations take.
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from fastlane.errors import StoreDown

Answer = TypeVar("Answer")
Operation = Callable[[sqlite3.Connection], Answer]


@dataclass(slots=True)
class Item:
    """An operation and who waits for it; then its answer or error."""

    operation: Operation[Any]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
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


class Line:
    """A line for any number of loops and threads. Each operation has ``deadline`` seconds in all."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._waiting: deque[Item] = deque()
        self._running = 0
        self._changed = threading.Condition()
        self._rung: set[asyncio.AbstractEventLoop] = set()
        self._closed = False

    async def run(self, operation: Operation[Answer], most: int) -> Answer:
        """The operation's answer, from a thread. Raises what it raised, or StoreDown: also when ``most`` wait or run already. One
        whose caller is cancelled, or gives up, before its turn is not run."""
        loop = asyncio.get_running_loop()
        item = Item(operation, loop, loop.create_future())
        self._put(item, most)
        timer = loop.call_later(self._deadline, item.give_up, self._deadline)
        try:
            answer: Answer = await item.future
        finally:
            timer.cancel()
        return answer

    def close(self) -> None:
        """No more is let in; threads are told once all that waits is done."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # what the threads call

    def wait(self) -> bool:
        """Returns when there is something to do; False when the line is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return bool(self._waiting)

    def take(self, most: int) -> list[Item]:
        """The next ``most`` that wait, without those whose callers have gone. All of them are to be handed to ``answer``."""
        with self._changed:
            items = [self._waiting.popleft() for _ in range(min(len(self._waiting), most))]
            items = [item for item in items if not item.future.done()]
            self._running += len(items)
            if self._waiting:
                self._changed.notify()
        return items

    def answer(self, items: list[Item]) -> None:
        """Answers each on its own loop, in one call a loop."""
        with self._changed:
            self._running -= len(items)
        by_loop: dict[asyncio.AbstractEventLoop, list[Item]] = {}
        for item in items:
            by_loop.setdefault(item.loop, []).append(item)
        for loop, part in by_loop.items():
            with contextlib.suppress(RuntimeError):  # a loop that was closed has nobody who waits
                loop.call_soon_threadsafe(_resolve, part)

    def _put(self, item: Item, most: int) -> None:
        with self._changed:
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
        with self._changed:
            self._rung.discard(loop)
            self._changed.notify()


def _resolve(items: list[Item]) -> None:
    for item in items:
        item.resolve()


def join(threads: list[threading.Thread], deadline: float) -> None:
    """Returns when the threads that were started have ended, or after so many seconds each."""
    for thread in threads:
        if thread.ident is not None:
            thread.join(deadline)
