"""The lists: tasks, a task's jobs, executions, a job's ledger. Each is read in pages; nothing is written here.

``visible`` is a regular expression of the task ids that the caller may see (None: all), which every list over several tasks is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fastlane.errors import NotFound
from fastlane.models.job import Job
from fastlane.models.paging import Page, Row, Wanted, Window
from fastlane.models.schedule.tick import Tick
from fastlane.models.task import Task
from fastlane.services.reads.views import ExecutionView, JobView, view_executions, view_jobs
from fastlane.storage.base import Store


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
    """A job and a page of its ledger, the latest due first."""

    job: Job
    ticks: Page[Tick]


class Lists:
    """Reads the store. Raises NotFound for a page past the end, and for the list of what is not there; StoreDown when the store is."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def tasks(self, window: Window, visible: str | None = None) -> Page[Task]:
        """All tasks, those changed last first."""
        return _checked(await self._store.list_tasks(window, visible=visible))

    async def search(self, words: Sequence[str], window: Window, visible: str | None = None) -> Page[Task]:
        """The tasks whose id has all of these words or beginnings of words, those changed last first."""
        return _checked(await self._store.search_tasks(words, window, visible=visible))

    async def task(self, task_id: str, window: Window, status: str | None = None) -> TaskJobsView:
        """A task with a page of its jobs, or of those with this status."""
        task = await self._store.task(task_id)
        if task is None:
            raise NotFound(f"there is no task {task_id!r}; a POST of a job to it makes it")
        page = _checked(await self._store.list_jobs(task_id, window, status=status))
        return TaskJobsView(task, page.of(await view_jobs(self._store, page.rows)))

    async def executions(self, wanted: Wanted, window: Window) -> Page[ExecutionView]:
        """Executions of all tasks or of one, the latest due first."""
        page = _checked(await self._store.list_executions(wanted, window))
        return page.of(await view_executions(self._store, page.rows))

    async def executions_of(self, task_id: str, job_id: str, window: Window) -> ExecutionsView:
        """A page of a job's executions."""
        job = await self._job(task_id, job_id)
        page = _checked(await self._store.list_executions_of(job_id, window))
        return ExecutionsView(job, page.of(await view_executions(self._store, page.rows)))

    async def ticks(self, task_id: str, job_id: str, window: Window) -> TicksView:
        """A page of what became of a job's due times."""
        job = await self._job(task_id, job_id)
        return TicksView(job, _checked(await self._store.list_ticks(job_id, window)))

    async def _job(self, task_id: str, job_id: str) -> Job:
        job = await self._store.job(job_id)
        if job is None or job.task_id != task_id:
            raise NotFound(f"task {task_id!r} has no job {job_id}")
        return job


def _checked(page: Page[Row]) -> Page[Row]:
    page.check()
    return page
