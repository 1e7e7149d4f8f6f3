"""Pages of lists: which one is asked for, what it comes to, and where a walk through the list goes on.

Every list has one total order, newest first, by a key that each of its rows has. A page is found by its number, or by the key of the row
before it: that costs the same wherever in the list it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from fastlane.errors import NotFound
from fastlane.models.status import Status

Row = TypeVar("Row")
Other = TypeVar("Other")
Key = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which executions a list has: those with one of ``statuses`` (none named: all), of the task ``task_id``, due at ``since``
    (milliseconds) or later, of tasks whose id the regular expression ``visible`` matches (from its start, as ``re.match`` does)."""

    statuses: frozenset[Status] = frozenset()
    task_id: str | None = None
    since: int | None = None
    visible: str | None = None


@dataclass(frozen=True, slots=True)
class After:
    """Where a walk goes on: after the row with this ``key``. ``total``: how many rows the list had when the walk began (they are counted
    once a walk)."""

    total: int
    key: Key


@dataclass(frozen=True, slots=True)
class Window:
    """A page that is asked for: ``page`` counts from 1 and has ``per_page`` rows at most. Where ``after`` is given it says where the page
    begins, and ``page`` is only told back."""

    page: int
    per_page: int
    after: After | None = None

    @property
    def offset(self) -> int:
        """How many rows come before it, by its number."""
        return (self.page - 1) * self.per_page


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """What a window showed: its rows, newest first, of ``total`` in all. ``next`` is None when no row comes after them."""

    window: Window
    total: int
    rows: tuple[Row, ...]
    next: After | None

    @property
    def pages(self) -> int:
        """How many pages there are: at least one."""
        return max(1, -(-self.total // self.window.per_page))

    def check(self) -> None:
        """Raises NotFound for a page that was asked for by its number and lies past the end. A walk ends with an empty one instead."""
        if self.window.after is None and self.window.page > self.pages:
            raise NotFound(f"page {self.window.page} is past the last one, which is {self.pages}")

    def of(self, rows: Sequence[Other]) -> "Page[Other]":
        """The same page, with its rows as something else."""
        return Page(self.window, self.total, tuple(rows), self.next)
