"""An event loop in which nobody waits for time: when everything is quiet, virtual time moves on to the next sleeper.

Quiet is: no task can run, nothing can be read, and no call to a real part (a thread, a socket) is under way.
"""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Stuck(Exception):
    """All is quiet and nobody sleeps: the program waits for something that can never come."""


class Pulse:
    """What the loop must know: how many real calls are under way (``busy``), and what to do when all is quiet."""

    def __init__(self) -> None:
        self.busy = 0
        self.on_quiet: Callable[[], None] = lambda: None
        self._resting: deque[asyncio.Future[None]] = deque()

    async def rest(self) -> None:
        """Returns when no other task can run. The answer of a real call comes after this, or how long that call took would decide what
        happens first."""
        quiet = asyncio.get_running_loop().create_future()
        self._resting.append(quiet)
        await quiet

    def end_rest(self) -> bool:
        """Lets the task go on that has rested longest; False when none rests."""
        while self._resting:
            quiet = self._resting.popleft()
            if not quiet.done():
                quiet.set_result(None)
                return True
        return False


class QuietSelector(selectors.EpollSelector if hasattr(selectors, "EpollSelector") else selectors.DefaultSelector):  # type: ignore[misc]
    """A selector that is asked to wait only when no task can run: then it lets virtual time pass instead."""

    def __init__(self, pulse: Pulse) -> None:
        super().__init__()
        self._pulse = pulse

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is not None and timeout <= 0:
            return list(super().select(0))
        if self._pulse.end_rest():
            return []
        if self._pulse.busy:
            return list(super().select(timeout))
        events = list(super().select(0))
        if not events:
            self._pulse.on_quiet()
        return events


def run(pulse: Pulse, main: Coroutine[Any, Any, T]) -> T:
    """Runs ``main`` to its end on a loop of its own."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(QuietSelector(pulse))) as runner:
        return runner.run(main)
