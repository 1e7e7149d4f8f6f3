"""Reads what an operator looks at: the status of the server (workers, hosts, queues, what runs and what comes next), its health, and the
gauges for Prometheus."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from fastlane.clock import iso, unless_cancelled
from fastlane.directory import Directory
from fastlane.errors import FastlaneError, StoreDown
from fastlane.models.delivery import Receiver
from fastlane.models.event import Note, Obstacle
from fastlane.models.host import HostView, Uncleaned
from fastlane.models.job import Job, LateJob, RunningContainer
from fastlane.models.pool import REQUESTED, RESTORED, Pauses, Pool, PoolsRevision
from fastlane.queue.port import LaneCounts, Report, stranded_lanes
from fastlane.services.parts import Service, ServiceParts
from fastlane.services.reads.pools import HostRow, distinct_views, host_rows
from fastlane.services.reads.why import DEADLINES, why_it_hangs
from fastlane.storage.base import Counts
from fastlane.streams.followers import Followers

Answer = TypeVar("Answer")


class SharedCheck(Generic[Answer]):
    """The answer of ``check``, which counts for ``valid`` seconds, or for ``share`` times as long as it took if that is longer. Callers
    who ask while a check is under way wait for it, so that more callers make no more work. An answer that took less than ``cheap`` seconds
    counts for nobody else. ``check`` ends in bounded time; what it raises, its caller gets."""

    def __init__(self, check: Callable[[], Awaitable[Answer]], valid: float, *, share: float = 0, cheap: float = 0) -> None:
        self._check = check
        self._valid = valid
        self._share = share
        self._cheap = cheap
        self._lock = asyncio.Lock()
        self._last: tuple[float, Answer] | None = None

    async def answer(self) -> Answer:
        """The last answer, or a new one when that is too old."""
        async with self._lock:
            now = asyncio.get_running_loop().time
            if self._last is None or now() >= self._last[0]:
                self._last = None  # what a cancelled check leaves
                began = now()
                answer = await self._check()
                took = now() - began
                if took < self._cheap:
                    return answer
                self._last = (now() + max(self._valid, self._share * took), answer)
            return self._last[1]


MAX_RUNNING, MAX_UNCLEANED = 1_000, 1_000
MAX_SCHEDULED, MAX_LATE = 20, 100
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
    ``has_pools``: whether its pools belong to the recorded revision; ``version``: of its fastlane. None: it does not say."""

    id: str
    started_at: int
    clock_skew: int | None = None
    has_pools: bool | None = None
    version: str | None = None


HANGING = frozenset({Obstacle.HOST_AWAY, Obstacle.NODE_DOWN})
"""What keeps a worker from following an execution that may be well."""
MOST_NAMED = 10
"""Hanging executions that the health check names."""


def hanging_notes(reports: Sequence[Report]) -> list[Note]:
    """What workers say of the executions that they cannot follow, the longest waits first. Of an execution whose owner changed, the earlier
    owner's may be among them until its next report."""
    return sorted((note for report in reports for note in report.notes if note.obstacle in HANGING), key=lambda note: note.since)


@dataclass(frozen=True, slots=True)
class RunningRow:
    """A container that runs, and what keeps its worker from following it."""

    container: RunningContainer
    hangs: str | None = None


def _rows(running: Sequence[RunningContainer], reports: Sequence[Report]) -> Iterator[RunningRow]:
    """What runs, with what its owner now says of it, and no earlier one."""
    notes = {(note.execution_id, note.epoch): note for note in hanging_notes(reports)}
    views = {view.name: view for view in distinct_views(reports)}
    for one in running:
        note = notes.get((one.execution_id, one.epoch)) or notes.get((one.execution_id, None))
        yield RunningRow(one, None if note is None else _hangs(note, views.get(one.host or "")))


def _hangs(note: Note, view: HostView | None = None) -> str:
    """What keeps a worker from following an execution. The note's own words may quote secret values of its variables, so they are left to
    ``/why``, which knows these; how the host is says the same of it."""
    if note.obstacle is Obstacle.NODE_DOWN:
        words = why_it_hangs(note)
    else:
        words = "its host does not answer" if view is None or view.usable else f"its host {view.name} {view.reason}"
    return words if note.until is None else f"{words}; {DEADLINES[note.obstacle]} {iso(note.until)}"


def hanging_fault(reports: Sequence[Report]) -> "HealthProblem | None":
    """The executions that workers cannot follow, and why; None when they can follow all."""
    notes = {note.execution_id: note for note in hanging_notes(reports)}
    if not notes:
        return None
    words = f"workers cannot follow {len(notes)} execution{'' if len(notes) == 1 else 's'}, whose host or node is away"
    named = "; ".join(f"{id}: {_hangs(note)}" for id, note in list(notes.items())[:MOST_NAMED])
    more = f"; and {len(notes) - MOST_NAMED} more" if len(notes) > MOST_NAMED else ""
    return HealthProblem("docker", f"{words}: {named}{more}", words)


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
    """The entries of a queue whose pool no worker has."""

    ready: int
    timed: int
    running: int
    blocked: int


