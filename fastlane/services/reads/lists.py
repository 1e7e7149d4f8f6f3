"""Reads lists, in pages: tasks, a task's jobs, executions, a job's ticks.

Lists over several tasks take ``visible``, a regular expression of the task ids that the caller may see (None: all).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastlane.clock import Clock
from fastlane.errors import Invalid, NotFound
from fastlane.models.job import Job
from fastlane.models.paging import JobPage, Page, Row, Wanted, WantedJobs, Window
from fastlane.models.schedule.tick import Tick
from fastlane.models.task import Task
from fastlane.services.reads.views import ExecutionView, JobView, view_executions, view_jobs
from fastlane.storage.base import Store
from fastlane.storage.lookup import find_job


@dataclass(frozen=True, slots=True)
class TaskJobsView:
    """A task and a page of its jobs, newest first."""

    task: Task
    jobs: Page[JobView]


@dataclass(frozen=True, slots=True)
class ExecutionsView:
    """A job and a page of its executions, newest first."""

    job: Job
    executions: Page[ExecutionView]


@dataclass(frozen=True, slots=True)
class TicksView:
    """A job and a page of its ticks, the latest due first."""

    job: Job
    ticks: Page[Tick]


class Lists:
    """Raises NotFound for a page past the end and for the list of a task or job that does not exist, and StoreDown."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def tasks(self, window: Window, visible: str | None = None) -> Page[Task]:
        """All tasks, most recently changed first."""
        return _checked(await self._store.list_tasks(window, visible=visible))

    async def search(self, words: Sequence[str], window: Window, visible: str | None = None) -> Page[Task]:
        """The tasks whose id contains all of these words or beginnings of words, most recently changed first."""
        return _checked(await self._store.search_tasks(words, window, visible=visible))

    async def task(self, task_id: str, window: Window, status: str | None = None, fewer: Sequence[int] = ()) -> TaskJobsView:
        """A task with a page of its jobs (those with this status, if one is given). When they are too large for a page, tries these smaller
        ones."""
        task = await self._store.task(task_id)
        if task is None:
            raise NotFound(f"there is no task {task_id!r}; a POST of a job to it makes it")
        page = await self._jobs(task_id, window, status, fewer)
        return TaskJobsView(task, await self._view(page, is_by_status=status is not None))

    async def jobs(self, wanted: WantedJobs, window: Window) -> Page[JobView]:
        """Jobs of all tasks or of one, newest first."""
        return await self._view(await self._store.list_all_jobs(wanted, window), is_by_status=bool(wanted.statuses))

    async def executions(self, wanted: Wanted, window: Window) -> Page[ExecutionView]:
        """Executions of all tasks or of one, the latest due first."""
        page = _checked(await self._store.list_executions(wanted, window))
        return page.of(await view_executions(self._store, page.rows))

    async def executions_of(self, task_id: str, job_id: str, window: Window) -> ExecutionsView:
        """A page of a job's executions."""
        job = await find_job(self._store, task_id, job_id)
        page = _checked(await self._store.list_executions_of(job_id, window))
        return ExecutionsView(job, page.of(await view_executions(self._store, page.rows)))

    async def ticks(self, task_id: str, job_id: str, window: Window) -> TicksView:
        """A page of a job's ticks: what became of each due time."""
        job = await find_job(self._store, task_id, job_id)
        return TicksView(job, _checked(await self._store.list_ticks(job_id, window)))

    async def _view(self, page: JobPage, *, is_by_status: bool) -> Page[JobView]:
        """The jobs as they stand now; in a list by status, with the statuses by which they were found."""
        page.check()
        return page.of(await view_jobs(self._store, page.rows, self._clock.now(), page.statuses if is_by_status else {}))

    async def _jobs(self, task_id: str, window: Window, status: str | None, fewer: Sequence[int]) -> JobPage:
        try:
            return await self._store.list_jobs(task_id, window, status=status)
        except Invalid:
            if not fewer:
                raise
            return await self._jobs(task_id, replace(window, per_page=fewer[0]), status, fewer[1:])


def _checked(page: Page[Row]) -> Page[Row]:
    page.check()
    return page
