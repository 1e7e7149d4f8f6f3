"""What follows a final state: the next attempt, deliveries, the tick's row and the queue's slot; after that, the removal of the service."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import structlog

from fastlane.clock import Clock
from fastlane.errors import FastlaneError
from fastlane.executors.base import Executor
from fastlane.models import transitions
from fastlane.models.execution import Ending, Execution
from fastlane.models.notify.delivery import deliveries_of, targets_told
from fastlane.models.placement.host import reachable_manager
from fastlane.models.placement.pool import Pool
from fastlane.models.schedule.retry import retry_due
from fastlane.models.schedule.tick import Outcome, next_execution
from fastlane.models.status import Status
from fastlane.queue.base import TimedQueue, execution_entry
from fastlane.scheduler.hosts.known_hosts import never_forgotten
from fastlane.scheduler.notify.lateness import Lateness
from fastlane.scheduler.overlaps import Overlaps
from fastlane.storage.base import Store

log = structlog.get_logger()

NEVER_STARTED = {
    Status.STOPPED: (Outcome.STOPPED, "stopped before its container started"),
    Status.EXPIRED: (Outcome.EXPIRED, "its container had not started before it expired"),
}


def is_last_word(execution: Execution, ending: Ending, pools: Sequence[Pool] = ()) -> bool:
    """Whether an execution that ends like this only has to free its slot: there is no next attempt, its tick's row stays as it is, and no
    webhook or mailbox is told, nor is a success expected."""
    if targets_told(execution, ending.status, pools):
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
