"""Something to do every few seconds for each of many connections, by one timer for all: a task and a timer for each would take more memory
than the rest of a follower."""

import asyncio
from collections.abc import Callable

PING_EVERY = 20.0
"""Seconds between pings of a WebSocket while nothing else is sent."""
AT_ONCE = 0.01
"""The share of the interval by which a beat may be late, so that those that are due together need one timer."""


class Heartbeats:
    """Calls each function every ``every`` seconds. Tests set ``every``."""

    def __init__(self, every: float) -> None:
        self.every = every
        self._due: dict[Callable[[], None], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, beat: Callable[[], None]) -> None:
        """Calls it from now on; the first time after a whole interval."""
        self._due[beat] = asyncio.get_running_loop().time() + self.every
        self._set_timer()

    def stop(self, beat: Callable[[], None]) -> None:
        """Calls it no more. Safe to repeat."""
        self._due.pop(beat, None)

    def close(self) -> None:
        """Calls nothing more."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self) -> None:
        first = next(iter(self._due.values()), None)  # all have the same interval, so they are in the order of their times
        if self._timer is None and first is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(first, loop.time() + AT_ONCE * self.every), self._beat)

    def _beat(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for beat, due in list(self._due.items()):
            if due > now:
                break
            if self._due.pop(beat, None) is not None:  # it was not stopped by one before it
                self._due[beat] = now + self.every
                beat()
        self._set_timer()
