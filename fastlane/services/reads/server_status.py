"""Reads what an operator looks at: workers, hosts, queues, what runs, and what comes next."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from fastlane.clock import Clock
from fastlane.directory.directory import Directory
from fastlane.errors import StoreDown
from fastlane.models.execution import RunningContainer
from fastlane.models.job import Job
from fastlane.models.notify.receiver import Receiver
from fastlane.models.placement.host import Uncleaned
from fastlane.models.placement.pool import Pauses, Pool
from fastlane.models.placement.pools_revision import PoolsRevision
from fastlane.queue.base import LaneCounts, Report, TimedQueue, WorkerReports, stranded_lanes
from fastlane.services.reads.host_rows import HostRow, host_rows
from fastlane.services.reads.shared_check import SharedCheck
from fastlane.storage.base import Counts, Store

MAX_RUNNING, MAX_UNCLEANED = 1_000, 1_000
MAX_SCHEDULED = 20
MAX_FAILING = 100
MAX_PATTERNS = 100
"""Patterns of visible tasks for which jobs are counted at once."""
COUNT_DEADLINE = 1.0
"""Seconds for which a count of the jobs may hold up the status: enough for some 300,000."""
JOB_COUNTS_VALID = 0.1
"""Seconds for which a count of the jobs is used again, at least."""
EMPTY = LaneCounts(0, 0, 0)


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker that is alive, when it started (milliseconds), and how far its clock is ahead of Redis's (milliseconds), if it knows.
    ``has_pools``: whether its pools are those of the recorded revision; None: it does not say."""

    id: str
    started_at: int
    clock_skew: int | None = None
    has_pools: bool | None = None


NO_REVISION = PoolsRevision()


@dataclass(frozen=True, slots=True)
class PoolsRow:
    """The recorded revision of the pools, whether this process has its pools, and why it could not take them over."""

    revision: PoolsRevision = NO_REVISION
    is_current: bool = True
    fault: str | None = None


NO_POOLS_ROW = PoolsRow()


@dataclass(frozen=True, slots=True)
class QueueRow:
    """How many entries of a pool's queue wait for a slot, wait for their time, run, or wait until fewer of their task run; how many may run
    at once, and whether the pool is paused."""

    ready: int
    timed: int
    running: int
    blocked: int
    max_running: int
    paused: bool


@dataclass(frozen=True, slots=True)
class StrandedRow:
    """The same of a queue whose pool no worker has."""

    ready: int
    timed: int
    running: int
    blocked: int


@dataclass(frozen=True, slots=True)
class StatusView:
    """The status of the server. ``uptime``: of this process, in milliseconds. ``queues``: by pool; ``stranded``: those of pools that no
    worker has, by the pool's name. ``hold``: why all dispatch is paused, one of ``HOLDS``; None while it is not. ``jobs_by_status``: None
    when counting took too long. ``failing``: the receivers of webhooks that fail."""

    uptime: int
    workers: tuple[WorkerRow, ...]
    hosts: tuple[HostRow, ...]
    running: tuple[RunningContainer, ...]
    queues: Mapping[str, QueueRow]
    stranded: Mapping[str, StrandedRow]
    counts: Counts
    scheduled: tuple[Job, ...]
    uncleaned: tuple[Uncleaned, ...]
    hold: str | None = None
    jobs_by_status: Mapping[str, int] | None = None
    pools: PoolsRow = NO_POOLS_ROW
    failing: tuple[Receiver, ...] = ()


class StatusReader:
    """Raises StoreDown and QueueDown."""

    def __init__(self, store: Store, queue: TimedQueue, reports: WorkerReports, clock: Clock, directory: Directory) -> None:
        self._store = store
        self._queue = queue
        self._reports = reports
        self._clock = clock
        self._directory, self._pools = directory, directory.pools
        self._started_at = clock.now()
        self._job_counts: dict[str | None, SharedCheck[Mapping[str, int] | None]] = {}

    async def read(self, visible: str | None = None) -> StatusView:
        """The status now, with at most 1,000 running and 1,000 uncleaned executions, the 20 jobs that run next, and 100 receivers that
        fail. Tasks, jobs and
        executions are shown and counted where the task's id matches ``visible``."""
        reports = await self._reports.current()
        lanes = await self._queue.counts()
        pauses = await self._store.paused_pools()
        now = self._clock.now()
        return StatusView(
            uptime=max(0, now - self._started_at),
            workers=tuple(_worker_row(report, self._directory.revision) for report in reports),
            hosts=host_rows(self._pools, reports, self._pools.records),
            running=tuple(await self._store.running_containers(MAX_RUNNING, visible)),
            queues={pool.name: _queue_row(pool, lanes.get(pool.name, EMPTY), pauses) for pool in self._pools},
            stranded={lane: _stranded_row(lanes[lane]) for lane in stranded_lanes(lanes, self._pools, reports)},
            counts=await self._store.counts(visible),
            jobs_by_status=await self._count_jobs(visible),
            scheduled=tuple(await self._store.next_jobs(MAX_SCHEDULED, now, visible)),
            uncleaned=tuple(await self._store.uncleaned_by_host(MAX_UNCLEANED)),
            hold=pauses.hold,
            pools=_pools_row(self._directory),
            failing=tuple(await self._store.failing_receivers(MAX_FAILING)),
        )

    async def _count_jobs(self, visible: str | None) -> Mapping[str, int] | None:
        """Looks at every job, so callers share the answer, for ten times as long as it took."""

        async def count() -> Mapping[str, int] | None:
            try:
                async with asyncio.timeout(COUNT_DEADLINE):
                    return await self._store.jobs_by_status(visible)
            except (StoreDown, TimeoutError):
                return None

        if visible not in self._job_counts and len(self._job_counts) >= MAX_PATTERNS:
            self._job_counts.clear()
        return await self._job_counts.setdefault(visible, SharedCheck(count, JOB_COUNTS_VALID, share=10)).answer()


def _worker_row(report: Report, revision: PoolsRevision) -> WorkerRow:
    has_pools = None if report.pools_digest is None else report.pools_digest == revision.digest
    return WorkerRow(report.worker, report.started_at, report.clock_skew, has_pools)


def _pools_row(directory: Directory) -> PoolsRow:
    is_current = directory.revision.digest in ("", directory.digest)
    return PoolsRow(directory.revision, is_current, None if is_current else directory.fault)


def _queue_row(pool: Pool, lane: LaneCounts, pauses: Pauses) -> QueueRow:
    return QueueRow(lane.ready, lane.timed, lane.running, lane.blocked, pool.max_running, pool.name in pauses.names)


def _stranded_row(lane: LaneCounts) -> StrandedRow:
    return StrandedRow(lane.ready, lane.timed, lane.running, lane.blocked)
