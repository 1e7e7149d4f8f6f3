"""Previews a job without creating it: its pool and hosts, and when it would run."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastlane.clock import Clock
from fastlane.models.container.container import Resources
from fastlane.models.job import Spec
from fastlane.models.placement.pool import Pool
from fastlane.models.schedule.cron import next_tick
from fastlane.models.schedule.schedule import Schedule
from fastlane.queue.base import WorkerReports
from fastlane.services.jobs.admission import admit
from fastlane.services.reads.server_status import HostRow, host_rows

MAX_RUNS = 5


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
        self._pools = tuple(pools)

    async def preview(self, task_id: str, spec: Spec, schedule: Schedule) -> Preview:
        """Raises Invalid when no pool takes the task, and Forbidden when the pool does not allow the container."""
        pool = admit(self._pools, task_id, spec)
        hosts = host_rows([pool], await self._reports.current())
        return Preview(spec, schedule, pool, hosts, next_runs(spec, schedule, self._clock.now()), spec.resources.within(pool.limits))


def next_runs(spec: Spec, schedule: Schedule, now: int) -> tuple[int, ...]:
    """The next due times of a job that is created now: of a cron the next five before its ``expiration``, one of any other schedule."""
    moment = schedule.first_tick(now)
    if schedule.cron is None:
        return (now if moment is None else max(moment, now),)
    found: list[int] = []
    while moment is not None and not spec.is_over(moment) and len(found) < MAX_RUNS:
        found.append(moment)
        moment = next_tick(schedule.cron, moment)
    return tuple(found)
