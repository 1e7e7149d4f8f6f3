"""The verbs over records that each database implements. The store's common methods (``logic``) use only these.

Every write is a compare-and-set on one row, or an insert under an id that other processes derive, too. The verbs keep their promises
without transactions over several rows.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import structlog

from fastlane.errors import Unreadable
from fastlane.storage.records import Index, Record, Value, Where

log = structlog.get_logger()

Stored = TypeVar("Stored")
Read = TypeVar("Read")
Place = tuple[Any, ...]
"""The place of a row in the order of an index: its values of that order."""

REPORTED = 1024
"""How many different unreadable rows are reported only once. Each is met again and again, and would fill the log."""


@dataclass(frozen=True, slots=True)
class Part:
    """The wanted part of the rows, in the index's order, or from its end (``newest``): after one place, or from one to another, both
    included; behind ``skip`` others; at most ``limit`` of them (None: all)."""

    limit: int | None = None
    after: Place | None = None
    first: Place | None = None
    last: Place | None = None
    newest: bool = False
    skip: int = 0


ALL = Part()


class Rows(Protocol):
    """The verbs. They raise the same exceptions as the port's methods. ``listed``: the read is a list, which has a deadline of its own and
    never delays the others."""

    async def catch_up(self, job_id: str | None = None) -> None:
        """Makes what was committed of a job, or of any (None), visible to the reads that follow, where a commit is not whole at once."""

    async def get(self, record: Record[Value], *key: str) -> Value | None:
        """The row with this key. Raises Unreadable. A record of one row always has it."""

    async def find(self, index: Index[Value], where: Where, part: Part = ALL, *, listed: bool = False) -> list[Value]:
        """The rows that can be read; the next ones take the place of others. The index's own condition is among theirs."""

    async def select(
        self, index: Index[Any], where: Where, fields: Sequence[str], part: Part = ALL, *, listed: bool = False
    ) -> list[dict[str, Any]]:
        """These fields of rows, as they are stored."""

    async def select_keys(self, record: Record[Any], keys: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, Any]]:
        """These fields of the rows with these keys, by key."""

    async def count(self, index: Index[Any], where: Where) -> int:
        """How many rows there are."""

    async def insert_missing(self, record: Record[Value], values: Sequence[Value]) -> int:
        """Inserts those whose keys no row has; how many. Safe to repeat, but for a repeat's number."""

    async def insert(self, record: Record[Value], value: Value) -> bool:
        """Inserts a row; False, and nothing written, when another has its key."""

    async def replace(self, record: Record[Value], value: Value, seen: Where) -> bool:
        """Replaces the row with the value's key where its fields are as they were seen; whether they were."""

    async def update(self, record: Record[Any], key: str, changes: Where, seen: Where | None = None) -> bool:
        """Changes fields of a row, where others are as they were seen; whether it is there and they were. Safe to repeat."""

    async def delete(self, record: Record[Any], keys: Sequence[Place], seen: Where | None = None) -> int:
        """Deletes the rows with these keys, where their fields are as they were seen; how many."""

    async def delete_some(self, index: Index[Any], where: Where, part: Part = ALL) -> int:
        """Deletes the rows of a part, but for those that have changed meanwhile; how many."""


async def write_version(rows: Rows, record: Record[Value], value: Value, version: int) -> bool:
    """Writes a version of a row after the one before it: the first is inserted. False, and nothing written, when another is stored."""
    return await (rows.insert(record, value) if version == 1 else rows.replace(record, value, {"version": version - 1}))


def readable(rows: Sequence[Stored], read: Callable[[Stored], Read]) -> list[Read]:
    """The values of the rows that can be read. The other rows are only reported."""
    values = []
    for row in rows:
        try:
            values.append(read(row))
        except Unreadable as error:
            report(str(error))
    return values


async def filled(fetch: Callable[[int], Awaitable[Sequence[Stored]]], limit: int, read: Callable[[Stored], Read]) -> list[Read]:
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
