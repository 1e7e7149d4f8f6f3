"""The paged lists, the counts and the jobs that run next, for every database: which rows are wanted, which of them a page has, and where a
walk continues.

Each list is a walk along an index in its order, newest first. A database says how it reads one (``ListReader``).
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from fastlane.models.access import may_see
from fastlane.models.job import Execution, FailedJob, Job, Task, TaskSummary
from fastlane.models.paging import After, JobPage, Key, Page, Row, Wanted, WantedFailures, WantedJobs, Window
from fastlane.models.status import Status
from fastlane.models.tick import Tick
from fastlane.storage import records
from fastlane.storage.base import Counts
from fastlane.storage.pages import Stretch, stretch_of
from fastlane.storage.records import Index, label_text

Answer = TypeVar("Answer")
Listed = TypeVar("Listed", covariant=True)


class PagedRows(Protocol[Listed]):
    """The rows of a list, newest first. ``forwards``: they cannot be walked from the end."""

    @property
    def forwards(self) -> bool: ...

    async def total(self) -> int:
        """How many rows there are."""

    async def after(self, key: Key, limit: int) -> Sequence[Any]:
        """The rows after this key. Raises Invalid when they are too large to hold."""

    async def part(self, stretch: Stretch) -> Sequence[Any]:
        """The rows of a part of the list. Raises Invalid when they are too large to hold."""

    def key(self, row: Any) -> Key:
        """The place of a row in the list."""

    async def values(self, rows: Sequence[Any]) -> Sequence[Listed]:
        """The values of the rows that can be read."""


async def page(rows: PagedRows[Row], window: Window) -> Page[Row]:
    """A page of a list."""
    if window.after is not None:
        total, found = window.after.total, await rows.after(window.after.key, window.per_page + 1)
        more, found = len(found) > window.per_page, found[: window.per_page]
    else:
        total = await rows.total()
        stretch = stretch_of(window, total, forwards=rows.forwards)
        more, found = window.offset + window.per_page < total, [] if stretch is None else await rows.part(stretch)
    following = After(total, rows.key(found[-1])) if more and found else None
    return Page(window, total, tuple(await rows.values(found)), following)


@dataclass(frozen=True, slots=True)
class ListIndexes:
    """The indexes in whose order a list over all tasks is: along all rows, the rows of a task, the rows with a status, and the rows of a
    task with a status (on SQLite only its rows at rest, since few are under way)."""

    every: Index[Any]
    of_task: Index[Any]
    by_status: Index[Any]
    at_rest: Index[Any]


JOBS = ListIndexes(records.JOBS_BY_CREATION, records.JOBS_OF_TASK, records.JOBS_BY_STATUS, records.JOBS_OF_TASK_BY_STATUS)
EXECUTIONS = ListIndexes(records.EXECUTIONS_BY_STATUS, records.EXECUTIONS_OF_TASK, records.EXECUTIONS_BY_STATUS, records.EXECUTIONS_ENDED)


@dataclass(frozen=True, slots=True)
class Selection:
    """The wanted rows of a list: with one of ``statuses`` (none: any), of ``tasks`` (None: all), due at ``since`` or later, with a label;
    or only ``late`` jobs."""

    indexes: ListIndexes
    statuses: Sequence[str]
    tasks: Sequence[str] | None
    since: int | None = None
    label: str | None = None
    late: bool = False

    @property
    def walked(self) -> Sequence[str]:
        """The statuses whose rows a walk over all tasks merges; none: it needs no status."""
        return self.statuses or (sorted(Status) if self.indexes.every is self.indexes.by_status else ())


class ListReader(Protocol):
    """The lists of a database, as they are at one moment where it can tell. ``tasks``: only theirs count (None: all)."""

    async def visible_tasks(self, pattern: str) -> Sequence[str]:
        """The ids of the tasks that a pattern matches."""

    async def tasks(self, visible: str | None) -> PagedRows[Task]:
        """Tasks, those changed last first."""

    async def tasks_with(self, words: Sequence[str], visible: str | None) -> PagedRows[Task]:
        """Tasks by the words of their ids."""

    async def of_job(self, index: Index[Row], job_id: str) -> PagedRows[Row]:
        """A job's rows along this index."""

    async def selected(self, wanted: Selection, window: Window, /) -> PagedRows[Any]:
        """Executions; or jobs, each with its stored status. ``window``: how far the page reaches."""

    async def failures(self, tasks: Sequence[str] | None, since: int) -> PagedRows[FailedJob]:
        """Jobs that failed, whose rows have the key (end of the last failure, job)."""

    async def summaries(self, tasks: Sequence[Task], now: int) -> Mapping[str, TaskSummary]:
        """Tasks in short."""

    async def counts(self, tasks: Sequence[str] | None) -> Counts:
        """Tasks, jobs and executions by status."""

    async def job_statuses(self, tasks: Sequence[str] | None) -> Mapping[str, int]:
        """Jobs by their stored status."""

    async def next_jobs(self, limit: int, now: int, tasks: Sequence[str] | None) -> Sequence[Job]:
        """Jobs that have a ``next_run``, soonest first."""


