"""Reads what jobs took over their runs, and what their history says about their definitions. Each request reads a bounded number of rows,
whatever is stored, and its figures count these rows only."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from fastlane.clock import unless_cancelled
from fastlane.models.advice import LEAST_RETRIED, MOST_EXECUTIONS, Advice, Evidence, advise
from fastlane.models.job import Execution, Job
from fastlane.models.paging import JobPage, Page, WantedJobs, Window
from fastlane.models.pool import pool_for
from fastlane.models.run_figures import Figures, Measure, ended_runs, figures
from fastlane.models.status import Status
from fastlane.services.parts import Service
from fastlane.services.reads.fitting import fitting
from fastlane.storage.base import find_job

AT_ONCE = 4
"""Jobs whose history is read at once."""
FEWER_EXECUTIONS = (50, 20, 5, 1)
"""Executions of a job that are looked at when more are too large."""


@dataclass(frozen=True, slots=True)
class StatsView:
    """A page of a job's executions, newest first; ``runs``: the ones that ran and have ended (with a wanted status); and their figures."""

    job: Job
    page: Page[Execution]
    runs: Sequence[Execution]
    figures: Mapping[Measure, Figures]

    @property
    def ended(self) -> Mapping[str, int]:
        """How many of the runs have which status."""
        statuses = [one.status for one in self.runs]
        return {str(status): statuses.count(status) for status in Status if status in statuses}


@dataclass(frozen=True, slots=True)
class AdviceView:
    """The advice on a job, and how many of its executions and due times it is from."""

    job: Job
    executions: int
    ticks: int
    advice: Sequence[Advice]


@dataclass(frozen=True, slots=True)
class AdvicePage:
    """A page of jobs, and the advice on them, as far as there is any. ``executions``: how many were looked at."""

    page: JobPage
    views: Sequence[AdviceView]
    executions: int


class Trends(Service):
    """Reads figures over runs, and advice. Raises NotFound for a job that does not exist and a page past the end, and StoreDown."""

    async def stats(self, task_id: str, job_id: str, window: Window, statuses: frozenset[Status] = frozenset()) -> StatsView:
        """The figures of a page of a job's executions; only runs with one of these statuses count, if any are given."""
        job = await find_job(self._store, task_id, job_id)
        page = await self._store.list_executions_of(job_id, window)
        page.check()
        runs = [one for one in ended_runs(page.rows) if not statuses or one.status in statuses]
        return StatsView(job, page, runs, {measure: figures(runs, measure) for measure in Measure})

    async def advice(self, task_id: str, job_id: str, hard_timeout: float) -> AdviceView:
        """The advice on a job. ``hard_timeout``: the longest that a job may run where its pool says nothing, in seconds."""
        return await self._advice(await find_job(self._store, task_id, job_id), hard_timeout)

    async def advice_on(self, wanted: WantedJobs, window: Window, hard_timeout: float) -> AdvicePage:
        """The advice on the jobs of a page. A job that has had too few due times is not looked at."""
        page = await self._store.list_all_jobs(wanted, window)
        page.check()
        jobs, views = [job for job in page.rows if job.sequence >= LEAST_RETRIED], list[AdviceView]()
        for start in range(0, len(jobs), AT_ONCE):
            some = jobs[start : start + AT_ONCE]
            found = await unless_cancelled(asyncio.gather(*(self._advice(job, hard_timeout) for job in some)))
            views.extend(found)
        return AdvicePage(page, [view for view in views if view.advice], sum(view.executions for view in views))

    async def _advice(self, job: Job, hard_timeout: float) -> AdviceView:
        window = Window(1, MOST_EXECUTIONS)
        executions = (await fitting(partial(self._store.list_executions_of, job.id), window, FEWER_EXECUTIONS)).rows
        ticks = (await self._store.list_ticks(job.id, window)).rows
        pool = pool_for(self._pools, job.task_id)
        longest = hard_timeout if pool is None or pool.hard_timeout is None else pool.hard_timeout
        found = advise(Evidence(job, executions, ticks, pool, round(longest * 1_000)))
        return AdviceView(job, len(executions), len(ticks), found)
