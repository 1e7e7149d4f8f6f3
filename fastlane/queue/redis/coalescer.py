"""Joins the calls of one loop turn into one, so that a burst of them costs Redis a single script."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from fastlane.errors import QueueDown

T = TypeVar("T")
R = TypeVar("R")


class Coalescer(Generic[T, R]):
    """Passes the items of many callers to ``send`` together. ``send`` returns a result per item, in order, or nothing for all of them.
    When it fails, every caller gets QueueDown."""

    def __init__(self, send: Callable[[Sequence[T]], Awaitable[Sequence[R]]]) -> None:
        self._send = send
        self._items: list[T] = []
        self._callers: list[asyncio.Future[Sequence[R]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def call(self, items: Sequence[T]) -> Sequence[R]:
        """Sends the items with those of the other callers, and returns their results. Raises QueueDown."""
        caller: asyncio.Future[Sequence[R]] = asyncio.get_running_loop().create_future()
        start = len(self._items)
        self._items += items
        self._callers.append(caller)
        if len(self._callers) == 1:
            task = asyncio.create_task(self._flush(), name="queue-coalescer")  # runs after the other callers of this turn
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        results = await caller
        return results[start : start + len(items)]

    async def close(self) -> None:
        """Waits for the calls under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _flush(self) -> None:
        items, self._items = self._items, []
        callers, self._callers = self._callers, []
        results: Sequence[R] | None = None
        failure = "the queue was closed, or failed unexpectedly"
        try:
            results = await self._send(items)
        except QueueDown as error:
            failure = str(error)
        finally:
            for caller in callers:
                if caller.done():
                    continue
                if results is None:
                    caller.set_exception(QueueDown(failure))
                else:
                    caller.set_result(results)
