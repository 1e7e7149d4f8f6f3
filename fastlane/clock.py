"""The time, as a value that can be handed in: moments are whole milliseconds since 1970 in UTC."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits for it to pass. Tests hand in one that they move by hand."""

    def now(self) -> int:
        """The moment, in milliseconds since 1970 (UTC)."""

    async def sleep(self, seconds: float) -> None:
        """Returns after that many seconds of this clock."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def iso(moment: int) -> str:
    """ISO 8601 in UTC with milliseconds and ``Z``, as every answer writes a moment (RFC 3339)."""
    whole, milliseconds = divmod(moment, 1000)
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{milliseconds:03d}Z"


async def first_of(clock: Clock, seconds: float, *events: asyncio.Event) -> None:
    """Returns when one of the events is set, or after that many seconds of the clock."""
    signs = [asyncio.ensure_future(event.wait()) for event in events]
    sleeping = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((*signs, sleeping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for sign in (*signs, sleeping):
            sign.cancel()
        await asyncio.gather(*signs, sleeping, return_exceptions=True)
