"""Previews a job, or a change of one, without writing it: its pool and hosts, and when it would run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastlane.clock import Clock
from fastlane.models.container.container import Resources
from fastlane.models.job import Spec, next_runs
from fastlane.models.job_change import JobChange
from fastlane.models.placement.pool import Pool, pool_for
from fastlane.models.schedule.schedule import Schedule
from fastlane.queue.base import WorkerReports
from fastlane.services.jobs.admission import admit
from fastlane.services.reads.host_rows import HostRow, host_rows


@dataclass(frozen=True, slots=True)
class Preview:
    """What a job would run and where: its pool's hosts as workers see them, its next due times (milliseconds; five at most), and the
    resources of its container (those that the spec asks for, or else the pool's limits)."""

    spec: Spec
    schedule: Schedule
    pool: Pool
    hosts: tuple[HostRow, ...]
    next_runs: tuple[int, ...]
    resources: Resources


class Previewer:
    """Writes nothing. Raises QueueDown, because the job itself would be refused."""

    def __init__(self, reports: WorkerReports, clock: Clock, pools: Sequence[Pool]) -> None:
        self._reports = reports
        self._clock = clock
        self._pools = pools

    async def preview(self, task_id: str, spec: Spec, schedule: Schedule) -> Preview:
        """A job that would be created now. Raises Invalid when no pool takes the task, and Forbidden when the pool does not allow the
        container."""
        return await self._preview(admit(self._pools, task_id, spec), spec, schedule, first_run(schedule, self._clock.now()))

    async def preview_change(self, change: JobChange) -> Preview:
        """A job after a change that was admitted. Raises Invalid when no pool takes its task."""
        job = change.job
        pool = pool_for(self._pools, job.task_id) or admit(self._pools, job.task_id, job.spec)
        first = job.next_run(self._clock.now()) if change.execution is None else change.execution.scheduled_for
        return await self._preview(pool, job.spec, job.schedule, first)

    async def _preview(self, pool: Pool, spec: Spec, schedule: Schedule, first: int | None) -> Preview:
        resources = spec.resources.within(pool.limits)
        hosts = tuple(_for(resources, row) for row in host_rows([pool], await self._reports.current()))
        return Preview(spec, schedule, pool, hosts, next_runs(spec, schedule, first), resources)


def _for(resources: Resources, row: HostRow) -> HostRow:
    """A host as it is for a container with these resources."""
    if row.view is None or not row.view.usable or (shortage := row.view.shortage(resources)) is None:
        return row
    return replace(row, view=replace(row.view, usable=False, reason=shortage))


def first_run(schedule: Schedule, now: int) -> int | None:
    """When a job that is created now is first due; None for a cron that never is."""
    moment = schedule.first_tick(now)
    return moment if schedule.cron is not None else max(moment or now, now)
