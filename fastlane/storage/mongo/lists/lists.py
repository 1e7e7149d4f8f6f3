"""The lists and counts of the store in a database."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from fastlane.models.execution import Execution
from fastlane.models.job import Job
from fastlane.models.paging import Page, Wanted, WantedJobs, Window
from fastlane.models.schedule.tick import Tick
from fastlane.models.task import Task
from fastlane.storage.base import Counts
from fastlane.storage.mongo.database import LIST_ADVICE, Database
from fastlane.storage.mongo.lists import counts, execution_lists, job_lists, paged, task_lists

T = TypeVar("T")


class MongoLists:
    """The part of the store that lists and counts."""

    _db: Database

    async def task(self, task_id: str) -> Task | None:
        return await self._db.call(lambda: task_lists.get(self._db, task_id))

    async def next_jobs(self, limit: int, now: int, visible: str | None = None) -> Sequence[Job]:
        return await self._listed(lambda: job_lists.next_jobs(self._db, limit, now, visible))

    async def list_tasks(self, window: Window, *, visible: str | None = None) -> Page[Task]:
        return await self._listed(lambda: task_lists.tasks(self._db, window, visible))

    async def search_tasks(self, words: Sequence[str], window: Window, *, visible: str | None = None) -> Page[Task]:
        return await self._listed(lambda: task_lists.tasks_with(self._db, words, window, visible))

    async def list_jobs(self, task_id: str, window: Window, *, status: str | None = None, now: int = 0) -> Page[Job]:
        if status is None:
            return await self._listed(lambda: paged.jobs(self._db, task_id, window))
        return await self._listed(lambda: job_lists.jobs_with_status(self._db, task_id, status, now, window))

    async def list_all_jobs(self, wanted: WantedJobs, window: Window) -> Page[Job]:
        return await self._listed(lambda: job_lists.all_jobs(self._db, wanted, window))

    async def list_ticks(self, job_id: str, window: Window) -> Page[Tick]:
        return await self._listed(lambda: paged.ticks(self._db, job_id, window))

    async def list_executions_of(self, job_id: str, window: Window) -> Page[Execution]:
        return await self._listed(lambda: paged.executions_of(self._db, job_id, window))

    async def list_executions(self, wanted: Wanted, window: Window) -> Page[Execution]:
        return await self._listed(lambda: execution_lists.executions(self._db, wanted, window))

    async def counts(self, visible: str | None = None) -> Counts:
        return await self._listed(lambda: counts.counts(self._db, visible))

    async def jobs_by_status(self, now: int, visible: str | None = None) -> Mapping[str, int]:
        return await self._listed(lambda: job_lists.jobs_by_status(self._db, visible, now))

    async def _listed(self, read: Callable[[], Awaitable[T]]) -> T:
        return await self._db.call(read, advice=LIST_ADVICE)
