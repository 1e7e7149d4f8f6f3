"""A clock that is kept at the queue's time, whatever is away meanwhile."""

import asyncio

import pytest

from fastlane.clock import AlignedClock, SystemClock
from fastlane.errors import QueueDown, StoreDown
from fastlane.services import startup
from fastlane.services.startup import aligned
from tests.support.waiting import until

AHEAD = 3_600_000


@pytest.mark.parametrize("error", [QueueDown("away"), StoreDown("away")], ids=["queue", "store"])
async def test_a_clock_is_aligned_again_after_an_outage(error, monkeypatch):
    monkeypatch.setattr(startup, "EVERY", 0.001)
    clock, answers = AlignedClock(SystemClock()), iter([error, error])

    async def ask() -> int:
        await asyncio.sleep(0)
        if (fault := next(answers, None)) is not None:
            raise fault
        return SystemClock().now() + AHEAD

    async with aligned(clock, ask):
        await until(lambda: abs(clock.skew - AHEAD) < AHEAD / 2, "the clock to be aligned")