@dataclass(frozen=True, slots=True)
class StatusView:
    """The status of the server. ``uptime``: of this process, in milliseconds. ``queues``: by pool; ``stranded``: the queues of pools that
    no worker has, by the pool's name. ``hold``: why all dispatch is paused, one of ``HOLDS``; None while it is not. ``jobs_by_status``:
    None when counting took too long. ``failing``: the receivers of webhooks that fail. ``late``: the jobs that are late."""

    uptime: int
    workers: tuple[WorkerRow, ...]
    hosts: tuple[HostRow, ...]
    running: tuple[RunningRow, ...]
    queues: Mapping[str, QueueRow]
    stranded: Mapping[str, StrandedRow]
    counts: Counts
    scheduled: tuple[Job, ...]
    uncleaned: tuple[Uncleaned, ...]
    hold: str | None = None
    jobs_by_status: Mapping[str, int] | None = None
    pools: PoolsRow = NO_POOLS_ROW
    failing: tuple[Receiver, ...] = ()
    late: tuple[LateJob, ...] = ()


class StatusReader(Service):
    """Reads the status of the server. Raises StoreDown and QueueDown."""

    def __init__(self, parts: ServiceParts) -> None:
        super().__init__(parts)
        self._started_at = parts.clock.now()
        self._job_counts: dict[str | None, SharedCheck[Mapping[str, int] | None]] = {}

    async def read(self, visible: str | None = None) -> StatusView:
        """The status now, with at most 1,000 running and 1,000 uncleaned executions, the 20 jobs that run next, the 100 jobs that have been
        late for longest, and 100 receivers that fail. Tasks, jobs and executions are shown and counted where the task's id matches
        ``visible``; receivers belong to all tasks of a pool, so they are shown without it only."""
        reports = await self._reports.current()
        lanes = await self._queue.counts()
        now = self._clock.now()
        (pauses, running), counts, jobs, scheduled, uncleaned, (failing, late) = await unless_cancelled(
            asyncio.gather(
                unless_cancelled(asyncio.gather(self._store.paused_pools(), self._store.running_containers(MAX_RUNNING, visible))),
                self._store.counts(visible),
                self._count_jobs(visible),
                self._store.next_jobs(MAX_SCHEDULED, now, visible),
                self._store.uncleaned_by_host(MAX_UNCLEANED),
                unless_cancelled(asyncio.gather(self._failing(visible), self._store.late_jobs(MAX_LATE, visible))),
            )
        )
        return StatusView(
            uptime=max(0, now - self._started_at),
            workers=tuple(_worker_row(report, self._directory.revision) for report in reports),
            hosts=host_rows(self._pools, reports, self._pools.records),
            running=tuple(_rows(running, reports)),
            queues={pool.name: _queue_row(pool, lanes.get(pool.name, EMPTY), pauses) for pool in self._pools},
            stranded={lane: _stranded_row(lanes[lane]) for lane in stranded_lanes(lanes, self._pools, reports)},
            counts=counts,
            jobs_by_status=jobs,
            scheduled=tuple(await self._calendars.jobs(scheduled)),
            uncleaned=tuple(uncleaned),
            hold=pauses.hold,
            pools=_pools_row(self._directory),
            failing=tuple(failing),
            late=tuple(late),
        )

    async def _failing(self, visible: str | None) -> Sequence[Receiver]:
        return await self._store.failing_receivers(MAX_FAILING) if visible is None else ()

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
    return WorkerRow(report.worker, report.started_at, report.clock_skew, has_pools, report.version)


def _pools_row(directory: Directory) -> PoolsRow:
    is_current = directory.revision.digest in ("", directory.digest)
    return PoolsRow(directory.revision, is_current, None if is_current else directory.fault)


def _queue_row(pool: Pool, lane: LaneCounts, pauses: Pauses) -> QueueRow:
    return QueueRow(lane.ready, lane.timed, lane.running, lane.blocked, pool.max_running, pool.name in pauses.names)


def _stranded_row(lane: LaneCounts) -> StrandedRow:
    return StrandedRow(lane.ready, lane.timed, lane.running, lane.blocked)


CHECK_WITHIN = 1.5
"""Seconds that one part may take to answer; all parts are asked at the same time."""

VALID, REPORTS_VALID = 1.0, 0.1
"""Seconds for which a check of the store or the queue counts, and a read of the workers' reports, which is cheap."""

