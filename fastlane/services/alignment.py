"""Keeps a process's clock at the queue's time, however wrong the machine's clock is. So what a client asks for now is due now, and a
worker ends nothing before its time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from fastlane.clock import AlignedClock
from fastlane.errors import TransientError

log = structlog.get_logger()

EVERY = 2.0
"""Seconds between two looks at the queue's time."""
FIRST_WITHIN = 0.5
"""Seconds that the first look may delay the start."""
WRONG = 2_000
"""Milliseconds from which on the log says that the machine's clock is wrong."""


@asynccontextmanager
async def aligned(clock: AlignedClock, ask: Callable[[], Awaitable[int]]) -> AsyncIterator[None]:
    """Keeps the clock at the time that ``ask`` returns, until the context ends. While there is no answer, whatever is down, the
    clock goes on by itself."""
    with suppress(TransientError, TimeoutError):
        async with asyncio.timeout(FIRST_WITHIN):
            await clock.align(ask)
    keeping = asyncio.create_task(_keep(clock, ask), name="align clock")
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _keep(clock: AlignedClock, ask: Callable[[], Awaitable[int]]) -> None:
    wrong = False
    while True:
        if wrong != (abs(clock.skew) > WRONG):
            wrong = not wrong
            log.warning("clock.skewed" if wrong else "clock.right_again", milliseconds=-clock.skew)
        await clock.sleep(EVERY)
        with suppress(TransientError):
            await clock.align(ask)
