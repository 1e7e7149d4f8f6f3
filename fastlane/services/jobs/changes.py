"""What the rooms of the jobs service share: the ports, the compare-and-set on a job, and the words to the queue about one entry."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from fastlane.clock import Clock
from fastlane.errors import Fault, Forbidden, Invalid, NotFound, QueueDown, StoreDown
from fastlane.models.execution import Execution
from fastlane.models.idempotency import IdempotencyRecord
from fastlane.models.job import Job, Spec, job_status
from fastlane.models.job_change import JobChange
from fastlane.models.placement.pool import Pool, pool_for, refusals
from fastlane.queue import base as queues
from fastlane.queue.base import TICKS, Cancelled, Entry, Queue
from fastlane.services.jobs.outbox import QueueOutbox
from fastlane.services.jobs.results import Stopped
from fastlane.storage.base import Store

T = TypeVar("T")
Step = Callable[[Job, int], Awaitable[JobChange | None]]

MOST_TURNS = 200
"""A job that changes in each of so many turns between a look and its write is too busy to be changed."""
AT_ONCE = 16
"""So many jobs of a task are worked on at once: their writes then share commits."""

log = structlog.get_logger()


class JobChanges:
    """The ports, and what every room does with them. Rooms write the store first, which is the truth, and tell the queue after it: what
    the queue did not hear is told again in the background, and found by the reconciler in any case."""

    def __init__(self, store: Store, queue: Queue, clock: Clock, pools: Sequence[Pool]) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._pools = tuple(pools)
        self._handover = QueueOutbox(queue, clock)

    async def close(self) -> None:
        """Ends the background work."""
        await self._handover.close()

    async def _job(self, task_id: str, job_id: str) -> Job:
        job = await self._store.job(job_id)
        if job is None or job.task_id != task_id:
            raise NotFound(f"task {task_id!r} has no job {job_id}")
        return job

    async def _bring_on(
        self,
        task_id: str,
        job_id: str,
        step: Step,
        receipt: Callable[[JobChange, int], IdempotencyRecord | None] = lambda _advance, _now: None,
    ) -> JobChange:
        """Takes a step with a job (as it is, and now), again from a new look where somebody else was quicker; what was written, with a
        receipt if there is to be one. A step of None leaves the job as it is."""
        for _ in range(MOST_TURNS):
            seen, now = await self._job(task_id, job_id), self._clock.now()
            advance = await step(seen, now)
            if advance is None:
                return JobChange(seen)
            if await self._store.advance(seen, advance.job, advance.ticks, advance.execution, receipt(advance, now)):
                return advance
        raise StoreDown(f"job {job_id} changes too often just now; try again")

    async def _hand_over(self, execution: Execution | None, job: Job | None = None) -> None:
        """The queue hears what the store has: of an execution, and of a job's tick to come."""
        entries = [] if execution is None else [queues.entry_of(execution, self._pools, due=execution.scheduled_for)]
        if job is not None and job.next_tick is not None:
            entries.append(Entry(job.id, queues.EntryKind.JOB, TICKS, job.next_tick, job.revision))
        if entries:
            await self._handover.put(entries)

    async def _withdraw(self, job: Job) -> None:
        """The job's entry goes, unless it is of a later revision: that of a change which was made after this one, and was quicker."""
        await self._cancel(job.id, revision=job.revision)

    async def _cancel(self, entry_id: str, *, revision: int | None = None) -> Cancelled | None:
        """None when the queue does not answer: the entry is then found out of date when it comes up."""
        try:
            return await self._queue.cancel(entry_id, revision=revision)
        except QueueDown as error:
            log.warning("queue.cancel.failed", entry=entry_id, error=str(error))
            return None

    async def _standing(self, job: Job) -> Stopped:
        latest = (await self._store.latest([job.id])).get(job.id)
        return Stopped(job.task_id, job.id, None, job_status(job, latest.status if latest else None))


def pool_taking(pools: Sequence[Pool], task_id: str) -> Pool:
    """The pool that takes the task; raises Invalid when none does."""
    pool = pool_for(pools, task_id)
    if pool is None:
        words = f"no pool takes the task {task_id!r}; use another task id, or add a pool whose match fits it to the settings"
        raise Invalid([Fault("taskId", words)])
    return pool


def pool_allowing(pools: Sequence[Pool], task_id: str, spec: Spec) -> Pool:
    """The pool that takes the task; raises Invalid when none does, Forbidden when its policy or its limits do not allow what is asked."""
    pool = pool_taking(pools, task_id)
    refuse_beyond(pool, spec)
    return pool


def refuse_beyond(pool: Pool, spec: Spec) -> None:
    """Raises Forbidden when the pool's policy or limits do not allow what is asked for a container, with all that they do not allow."""
    if faults := refusals(pool, spec):
        raise Forbidden(faults)


async def each(things: Sequence[T], act: Callable[[T], Awaitable[object]]) -> None:
    """Acts on all things, some at once; raises the first error once those that had begun are through."""
    for start in range(0, len(things), AT_ONCE):
        results = await asyncio.gather(*(act(thing) for thing in things[start : start + AT_ONCE]), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
