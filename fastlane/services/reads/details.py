"""Reads one job with its executions, or one execution."""

from dataclasses import dataclass

from fastlane.clock import Clock
from fastlane.models.paging import Page, Window
from fastlane.services.reads.views import ExecutionView, JobView, view_execution, view_executions, view_jobs
from fastlane.storage.base import Store
from fastlane.storage.lookup import find_execution, find_job


@dataclass(frozen=True, slots=True)
class JobDetail:
    """A job with a page of its executions, newest first."""

    view: JobView
    executions: Page[ExecutionView]


class Details:
    """Raises NotFound for what does not exist or belongs to another job or task, and StoreDown."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def job(self, task_id: str, job_id: str, window: Window, *, texts: bool) -> JobDetail:
        """A job with a page of its executions; with the text of their logs if ``texts``."""
        job = await find_job(self._store, task_id, job_id)
        (view,) = await view_jobs(self._store, [job], self._clock.now())
        page = await self._store.list_executions_of(job_id, window)
        page.check()
        return JobDetail(view, page.of(await view_executions(self._store, page.rows, texts=texts)))

    async def execution(self, task_id: str, job_id: str, execution_id: str) -> ExecutionView:
        """An execution with the text of its log."""
        execution = await find_execution(self._store, task_id, job_id, execution_id)
        return await view_execution(self._store, execution, texts=True)

    async def check_exists(self, task_id: str, job_id: str, execution_id: str | None = None) -> None:
        """Returns when the job exists, or the execution if one is given; raises NotFound otherwise."""
        if execution_id is None:
            await find_job(self._store, task_id, job_id)
        else:
            await find_execution(self._store, task_id, job_id, execution_id)
