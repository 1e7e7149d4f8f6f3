"""Pages of lists: the page that is asked for, the page that is found, and where a walk through the list goes on.

Every list has one total order, newest first, by a key of its rows. A page is found by its number, or by the key of the row before it, which
costs the same anywhere in the list.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from fastlane.errors import NotFound
from fastlane.models.job import Job
from fastlane.models.status import Status

Row = TypeVar("Row")
Other = TypeVar("Other")
Key = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which executions to list: those with one of ``statuses`` (empty: any), of the task ``task_id``, due at ``since`` (milliseconds) or
    later, and of tasks whose id matches the regular expression ``visible`` (from its start, as ``re.match`` does)."""

    statuses: frozenset[Status] = frozenset()
    task_id: str | None = None
    since: int | None = None
    visible: str | None = None


@dataclass(frozen=True, slots=True)
class WantedJobs:
    """Which jobs to list: those with one of the stored ``statuses`` (empty: any), of the task ``task_id``, with the label ``label`` (its
    name and its value), of tasks whose id matches ``visible`` (see ``Wanted``), and only those that are late where ``late`` is set."""

    statuses: frozenset[str] = frozenset()
    task_id: str | None = None
    label: tuple[str, str] | None = None
    visible: str | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class WantedFailures:
    """Selects failures: of the task ``task_id``, ended at ``since`` (milliseconds) or later, of tasks whose id matches ``visible`` (see
    ``Wanted``)."""

    task_id: str | None = None
    since: int | None = None
    visible: str | None = None


@dataclass(frozen=True, slots=True)
class After:
    """Where a walk goes on: after the row with this ``key``. ``total`` is the number of rows when the walk began: they are counted once for
    each walk."""

    total: int
    key: Key


@dataclass(frozen=True, slots=True)
class Window:
    """The page that is asked for: ``page`` counts from 1, and has ``per_page`` rows at most. If ``after`` is given, it says where the page
    begins, and ``page`` is only returned as given."""

    page: int
    per_page: int
    after: After | None = None

    @property
    def offset(self) -> int:
        """How many rows come before the page with this number."""
        return (self.page - 1) * self.per_page


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """The page for a window: its rows, newest first, of ``total`` rows. ``next`` is None when no row follows."""

    window: Window
    total: int
    rows: tuple[Row, ...]
    next: After | None

    @property
    def pages(self) -> int:
        """The number of pages, at least one."""
        return max(1, -(-self.total // self.window.per_page))

    def check(self) -> None:
        """Raises NotFound for a page that was asked for by number and lies past the end. A walk ends with an empty page instead."""
        if self.window.after is None and self.window.page > self.pages:
            raise NotFound(f"page {self.window.page} is past the last one, which is {self.pages}")

    def of(self, rows: Sequence[Other]) -> "Page[Other]":
        """The same page with other rows."""
        return Page(self.window, self.total, tuple(rows), self.next)


@dataclass(frozen=True, slots=True)
class JobPage(Page[Job]):
    """A page of a list of jobs. ``statuses``: the stored status of each that has one, by its id. A list by status was found by them."""

    statuses: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def listed(cls, page: Page[tuple[Job, str | None]]) -> "JobPage":
        """The page of these jobs and their stored statuses."""
        statuses = {job.id: status for job, status in page.rows if status is not None}
        return cls(page.window, page.total, tuple(job for job, _ in page.rows), page.next, statuses)
