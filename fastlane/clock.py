"""A clock that can be injected. Moments are whole milliseconds since 1970 in UTC."""

import asyncio
import time
from datetime import date, timedelta
from functools import lru_cache
from typing import Protocol

EPOCH = date(1970, 1, 1)


class Clock(Protocol):
    """Tells the time and waits. Tests inject a clock that they move themselves."""

    def now(self) -> int:
        """The current moment, in milliseconds since 1970 (UTC)."""

    async def sleep(self, seconds: float) -> None:
        """Returns after that many seconds of this clock."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


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
