"""Why a job or an execution does not run (yet): gathers the facts of ``waiting`` from the store, the queue and the workers' reports."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fastlane.clock import Clock
from fastlane.errors import NotFound, QueueDown
from fastlane.models.execution import Execution
from fastlane.models.job import job_status
from fastlane.models.note import Note
from fastlane.models.paging import Wanted, Window
from fastlane.models.placement.pool import Pool, pool_for
from fastlane.models.status import STARTING
from fastlane.queue.base import LaneCounts, Report, TimedQueue, WorkerReports
from fastlane.services.reads.status import best_views
from fastlane.services.reads.waiting import WaitFacts, WaitReason, execution_waits, job_waits
from fastlane.storage.base import Store


@dataclass(frozen=True, slots=True)
class Explained:
    """A job's or an execution's status, and what it waits for: nothing, one thing or several. ``envs``: the variables whose values may
    stand in the words."""

    status: str
    waits: tuple[WaitReason, ...]
    envs: Mapping[str, str] = field(default_factory=dict)


class Why:
    """Explains. Raises NotFound for what is not there, StoreDown when the store is; that the queue is down is an explanation."""

    def __init__(self, store: Store, queue: TimedQueue, reports: WorkerReports, clock: Clock, pools: Sequence[Pool]) -> None:
        self._store = store
        self._queue = queue
        self._reports = reports
        self._clock = clock
        self._pools = tuple(pools)

    async def job(self, task_id: str, job_id: str) -> Explained:
        """What a job waits for."""
        job = await self._store.job(job_id)
        if job is None or job.task_id != task_id:
            raise NotFound(f"task {task_id!r} has no job {job_id}")
        latest = (await self._store.latest([job_id])).get(job_id)
        waits = job_waits(job, latest, await self._facts(task_id, latest))
        return Explained(job_status(job, latest.status if latest else None), tuple(waits), (latest or job).spec.envs)

    async def execution(self, task_id: str, job_id: str, execution_id: str) -> Explained:
        """What an execution waits for."""
        execution = await self._store.execution(execution_id)
        if execution is None or execution.job_id != job_id or execution.task_id != task_id:
            raise NotFound(f"job {job_id} of task {task_id!r} has no execution {execution_id}")
        waits = execution_waits(execution, await self._facts(task_id, execution))
        return Explained(execution.status.value, tuple(waits), execution.spec.envs)

    async def _facts(self, task_id: str, execution: Execution | None) -> WaitFacts:
        pool = pool_for(self._pools, task_id)
        name = pool.name if pool is not None else ""
        pauses, (fault, reports, lanes), of_task = await asyncio.gather(
            self._store.paused_pools(), self._ask_queue(name), self._of_task(task_id, execution)
        )
        lane = lanes.get(name, LaneCounts(0, 0, 0))
        views = best_views(reports)
        return WaitFacts(
            now=self._clock.now(),
            pool=pool,
            paused=name in pauses.names,
            queue_fault=fault,
            workers=len(reports),
            hosts=tuple(views[host] for host in _hosts(pool, execution) if host in views),
            running=lane.running,
            ready=lane.ready,
            of_task=of_task,
            note=_note(execution, reports),
        )

    async def _ask_queue(self, pool: str) -> tuple[str | None, Sequence[Report], Mapping[str, LaneCounts]]:
        """Why the queue does not answer; or the workers that are alive, and how many entries of the pool stand where."""
        try:
            return None, await self._reports.current(), await self._queue.counts([pool] if pool else [])
        except QueueDown as error:
            return str(error), (), {}

    async def _of_task(self, task_id: str, execution: Execution | None) -> int:
        if execution is None or not execution.spec.concurrency:
            return 0
        return (await self._store.list_executions(Wanted(STARTING, task_id), Window(1, 1))).total


def _note(execution: Execution | None, reports: Sequence[Report]) -> Note | None:
    """What the execution's owner notes about it, and no earlier owner."""
    if execution is None:
        return None
    owners = {None, execution.epoch}
    notes = [note for report in reports for note in report.notes if note.execution_id == execution.id and note.epoch in owners]
    return max(notes, key=lambda note: note.since, default=None)


def _hosts(pool: Pool | None, execution: Execution | None) -> list[str]:
    """The pool's hosts, and the one that the execution is on, if that is another."""
    names = [*(pool.hosts if pool is not None else ()), *([execution.host] if execution is not None and execution.host else [])]
    return list(dict.fromkeys(names))
