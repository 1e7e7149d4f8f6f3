"""Reads what jobs took over their runs. Each request reads a page of rows, whatever is stored, and its figures count that page only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastlane.models.job import Execution, Job
from fastlane.models.paging import Page, Window
from fastlane.models.run_figures import Figures, Measure, ended_runs, figures
from fastlane.models.status import Status
from fastlane.services.parts import Service
from fastlane.storage.base import find_job


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


class Trends(Service):
    """Reads figures over runs. Raises NotFound for a job that does not exist and a page past the end, and StoreDown."""

    async def stats(self, task_id: str, job_id: str, window: Window, statuses: frozenset[Status] = frozenset()) -> StatsView:
        """The figures of a page of a job's executions; only runs with one of these statuses count, if any are given."""
        job = await find_job(self._store, task_id, job_id)
        page = await self._store.list_executions_of(job_id, window)
        page.check()
        runs = [one for one in ended_runs(page.rows) if not statuses or one.status in statuses]
        return StatsView(job, page, runs, {measure: figures(runs, measure) for measure in Measure})