HIDDEN = "log in to see what is wrong"
"""In place of a message, for callers who may not read it."""


@dataclass(frozen=True, slots=True)
class HealthProblem:
    """A fault of one part. ``of_some``: what callers read of it who may see some tasks only; None: the message."""

    source: str
    message: str
    of_some: str | None = None


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Which parts are healthy. ``docker``: every pool has a usable host. ``workers``: at least one is alive. ``dispatch``: all of it is not
    known to be paused; that is somebody's wish, and no fault. ``is_mongo``: whether the store is MongoDB."""

    redis: bool
    store: bool
    docker: bool
    workers: bool
    errors: tuple[HealthProblem, ...]
    dispatch: bool = True
    is_mongo: bool = False

    @property
    def healthy(self) -> bool:
        """Whether all parts are healthy."""
        return self.redis and self.store and self.docker and self.workers

    def without_messages(self) -> "HealthReport":
        """The report for callers who have not logged in: which parts are down, and nothing about hosts, pools or causes."""
        sources = dict.fromkeys(problem.source for problem in self.errors)
        return replace(self, errors=tuple(HealthProblem(source, HIDDEN) for source in sources))

    def of_some_tasks(self) -> "HealthReport":
        """The report for callers who may see some tasks only: without the ids of executions."""
        return replace(self, errors=tuple(replace(problem, message=problem.of_some or problem.message) for problem in self.errors))


PAUSED = {
    REQUESTED: "all dispatch was paused, so nothing starts; POST /dispatch/resume goes on",
    RESTORED: "all dispatch is paused since the store went back to an earlier state, as after a restore, so nothing starts; "
    "look at what is due to run, then POST /dispatch/resume",
}
"""What is said of a pause of all dispatch, by its reason."""

UNKNOWN = "not known, since workers report through Redis, which fails; see to Redis first"


class Health:
    """Asks all parts at the same time, and answers within two seconds even when a part hangs. Answers are up to a second old."""

    def __init__(self, parts: ServiceParts) -> None:
        self._store = SharedCheck(lambda: _fault(parts.store.check()), VALID)
        self._queue = SharedCheck(lambda: _fault(parts.queue.check()), VALID)
        self._reports = SharedCheck(lambda: _within(parts.queue.reports.current()), REPORTS_VALID)
        self._pauses = SharedCheck(lambda: _within(parts.store.paused_pools()), REPORTS_VALID)
        self._pools = parts.pools

    async def is_ready(self) -> bool:
        """Whether this process can take requests, which needs only the store."""
        return await self.takes_store_writes()

    async def takes_store_writes(self) -> bool:
        """Whether the store can be written."""
        return await self._store.answer() is None

    async def takes_queue_writes(self) -> bool:
        """Whether Redis can be written."""
        return await self._queue.answer() is None

    async def check(self) -> HealthReport:
        """Checks all parts."""
        store, redis, reports, pauses = await asyncio.gather(
            self._store.answer(), self._queue.answer(), self._reports.answer(), self._pauses.answer()
        )
        hold = None if pauses is None else pauses.hold
        said = (("store", store), ("redis", redis), ("dispatch", None if hold is None else PAUSED[hold]))
        errors = [HealthProblem(source, words) for source, words in said if words]
        if reports is None or (redis is not None and not reports):  # a full Redis is read, and takes no reports
            unknown = [HealthProblem(source, UNKNOWN) for source in ("workers", "docker")]
            return HealthReport(redis is None, store is None, False, False, (*errors, *unknown), hold is None)
        if not reports:
            errors.append(HealthProblem("workers", "no worker is alive; start one with `fastlane worker`"))
        docker = [HealthProblem("docker", words) for pool in self._pools if (words := pool_fault(pool, reports))]
        hanging = [problem for problem in [hanging_fault(reports)] if problem]
        return HealthReport(redis is None, store is None, not docker, bool(reports), (*errors, *docker, *hanging), hold is None)


def pool_fault(pool: Pool, reports: Sequence[Report]) -> str | None:
    """Why no execution of this pool can start, according to the workers; None when one can."""
    seen = [host for report in reports for host in report.hosts if host.name in pool.hosts]
    if any(host.fault is None for host in seen):
        return None
    if not pool.hosts:
        return f"pool {pool.name!r} has no host yet; register one with POST /hosts"
    if not seen:
        return f"pool {pool.name!r}: no worker is alive that sees its hosts ({', '.join(pool.hosts)})"
    reasons = {host.name: host.fault for host in seen}
    return f"pool {pool.name!r} has no usable host: " + "; ".join(f"{name} {reason}" for name, reason in sorted(reasons.items()))


async def _fault(answer: Awaitable[None]) -> str | None:
    try:
        async with asyncio.timeout(CHECK_WITHIN):
            await answer
    except TimeoutError:
        return f"did not answer within {CHECK_WITHIN} s"
    except FastlaneError as error:
        return str(error)
    return None


