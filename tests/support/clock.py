"""A clock that tests move by hand: time passes only in ``advance``, and then at once. And one that is wrong."""

import asyncio
import heapq

from fastlane.clock import SystemClock

SETTLING = 50
"""Turns of the event loop in which everything that waits for nothing but memory has come to rest."""


async def settle() -> None:
    """Lets all tasks run until they wait for something. Only for what lives in memory: I/O needs a condition and a deadline."""
    for _ in range(SETTLING):
        await asyncio.sleep(0)


class FakeClock:
    """Virtual time, from ``now`` (milliseconds since 1970) on. A ``Clock``."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self._microseconds = now * 1000
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._asleep = 0
        self._was_set_back = 0

    def now(self) -> int:
        """The moment, in milliseconds since 1970."""
        return self._microseconds // 1000

    def elapsed(self) -> float:
        """The seconds that passed."""
        return (self._microseconds + self._was_set_back) / 1_000_000

    @property
    def sleeping(self) -> int:
        """How many sleeps are waiting for time to pass."""
        return sum(not sign.done() for _, _, sign in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Returns when ``advance`` has come so far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sign: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asleep += 1
        heapq.heappush(self._sleepers, (self._microseconds + round(seconds * 1_000_000), self._asleep, sign))
        await sign

    def step(self) -> bool:
        """Moves on to the next sleeper, and wakes it alone; False when nobody sleeps. For who knows by itself when all is quiet."""
        while self._sleepers:
            due, _, sign = heapq.heappop(self._sleepers)
            if not sign.done():
                self._microseconds = max(self._microseconds, due)
                sign.set_result(None)
                return True
        return False

    def set_back(self, seconds: float) -> None:
        """Shows an earlier time from now on, as a machine's clock that is set. Sleeps last as long as before."""
        step = round(seconds * 1_000_000)
        self._microseconds -= step
        self._was_set_back += step
        self._sleepers = [(due - step, number, sign) for due, number, sign in self._sleepers]

    async def advance(self, seconds: float) -> None:
        """Lets that much time pass: wakes each sleeper at its moment, in order, and lets it do what it then does."""
        end = self._microseconds + round(seconds * 1_000_000)
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, sign = heapq.heappop(self._sleepers)
            if sign.done():
                continue
            self._microseconds = max(self._microseconds, due)
            sign.set_result(None)
            await settle()
        self._microseconds = end


class ShiftedClock:
    """The machine's clock, ``ahead`` by so many milliseconds. A ``Clock``."""

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead
        self._own = SystemClock()

    def now(self) -> int:
        """The moment that it shows."""
        return self._own.now() + self.ahead

    def elapsed(self) -> float:
        """As on any other clock."""
        return self._own.elapsed()

    async def sleep(self, seconds: float) -> None:
        """Takes as long as on any other clock."""
        await self._own.sleep(seconds)
