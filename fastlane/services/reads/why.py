"""Explains why a job or an execution does not run yet: gathers the facts for ``wait_rules`` from the store, the queue and the workers."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fastlane.clock import Clock
from fastlane.errors import QueueDown, Unreadable
from fastlane.models.execution import Execution
from fastlane.models.job import Job, job_status
from fastlane.models.note import Note
from fastlane.models.paging import Wanted, Window
from fastlane.models.placement.pool import Pool, pool_for
from fastlane.models.schedule.overlap import awaited
from fastlane.models.schedule.tick import Tick
from fastlane.models.status import STARTING
from fastlane.queue.base import LaneCounts, Report, TimedQueue, WorkerReports
from fastlane.services.reads.host_rows import distinct_views
from fastlane.services.reads.memory import OutOfMemory, out_of_memory
from fastlane.services.reads.wait_reasons import WaitReason
from fastlane.services.reads.wait_rules import WaitFacts, execution_waits, job_waits
from fastlane.storage.base import Store
from fastlane.storage.lookup import find_execution, find_job

ONE = Window(1, 1)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The status of a job or an execution, what it waits for, whether memory ran out at its end, and a job's last tick if that made no
    execution. ``envs``: its environment, whose secret values may occur in the messages."""

    status: str
    waits: tuple[WaitReason, ...]
    envs: Mapping[str, str] = field(default_factory=dict)
    out_of_memory: OutOfMemory | None = None
    last_tick: tuple[Job, Tick] | None = None


class WaitExplainer:
    """Raises NotFound and StoreDown. A queue that is down is an explanation, not an error."""

    def __init__(self, store: Store, queue: TimedQueue, reports: WorkerReports, clock: Clock, pools: Sequence[Pool]) -> None:
        self._store = store
        self._queue = queue
        self._reports = reports
        self._clock = clock
        self._pools = pools

    async def job(self, task_id: str, job_id: str) -> Explanation:
        """What a job waits for."""
        job = await find_job(self._store, task_id, job_id)
        latest = (await self._store.latest([job_id])).get(job_id)
        ticks = (await self._store.list_ticks(job_id, ONE)).rows
        facts = await self._facts(task_id, latest)
        status = job_status(job, latest.status if latest else None, facts.now)
        waits, memory = tuple(job_waits(job, latest, facts)), out_of_memory(latest, self._pools)
        last_tick = (job, ticks[0]) if ticks and ticks[0].execution_id is None else None
        return Explanation(status, waits, (latest or job).spec.envs, memory, last_tick)

    async def execution(self, task_id: str, job_id: str, execution_id: str) -> Explanation:
        """What an execution waits for."""
        execution = await find_execution(self._store, task_id, job_id, execution_id)
        waits = execution_waits(execution, await self._facts(task_id, execution))
        return Explanation(execution.status.value, tuple(waits), execution.spec.envs, out_of_memory(execution, self._pools))

    async def _facts(self, task_id: str, execution: Execution | None) -> WaitFacts:
        pool = pool_for(self._pools, task_id)
        name = pool.name if pool is not None else ""
        pauses, (fault, reports, lanes, own), of_task, earlier = await asyncio.gather(
            self._store.paused_pools(), self._ask_queue(name, execution), self._of_task(task_id, execution), self._awaited(execution)
        )
        lane = lanes.get(name, LaneCounts(0, 0, 0))
        views = distinct_views(reports)
        return WaitFacts(
            now=self._clock.now(),
            pool=pool,
            paused=name in pauses.names,
            queue_fault=fault,
            workers=len(reports),
            full=bool(reports) and all(report.room == 0 for report in reports),
            hosts=tuple(view for host in _hosts(pool, execution) for view in views if view.name == host),
            running=lane.running,
            ready=lane.ready,
            of_task=of_task,
            note=_note(execution, reports),
            lane=own,
            awaited=earlier,
            hold=pauses.hold,
        )

    async def _ask_queue(
        self, pool: str, execution: Execution | None
    ) -> tuple[str | None, Sequence[Report], Mapping[str, LaneCounts], str | None]:
        """Why the queue does not answer, or else the live workers' reports, the pool's entry counts and the execution's lane."""
        try:
            counts = await self._queue.counts([pool] if pool else [])
            lane = None if execution is None or execution.status.final else await self._queue.lane_of(execution.id)
            return None, await self._reports.current(), counts, lane
        except QueueDown as error:
            return str(error), (), {}, None

    async def _of_task(self, task_id: str, execution: Execution | None) -> int:
        if execution is None or not execution.spec.concurrency:
            return 0
        return (await self._store.list_executions(Wanted(STARTING, task_id), ONE)).total

    async def _awaited(self, execution: Execution | None) -> Execution | None:
        """The first execution that this one waits for."""
        if execution is None or execution.waits is None:
            return None
        try:
            job = await self._store.job(execution.job_id)
            others = await self._store.under_way_of(execution.task_id, execution.job_id)
        except Unreadable:
            return None
        return next(iter(awaited(job, execution, others)), None)


def _note(execution: Execution | None, reports: Sequence[Report]) -> Note | None:
    """What the execution's current owner notes about it; the notes of earlier owners do not count."""
    if execution is None:
        return None
    owners = {None, execution.epoch}
    notes = [note for report in reports for note in report.notes if note.execution_id == execution.id and note.epoch in owners]
    return max(notes, key=lambda note: note.since, default=None)


def _hosts(pool: Pool | None, execution: Execution | None) -> list[str]:
    """The pool's hosts, and the execution's host if it is not one of them."""
    names = [*(pool.hosts if pool is not None else ()), *([execution.host] if execution is not None and execution.host else [])]
    return list(dict.fromkeys(names))
