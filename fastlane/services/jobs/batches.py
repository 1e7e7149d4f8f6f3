"""Acts on many jobs, a few at a time, so that their writes share commits."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

BATCH = 16
"""Jobs of a task that are worked on at once."""


async def in_batches(items: Sequence[T], act: Callable[[T], Awaitable[object]]) -> None:
    """Acts on all items, a batch at a time. Raises the first error after the rest of its batch has finished."""
    for start in range(0, len(items), BATCH):
        results = await asyncio.gather(*(act(item) for item in items[start : start + BATCH]), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
