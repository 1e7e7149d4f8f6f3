"""Waiting for a condition, with a deadline. Most are looked at again and again: what is waited for has no event that a test could hear."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
LOOK = 0.01
LONGEST_LOOK = 0.1
"""Seconds between two looks: at first, and at most. Each look takes processor time from what is waited for."""
PATIENCE = 20.0
"""Seconds within which a condition in this process holds: a deadline, not a measurement."""

LONG_PATIENCE = 60.0
"""The same of what other processes, or containers, do in about a second."""


async def until(condition: Callable[[], T | None] | Callable[[], Awaitable[T | None]], what: str, patience: float = PATIENCE) -> T:
    """Returns what the condition answers, or what awaiting its answer gives, once that is true; fails with ``what`` if none comes."""
    began = time.monotonic()
    while True:
        answer = condition()
        found = await answer if inspect.isawaitable(answer) else answer
        if found:
            return found
        assert time.monotonic() < began + patience, f"waited {patience:g} s in vain: {what}"
        await asyncio.sleep(pause(began))


def wait_until(condition: Callable[[], T | None], what: str, patience: float = LONG_PATIENCE) -> T:
    """As ``until``, but blocks: for tests without an event loop."""
    began = time.monotonic()
    while not (answer := condition()):
        assert time.monotonic() < began + patience, f"waited {patience:g} s in vain for {what}"
        time.sleep(pause(began, 2 * LOOK))
    return answer


def pause(began: float, shortest: float = LOOK, longest: float = LONGEST_LOOK) -> float:
    """Seconds until the next look: a tenth of the time since the first one."""
    return min(longest, max(shortest, (time.monotonic() - began) / 10))
