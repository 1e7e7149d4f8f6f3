"""Fires jobs whose tick is due: makes the tick and its execution, by one compare-and-set on the job."""

from dataclasses import replace

import structlog

from fastlane.clock import Clock
from fastlane.models.execution import Execution
from fastlane.models.job import Job
from fastlane.models.pool import Pool
from fastlane.models.tick import Tick, make, once_key
from fastlane.queue.base import Lease, Queue, entry_of
from fastlane.storage.base import Store

log = structlog.get_logger()


def fire(job: Job, now: int) -> tuple[Job, Tick, Execution]:
    """The job after its due tick, that tick, and its execution. ``next_tick`` must be set."""
    if job.next_tick is None:
        raise ValueError(f"job {job.id} has no tick to come")
    sequence = job.sequence + 1
    tick, execution = make(job, once_key(job.schedule_revision), sequence=sequence, due=job.next_tick, now=now)
    return replace(job, sequence=sequence, next_tick=None, last_tick=job.next_tick), tick, execution


class Timer:
    """Handles the job entries that the dispatcher claims."""

    def __init__(self, store: Store, queue: Queue, clock: Clock, owner: str, pools: tuple[Pool, ...]) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._owner = owner
        self._pools = pools

    async def handle(self, lease: Lease, now: int) -> None:
        """Fires the job if its tick is due at ``now`` (the queue's time), puts its entry right if it is not, removes it if none comes."""
        while True:
            job = await self._store.job(lease.id)
            if job is None or job.next_tick is None:
                await self._put_again(lease, now)
                await self._queue.finish({lease.id: lease.revision})
                return
            if job.next_tick > now:
                await self._queue.requeue(self._owner, lease.id, job.next_tick)
                return
            after, tick, execution = fire(job, self._clock.now())
            if await self._store.advance(job, after, tick, execution):
                log.info("tick.fired", task_id=job.task_id, job_id=job.id, execution_id=execution.id, due=tick.due)
                await self._queue.put([entry_of(execution, self._pools, due=now)])
                await self._queue.finish({lease.id: job.revision})
                return

    async def _put_again(self, lease: Lease, now: int) -> None:
        """Another worker may have fired the tick and died before it put the execution: what is in the queue already stays as it is."""
        latest = (await self._store.latest([lease.id])).get(lease.id)
        if latest is not None and not latest.status.final:
            await self._queue.put([entry_of(latest, self._pools, due=now)])