class ListLogic:
    """The methods of ``Store`` that list and count; ``base`` documents them."""

    def _listed(self, read: Callable[[ListReader], Coroutine[Any, Any, Answer]], is_short: bool = False, /) -> Awaitable[Answer]:
        """The result of a read, within the deadline for lists. ``is_short``: it takes no longer when there is more."""
        raise NotImplementedError

    async def list_tasks(self, window: Window, *, visible: str | None = None) -> Page[Task]:
        return await self._page(window, lambda lists: lists.tasks(visible))

    async def search_tasks(self, words: Sequence[str], window: Window, *, visible: str | None = None) -> Page[Task]:
        return await self._page(window, lambda lists: lists.tasks_with(words, visible))

    async def list_jobs(
        self, task_id: str, window: Window, *, statuses: frozenset[str] = frozenset(), label: tuple[str, str] | None = None
    ) -> JobPage:
        return await self.list_all_jobs(WantedJobs(statuses, task_id, label), window)

    async def list_all_jobs(self, wanted: WantedJobs, window: Window) -> JobPage:
        label = None if wanted.label is None else label_text(*wanted.label)

        async def select(lists: ListReader) -> PagedRows[tuple[Job, str | None]]:
            tasks = await _seen(lists, wanted.visible, wanted.task_id)
            return await lists.selected(Selection(JOBS, sorted(wanted.statuses), tasks, label=label, late=wanted.late), window)

        return JobPage.listed(await self._page(window, select))

    async def list_ticks(self, job_id: str, window: Window) -> Page[Tick]:
        return await self._page(window, lambda lists: lists.of_job(records.TICKS_OF_JOB, job_id))

    async def list_executions_of(self, job_id: str, window: Window) -> Page[Execution]:
        return await self._page(window, lambda lists: lists.of_job(records.EXECUTIONS_OF_JOB, job_id))

    async def list_executions(self, wanted: Wanted, window: Window) -> Page[Execution]:
        async def select(lists: ListReader) -> PagedRows[Execution]:
            tasks = await _seen(lists, wanted.visible, wanted.task_id)
            return await lists.selected(Selection(EXECUTIONS, sorted(wanted.statuses), tasks, wanted.since), window)

        return await self._page(window, select)

    async def list_failures(self, wanted: WantedFailures, window: Window) -> Page[FailedJob]:
        async def select(lists: ListReader) -> PagedRows[FailedJob]:
            return await lists.failures(await _seen(lists, wanted.visible, wanted.task_id), wanted.since or 0)

        return await self._page(window, select)

    async def task_summaries(self, tasks: Sequence[Task], now: int) -> Mapping[str, TaskSummary]:
        async def read(lists: ListReader) -> Mapping[str, TaskSummary]:
            return await lists.summaries(tasks, now) if tasks else {}

        return await self._listed(read)

    async def counts(self, visible: str | None = None) -> Counts:
        async def count(lists: ListReader) -> Counts:
            return await lists.counts(await _seen(lists, visible))

        return await self._listed(count, visible is None)

    async def jobs_by_status(self, visible: str | None = None) -> Mapping[str, int]:
        async def count(lists: ListReader) -> Mapping[str, int]:
            return await lists.job_statuses(await _seen(lists, visible))

        return await self._listed(count)

    async def next_jobs(self, limit: int, now: int, visible: str | None = None) -> Sequence[Job]:
        async def read(lists: ListReader) -> Sequence[Job]:
            return await lists.next_jobs(limit, now, await _seen(lists, visible))

        return await self._listed(read)

    async def _page(self, window: Window, rows: Callable[[ListReader], Awaitable[PagedRows[Row]]]) -> Page[Row]:
        async def read(lists: ListReader) -> Page[Row]:
            return await page(await rows(lists), window)

        return await self._listed(read)


async def _seen(lists: ListReader, visible: str | None, task_id: str | None = None) -> Sequence[str] | None:
    """The tasks whose rows are wanted: one, or those that a pattern matches; None: all."""
    if task_id is not None:
        return [task_id] if may_see(visible, task_id) else []
    return None if visible is None else await lists.visible_tasks(visible)
