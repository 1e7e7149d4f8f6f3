"""Entries as arguments of the scripts, and long lists of them in batches, so that no script holds Redis up."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from fastlane.queue.base import Entry, EntryKind

MAX_CALL_ITEMS = 128
LETTERS = {EntryKind.JOB: "j", EntryKind.EXECUTION: "e"}
KINDS = {letter: kind for kind, letter in LETTERS.items()}

T = TypeVar("T")


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items in order, as many at a time as one call may carry."""
    for start in range(0, len(items), MAX_CALL_ITEMS):
        yield items[start : start + MAX_CALL_ITEMS]


def entry_arguments(entries: Sequence[Entry]) -> list[str | int]:
    """The entries as ``entry_argument`` of ``entries.lua`` reads them."""
    arguments: list[str | int] = []
    for e in entries:
        expires = "" if e.expires is None else e.expires
        arguments += (e.id, LETTERS[e.kind], e.lane, e.due, e.revision, e.priority, e.group, e.concurrency, expires)
    return arguments
