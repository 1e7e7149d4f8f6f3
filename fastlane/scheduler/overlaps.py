"""Lets an execution go on that waited for others of its job, and stops those that it is to replace.

Whoever finds out that one may not have to wait any more calls ``attend``: a worker that claims the entry of one that waits, and a worker
that has settled another of the job, before it frees the slot. Each looks after its own write, so one of them sees the other's. A process
that ends in between leaves an entry by which another one looks.
"""

from collections.abc import Sequence

import structlog

from fastlane.clock import Clock
from fastlane.errors import Unreadable
from fastlane.models import transitions
from fastlane.models.execution import Execution
from fastlane.models.placement.pool import Pool, pool_for
from fastlane.models.schedule.overlap import awaited, replaced
from fastlane.models.status import Status
from fastlane.queue.base import TimedQueue, execution_entry, pass_on_stop
from fastlane.storage.base import Store

log = structlog.get_logger()

LOOK_AGAIN = 30_000
"""Milliseconds after which a worker looks again at one that waits. It is told sooner, unless a worker of an older version settled the other
one."""


class Overlaps:
    """Safe to repeat, by any worker and from any point."""

    def __init__(self, store: Store, queue: TimedQueue, clock: Clock, pools: Sequence[Pool]) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._pools = pools

    async def attend(self, job_id: str) -> None:
        """Releases the job's execution that waits, if there is one and it has nothing to wait for; or else stops what it is to replace.
        While a row cannot be read, it may be one that runs: the one that waits goes on waiting, and all else goes on."""
        try:
            await self._attend(job_id)
        except Unreadable as error:
            log.error("overlap.unreadable", job_id=job_id, error=str(error))

    async def _attend(self, job_id: str) -> None:
        waiting = await self._store.waiting(job_id)
        if waiting is None:
            return
        job = await self._store.job(job_id)
        first = awaited(job, waiting, await self._store.under_way_of(waiting.task_id, job_id))
        if not await self._is_held(waiting):
            for execution in replaced(waiting, first):
                await self._stop(execution, waiting)
        if not first and (released := await self._store.change(transitions.release(waiting))) is not None:
            log.info("execution.released", task_id=released.task_id, job_id=job_id, execution_id=released.id)
            await self._queue.put([execution_entry(released, self._pools)])

    async def _is_held(self, waiting: Execution) -> bool:
        """Whether a pause keeps it from starting now. What runs then goes on, and is replaced at a look after the pause."""
        pauses, pool = await self._store.paused_pools(), pool_for(self._pools, waiting.task_id)
        return pauses.hold is not None or (pool is not None and pool.name in pauses.names)

    async def _stop(self, execution: Execution, waiting: Execution) -> None:
        """Stops an execution. When another process changes it first, the next look finds it as it is then."""
        now = self._clock.now()
        queued = execution.status is Status.ENQUEUED
        change = transitions.cancel(execution, now=now) if queued else transitions.flag_stop(execution, now=now)
        stopped = await self._store.change(change)
        if stopped is None:
            return
        log.info("execution.replaced", task_id=stopped.task_id, job_id=stopped.job_id, execution_id=stopped.id, by=waiting.id)
        await pass_on_stop(self._queue, stopped, now=now)
