"""Joins calls that are made in the same turn of the loop into one, so that a burst of them costs the queue one script."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from fastlane.errors import QueueDown

T = TypeVar("T")
R = TypeVar("R")


class Coalescer(Generic[T, R]):
    """Hands what many callers bring over together, to ``send``, which answers with something for each thing, in their order. When it
    fails, all of them are told QueueDown."""

    def __init__(self, send: Callable[[Sequence[T]], Awaitable[Sequence[R]]]) -> None:
        self._send = send
        self._things: list[T] = []
        self._callers: list[asyncio.Future[Sequence[R]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def bring(self, things: Sequence[T]) -> Sequence[R]:
        """The answers for these things, once they were handed over. Raises QueueDown."""
        caller: asyncio.Future[Sequence[R]] = asyncio.get_running_loop().create_future()
        start = len(self._things)
        self._things += things
        self._callers.append(caller)
        if len(self._callers) == 1:
            task = asyncio.create_task(self._hand_over(), name="queue-gather")  # it begins when this turn's other callers have come
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        answers = await caller
        return answers[start : start + len(things)]

    async def close(self) -> None:
        """Returns when all calls have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _hand_over(self) -> None:
        things, self._things = self._things, []
        callers, self._callers = self._callers, []
        answers: Sequence[R] | None = None
        failure = "the queue was closed, or failed in a way that nobody foresaw"
        try:
            answers = await self._send(things)
        except QueueDown as error:
            failure = str(error)
        finally:
            for caller in callers:
                if caller.done():
                    continue
                if answers is None:
                    caller.set_exception(QueueDown(failure))
                else:
                    caller.set_result(answers)
