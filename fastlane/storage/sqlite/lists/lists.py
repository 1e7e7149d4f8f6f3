"""The lists and counts of the store on a file."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from fastlane.models.execution import Execution
from fastlane.models.job import Job
from fastlane.models.paging import Page, Wanted, WantedJobs, Window
from fastlane.models.schedule.tick import Tick
from fastlane.models.task import Task
from fastlane.storage.base import Counts
from fastlane.storage.records import JOBS
from fastlane.storage.rows import filled
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.lists import counts, execution_lists, job_lists, paged


class SqliteLists:
    """The part of the store that lists and counts."""

    _file: SqliteFile

    async def next_jobs(self, limit: int, now: int, visible: str | None = None) -> Sequence[Job]:
        def fetch(count: int) -> "asyncio.Future[list[tuple[Any, ...]]]":
            return self._file.list(lambda db: job_lists.next_jobs(db, count, now, visible))

        return await filled(fetch, limit, lambda row: JOBS.of(list(row)))

    async def list_tasks(self, window: Window, *, visible: str | None = None) -> Page[Task]:
        return await self._file.list(lambda db: paged.tasks(db, window, visible))

    async def search_tasks(self, words: Sequence[str], window: Window, *, visible: str | None = None) -> Page[Task]:
        return await self._file.list(lambda db: paged.tasks_with(db, words, window, visible))

    async def list_jobs(self, task_id: str, window: Window, *, status: str | None = None, now: int = 0) -> Page[Job]:
        return await self._file.list(lambda db: paged.jobs(db, task_id, window, status, now))

    async def list_all_jobs(self, wanted: WantedJobs, window: Window) -> Page[Job]:
        return await self._file.list(lambda db: job_lists.all_jobs(db, wanted, window))

    async def list_ticks(self, job_id: str, window: Window) -> Page[Tick]:
        return await self._file.list(lambda db: paged.ticks(db, job_id, window))

    async def list_executions_of(self, job_id: str, window: Window) -> Page[Execution]:
        return await self._file.list(lambda db: paged.executions_of(db, job_id, window))

    async def list_executions(self, wanted: Wanted, window: Window) -> Page[Execution]:
        return await self._file.list(lambda db: execution_lists.executions(db, wanted, window))

    async def counts(self, visible: str | None = None) -> Counts:
        return await (self._file.read if visible is None else self._file.list)(lambda db: counts.counts(db, visible))

    async def jobs_by_status(self, now: int, visible: str | None = None) -> Mapping[str, int]:
        return await self._file.list(lambda db: counts.jobs_by_status(db, visible, now))