async def _within(answer: Awaitable[Answer]) -> Answer | None:
    """What the store or the queue answers; None when it does not, which its own check reports."""
    try:
        async with asyncio.timeout(CHECK_WITHIN):
            return await answer
    except (TimeoutError, FastlaneError):
        return None


GAUGES_WITHIN = 2.0
"""Seconds that the store and the queue may take. Prometheus gives up after ten."""

MOST_RECEIVERS = 1_000
"""Failing receivers that are counted at most."""
MOST_LATE = 10_000
"""Late jobs that are counted at most."""


@dataclass(frozen=True, slots=True)
class PoolGauges:
    """A pool now. ``lane``, and ``oldest`` (for how many milliseconds what has waited longest for a slot has been due): None when the queue
    does not say; ``paused``: None when the store does not."""

    pool: Pool
    lane: LaneCounts | None
    oldest: int | None
    paused: bool | None


@dataclass(frozen=True, slots=True)
class InstallationGauges:
    """The installation now. ``store_up`` and ``queue_up``: whether a small write succeeded. ``store_seconds`` and ``queue_seconds``: how
    long one small read took; None: it failed. ``migrating``: whether another process brings the store up to date. ``workers``: those that
    are alive; None when the queue does not say, or takes no reports. ``pauses``: what is paused, ``overdue``: for how many milliseconds the
    delivery that has waited longest has been due, ``receivers``: the failing ones, ``late``: how many jobs are late by their
    ``expectEvery``, ``log_bytes``: about how many bytes all stored logs take; None when the store does not say."""

    pools: tuple[PoolGauges, ...]
    hosts: tuple[HostRow, ...]
    workers: int | None
    followers: int
    pauses: Pauses | None
    overdue: int | None
    receivers: Sequence[Receiver] | None
    late: int | None
    log_bytes: int | None
    migrating: bool | None
    store_up: bool
    queue_up: bool
    store_seconds: float | None
    queue_seconds: float | None


class GaugeReader(Service):
    """Reads the gauges. Never raises: what cannot be read is None, or missing."""

    def __init__(self, parts: ServiceParts, followers: Followers, health: Health) -> None:
        super().__init__(parts)
        self._followers = followers
        self._health = health

    async def read(self) -> InstallationGauges:
        """The installation as it is now."""
        names, now = [pool.name for pool in self._pools], self._clock.now()
        of_queue = asyncio.gather(
            _timed(self._queue.counts(names)), _timed(self._queue.oldest_waiting(names)), _timed(self._reports.current())
        )
        of_store = asyncio.gather(
            _timed(self._store.paused_pools()),
            _timed(self._store.deliveries_due(now, 1)),
            _timed(self._store.failing_receivers(MOST_RECEIVERS)),
            _timed(self._store.count_late_jobs(MOST_LATE)),
            _timed(self._store.retention.log_bytes()),
            _timed(self._store.is_migrating()),
        )
        writes = asyncio.gather(self._health.takes_store_writes(), self._health.takes_queue_writes())
        queue_answers, store_answers, (store_up, queue_up) = await asyncio.gather(of_queue, of_store, writes)
        (lanes, queue_seconds), (oldest, _), (reports, _) = queue_answers
        (pauses, store_seconds), (due, _), (receivers, _), (late, _), (log_bytes, _), (migrating, _) = store_answers
        return InstallationGauges(
            pools=tuple(_pool_gauges(pool, lanes or {}, oldest or {}, pauses) for pool in self._pools),
            hosts=() if reports is None else host_rows(self._pools, reports),
            workers=None if reports is None or not (reports or queue_up) else len(reports),
            followers=len(self._followers),
            pauses=pauses,
            overdue=None if due is None else max((now - delivery.due for delivery in due if delivery.due is not None), default=0),
            receivers=receivers,
            late=late,
            log_bytes=log_bytes,
            migrating=migrating,
            store_up=store_up,
            queue_up=queue_up,
            store_seconds=store_seconds,
            queue_seconds=queue_seconds,
        )


async def _timed(answer: Awaitable[Answer]) -> tuple[Answer | None, float | None]:
    """The answer and the seconds that it took; twice None when it failed."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(GAUGES_WITHIN):
            found = await answer
    except (FastlaneError, TimeoutError):
        return None, None
    return found, time.monotonic() - began


def _pool_gauges(pool: Pool, lanes: Mapping[str, LaneCounts], oldest: Mapping[str, int], pauses: Pauses | None) -> PoolGauges:
    return PoolGauges(pool, lanes.get(pool.name), oldest.get(pool.name), None if pauses is None else pool.name in pauses.names)
