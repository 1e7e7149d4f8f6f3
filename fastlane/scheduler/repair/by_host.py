"""Does a part of a round for all hosts at the same time, so that a host that is away or slow delays no other one's part."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from fastlane.errors import FastlaneError

log = structlog.get_logger()

WITHIN = 30.0
"""Seconds after which a host's part of a round ends, finished or not. The next round goes on with it."""

Work = Callable[[], Awaitable[None]]


async def side_by_side(part: str, work: Mapping[str, Work]) -> None:
    """Does each host's work, for a limited time. A fault of one host is logged, and neither ends nor delays another one's work."""
    found = await asyncio.gather(*(_bounded(one) for one in work.values()), return_exceptions=True)
    for host, fault in zip(work, found, strict=True):
        if isinstance(fault, FastlaneError | TimeoutError):
            log.warning("reconciler.waiting", part=part, host=host, error=str(fault) or f"took over {WITHIN:g} s")
        elif fault is not None:
            raise fault


async def _bounded(work: Work) -> None:
    async with asyncio.timeout(WITHIN):
        await work()
