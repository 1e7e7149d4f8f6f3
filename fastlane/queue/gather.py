"""Joins calls that are made in the same turn of the loop into one, so that a burst of them costs the queue one script."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from fastlane.errors import QueueDown

T = TypeVar("T")


class Gather(Generic[T]):
    """Hands what many callers bring over together, to ``send``; each returns when that has. When it fails, all of them are told
    QueueDown."""

    def __init__(self, send: Callable[[Sequence[T]], Awaitable[None]]) -> None:
        self._send = send
        self._things: list[T] = []
        self._callers: list[asyncio.Future[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def bring(self, things: Sequence[T]) -> None:
        """Returns once the things were handed over, in the order in which they were brought. Raises QueueDown."""
        caller = asyncio.get_running_loop().create_future()
        self._things += things
        self._callers.append(caller)
        if len(self._callers) == 1:
            task = asyncio.create_task(self._hand_over(), name="queue-gather")  # it begins when this turn's other callers have come
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await caller

    async def close(self) -> None:
        """Returns when all calls have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _hand_over(self) -> None:
        things, self._things = self._things, []
        callers, self._callers = self._callers, []
        failure: str | None = "the queue was closed, or failed in a way that nobody foresaw"
        try:
            await self._send(things)
            failure = None
        except QueueDown as error:
            failure = str(error)
        finally:
            for caller in callers:
                _answer(caller, failure)


def _answer(caller: asyncio.Future[None], failure: str | None) -> None:
    if caller.done():
        return
    if failure is None:
        caller.set_result(None)
    else:
        caller.set_exception(QueueDown(failure))
