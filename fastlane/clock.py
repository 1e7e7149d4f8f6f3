"""A clock that can be injected. Moments are whole milliseconds since 1970 in UTC."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from functools import lru_cache
from typing import Protocol, TypeVar

EPOCH = date(1970, 1, 1)
ROUNDING = 1
"""Milliseconds by which two clocks seem to differ only because each cuts off its fractions."""


class Clock(Protocol):
    """Tells the time and waits. Tests inject a clock that they move themselves."""

    def now(self) -> int:
        """The current moment, in milliseconds since 1970 (UTC)."""

    def elapsed(self) -> float:
        """Seconds since some moment, as ``sleep`` counts them: setting a clock does not change them."""

    async def sleep(self, seconds: float) -> None:
        """Returns after that many seconds of this clock."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def elapsed(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def steady() -> float:
    """Seconds that setting a clock does not change, and that pass while the machine sleeps too."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class AlignedClock:
    """A clock that goes by another one, such as Redis's. Between two answers of the other it counts ``steady`` seconds, so it does not
    notice when the machine's clock is set. Until the first answer it shows the machine's time at its making, counted on."""

    def __init__(self, machine: Clock, steady: Callable[[], float] = steady) -> None:
        self._machine = machine
        self._steady = steady
        self._at_zero = machine.now() - self._counted()

    @property
    def skew(self) -> int:
        """Milliseconds by which this clock is ahead of the machine's."""
        return self.now() - self._machine.now()

    def now(self) -> int:
        return self._at_zero + self._counted()

    def elapsed(self) -> float:
        return self._machine.elapsed()

    async def sleep(self, seconds: float) -> None:
        await self._machine.sleep(seconds)

    async def align(self, ask: Callable[[], Awaitable[int]]) -> None:
        """Asks the other clock for its time (milliseconds), and goes by it from then on. Raises what ``ask`` does."""
        before = self.now()
        theirs = await ask()
        self._at_zero += corrected(0, theirs, before, self.now())

    def _counted(self) -> int:
        return int(self._steady() * 1000)


def corrected(skew: int, theirs: int, before: int, after: int) -> int:
    """How far another clock is ahead of one's own, now that it showed ``theirs`` at a moment between ``before`` and ``after`` of one's own:
    ``skew``, changed only as far as that demands. So the time that an answer takes is not taken for a difference. All in milliseconds."""
    return min(max(skew, theirs - after - ROUNDING), theirs - before + ROUNDING)


def iso(moment: int) -> str:
    """A moment in ISO 8601, in UTC with milliseconds and ``Z`` (RFC 3339), as in every response."""
    days, milliseconds = divmod(moment, 86_400_000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{_date(days)}T{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=1024)
def _date(days: int) -> str:
    """The date that many days after 1970-01-01. Remembered, because the moments in a list are mostly close together."""
    return (EPOCH + timedelta(days)).isoformat()


async def first_of(clock: Clock, seconds: float, *events: asyncio.Event) -> None:
    """Returns when one of the events is set, or after that many seconds of the clock."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    sleeping = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((*waits, sleeping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in (*waits, sleeping):
            wait.cancel()
        await asyncio.gather(*waits, sleeping, return_exceptions=True)


Answers = TypeVar("Answers")


async def unless_cancelled(gathered: "asyncio.Future[Answers]") -> Answers:
    """The answers of an ``asyncio.gather``. When it is cancelled in the moment in which one of its parts fails, ``gather`` raises that
    fault and the cancellation is gone: a loop that goes on after faults would never end. Here the cancellation wins."""
    try:
        return await gathered
    except Exception:
        end_if_cancelled()
        raise


def end_if_cancelled() -> None:
    """Raises CancelledError when this task was asked to end. A loop that goes on after faults calls it after each one, because a fault may
    have come out in place of the cancellation: a part failed as it ended, or, on Python 3.11 and 3.12, a part of a ``TaskGroup`` failed in
    the same turn of the event loop."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from None
