"""Reads rows of which some may be unreadable, or have texts that are not UTF-8."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from fastlane.storage.readable import readable

Value = TypeVar("Value")
Row = Sequence[Any]


def insert_into(table: str, fields: Sequence[str]) -> str:
    """An INSERT of one row whose values are in the order of ``fields``."""
    return f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({', '.join('?' * len(fields))})"


def filled(fetch: Callable[[int], Sequence[Row]], limit: int, read: Callable[[Row], Value]) -> list[Value]:
    """``limit`` values, or all that there are. ``fetch`` gets the first rows, as many as it is asked for. Unreadable rows take no place in
    the page: a walk that ends at a short page, and goes on after the last value, misses nothing."""
    asked = limit
    while True:
        rows = fetch(asked)
        values = readable(rows, read)
        if len(values) >= limit or len(rows) < asked:
            return values[:limit]
        asked += max(limit, len(rows) - len(values))


def fetched(db: sqlite3.Connection, query: str, given: Sequence[Any] | Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a query, whatever bytes their texts have."""
    return with_any_text(db, lambda: db.execute(query, given).fetchall())


def with_any_text(db: sqlite3.Connection, read: Callable[[], Value]) -> Value:
    """What ``read`` gives. When a text is not UTF-8, it reads again and gets surrogates in it, by which reading it as JSON fails."""
    try:
        return read()
    except sqlite3.OperationalError as error:
        if not str(error).startswith("Could not decode to UTF-8"):
            raise
    db.text_factory = _decoded
    try:
        return read()
    finally:
        db.text_factory = str


def _decoded(text: bytes) -> str:
    return text.decode(errors="surrogateescape")
