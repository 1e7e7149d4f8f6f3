"""The lengths of long lists. To count them, MongoDB walks an index, so they are counted now and then.

A length of more than ``LONG`` rows is kept for ten times as long as counting took, so that counting takes a tenth of the time at most; a
shorter one is counted each time.
"""

import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

LONG = 10_000
"""Rows up to which counting takes no time that anyone notices."""
SHARE = 10
MOST = 256
"""Lengths that are kept."""

Length = TypeVar("Length")


class Lengths:
    """Keeps the lengths that one process has counted."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[float, Any]] = {}

    async def get(self, key: Hashable, count: Callable[[], Awaitable[Length]], rows: Callable[[Length], int]) -> Length:
        """What ``count`` gives, or gave a moment ago for the same key. ``rows``: how many rows that is."""
        began = time.monotonic()
        until, kept = self._kept.get(key, (0.0, None))
        if began < until:
            length: Length = kept
            return length
        counted = await count()
        ended = time.monotonic()
        self._kept.pop(key, None)
        if rows(counted) > LONG:
            self._kept[key] = (ended + SHARE * (ended - began), counted)
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]
        return counted
