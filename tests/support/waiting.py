"""Waiting for a condition, with a deadline. Most are looked at again and again: what is waited for has no event that a test could hear."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psutil

T = TypeVar("T")
LOOK = 0.01
LONGEST_LOOK = 0.1
"""Seconds between two looks: at first, and at most. Each look takes processor time from what is waited for."""
PATIENCE = 20.0
"""Seconds within which a condition in this process holds: a deadline, not a measurement."""

REST = 0.2
"""Seconds without a change after which nothing goes on."""

LONG_PATIENCE = 60.0
"""The same of what other processes, or containers, do in about a second."""


async def until(
    condition: Callable[[], T | None] | Callable[[], Awaitable[T | None]],
    what: object,
    patience: float = PATIENCE,
    longest: float = LONGEST_LOOK,
) -> T:
    """Returns what the condition answers, or what awaiting its answer gives, once that is true; fails with ``what`` if none comes."""
    began = time.monotonic()
    while True:
        answer = condition()
        found = await answer if inspect.isawaitable(answer) else answer
        if found:
            return found
        assert time.monotonic() < began + patience, f"waited {patience:g} s in vain: {what}"
        await asyncio.sleep(min(longest, pause(began)))


def wait_until(condition: Callable[[], T | None], what: object, patience: float = LONG_PATIENCE) -> T:
    """As ``until``, but blocks: for tests without an event loop."""
    began = time.monotonic()
    while not (answer := condition()):
        assert time.monotonic() < began + patience, f"waited {patience:g} s in vain for {what}"
        time.sleep(pause(began, 2 * LOOK))
    return answer


async def at_rest(value: Callable[[], T] | Callable[[], Awaitable[T]]) -> T:
    """Returns the value, or what awaiting it gives, once two looks in a row find the same: what goes on no further has no event."""
    before: object = None
    while True:
        looked = value()
        now = await looked if inspect.isawaitable(looked) else looked
        if now == before:
            return now
        before = now
        await asyncio.sleep(REST)


def outlast(seconds: float) -> None:
    """Lets a trouble last: what must not happen meanwhile cannot be waited for."""
    time.sleep(max(0.0, seconds))


def pause(began: float, shortest: float = LOOK, longest: float = LONGEST_LOOK) -> float:
    """Seconds until the next look: a tenth of the time since the first one."""
    return min(longest, max(shortest, (time.monotonic() - began) / 10))


def ended(process: psutil.Process) -> bool:
    """Whether it runs no longer, even if its parent has not taken note of that."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
