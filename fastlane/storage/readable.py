"""Reads rows of which some may be unreadable: those are reported and left out, and do not fail the others."""

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import TypeVar

import structlog

from fastlane.errors import Unreadable

log = structlog.get_logger()

Row = TypeVar("Row")
Value = TypeVar("Value")

REPORTED = 1024
"""How many different unreadable rows are reported once. Each is met again and again, and would fill the log."""


def readable(rows: Sequence[Row], read: Callable[[Row], Value]) -> list[Value]:
    """The values of the rows that can be read."""
    values = []
    for row in rows:
        try:
            values.append(read(row))
        except Unreadable as error:
            report(str(error))
    return values


async def filled(fetch: Callable[[int], Awaitable[Sequence[Row]]], limit: int, read: Callable[[Row], Value]) -> list[Value]:
    """``limit`` values, or all that there are. ``fetch`` gets the first rows, as many as it is asked for. Unreadable rows take no place in
    the page: a walk that ends at a short page, and goes on after the last value, misses nothing."""
    asked = limit
    while True:
        rows = await fetch(asked)
        values = readable(rows, read)
        if len(values) >= limit or len(rows) < asked:
            return values[:limit]
        asked += max(limit, len(rows) - len(values))


@lru_cache(maxsize=REPORTED)
def report(words: str) -> None:
    """Reports an unreadable row, once."""
    log.error("store.row_unreadable", error=words)
