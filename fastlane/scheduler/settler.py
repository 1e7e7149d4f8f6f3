"""What follows a final state: the next attempt, deliveries, the tick's row and the queue's slot; after that, the removal of the service."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import structlog

from fastlane.clock import Clock
from fastlane.errors import FastlaneError, Unreadable
from fastlane.executors.port import Executor
from fastlane.models import transitions
from fastlane.models.delivery import deliveries_of, targets_of
from fastlane.models.execution import Ending, Execution
from fastlane.models.host import reachable_manager
from fastlane.models.pool import Pool, pool_for
from fastlane.models.retry import retry_due
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, awaited, next_execution, replaced
from fastlane.queue.port import TimedQueue, execution_entry, pass_on_stop
from fastlane.scheduler.known_workers import never_forgotten
from fastlane.scheduler.lateness import Lateness
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


NEVER_STARTED = {
    Status.STOPPED: (Outcome.STOPPED, "stopped before its container started"),
    Status.EXPIRED: (Outcome.EXPIRED, "its container had not started before it expired"),
}


def is_last_word(execution: Execution, ending: Ending, pools: Sequence[Pool] = ()) -> bool:
    """Whether an execution that ends like this only has to free its slot: there is no next attempt, its tick's row stays as it is, and no
    webhook or mailbox is told, nor is a success expected."""
    if targets_of(execution, ending.status, pools):
        return False
    if ending.status is Status.DONE:
        return execution.spec.expect_every is None
    ended = replace(execution, **ending.values())
    return retry_due(ended) is None and not is_tick_closed_by(ended)


def is_tick_closed_by(execution: Execution) -> bool:
    """Whether this end says that nothing ran at its tick."""
    return execution.status in NEVER_STARTED and execution.attempt == 1 and not execution.has_started


class Settler:
    """Settles and cleans final executions. Any worker may repeat both, from any point. ``is_forgotten`` says whether an execution's host is
    gone for good."""

    def __init__(
        self,
        store: Store,
        queue: TimedQueue,
        executor: Executor,
        clock: Clock,
        pools: Sequence[Pool],
        *,
        overlaps: Overlaps,
        is_forgotten: Callable[[Execution], Awaitable[bool]] = never_forgotten,
        lateness: Lateness,
        on_deliveries: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._queue = queue
        self._executor = executor
        self._clock = clock
        self._pools = pools
        self._overlaps = overlaps
        self._is_forgotten = is_forgotten
        self._on_deliveries = on_deliveries
        self._lateness = lateness

    async def settle(self, execution: Execution) -> Execution:
        """Inserts the next attempt if there is one, and what webhooks and mailboxes are to be told; closes the tick's row if nothing ran,
        releases what waited for it, and frees the slot; the row after it."""
        settled: Execution | None = execution
        if not execution.settled:
            await self._deliver(execution, will_retry=await self._retry(execution))
            if execution.status is Status.DONE and execution.spec.expect_every is not None:
                await self._lateness.succeeded(execution)
            if is_tick_closed_by(execution):
                outcome, reason = NEVER_STARTED[execution.status]
                await self._store.close_tick(execution.tick_id, outcome, reason)
            settled = await self._store.change(transitions.settle(execution))
        await self._overlaps.attend(execution.job_id)
        await self._queue.finish({execution.id: 0})
        return settled or execution

    async def _deliver(self, execution: Execution, *, will_retry: bool) -> None:
        """Inserts the deliveries to the webhooks and mailboxes that are told of this end. Their ids derive from the execution's, so a
        repeat makes the same ones."""
        deliveries = deliveries_of(execution, self._pools, will_retry=will_retry, now=self._clock.now())
        if deliveries:
            await self._store.insert_deliveries(deliveries)
            self._on_deliveries()

    async def _retry(self, execution: Execution) -> bool:
        """Inserts the attempt after a failed one, and returns whether there is one. Its id and due time derive from this one's, so a repeat
        makes the same attempt."""
        due = retry_due(execution)
        if due is None:
            return False
        job = await self._store.job(execution.job_id)
        if job is None or job.stops(execution.sequence) or not execution.belongs_to(job):
            return False
        following = next_execution(execution, due=due, now=self._clock.now())
        if await self._store.insert(following):
            log.info("execution.retried", **execution.names, next_execution_id=following.id, attempt=following.attempt, due=due)
        await self._queue.put([execution_entry(following, self._pools)])
        return True

    async def clean(self, execution: Execution) -> bool:
        """Removes its service and marks it clean; whether that is done. When the host is away, the reconciler does so later. When the host
        is gone for good, nothing can be removed; should it come back, the reconciler finds the service there."""
        if execution.cleaned:
            return True
        if execution.service_id is not None and execution.host is not None:
            fault = await self._remove(execution.host, execution.swarm_id, execution.service_id)
            if fault is not None and not await self._is_forgotten(execution):
                log.warning("service.not_removed", **execution.names, host=execution.host, error=fault)
                return False
            if fault is not None:
                log.warning("execution.host_forgotten", **execution.names, host=execution.host, service_id=execution.service_id)
        await self._store.change(transitions.clean(execution))
        log.debug("execution.cleaned", **execution.names)
        return True

    async def _remove(self, host: str, swarm_id: str | None, service_id: str) -> str | None:
        """Why its service could not be removed; None when it is gone."""
        try:
            await self._executor.remove(reachable_manager(self._executor.hosts(), host, swarm_id), service_id)
        except FastlaneError as error:
            return str(error)
        return None
