"""Settles and cleans final executions: the next attempt, deliveries, the tick's row and the queue's slot; then the removal of the
service.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from fastlane.errors import FastlaneError, Unreadable
from fastlane.models import transitions
from fastlane.models.delivery import deliveries_of, targets_notified
from fastlane.models.host import reachable_manager
from fastlane.models.job import Ending, Execution, retry_due
from fastlane.models.pool import Pool, pool_for
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, awaited, next_execution, replaced
from fastlane.queue.port import execution_entry
from fastlane.scheduler.deliverer import Deliverer, Lateness
from fastlane.scheduler.known_workers import WorkerHosts
from fastlane.scheduler.ports import Ports

log = structlog.get_logger()

LOOK_AGAIN = 30_000
"""Milliseconds after which a worker looks again at an execution that waits. The worker that settles the other one looks sooner, unless its
version is older."""


class Overlaps:
    """Releases waiting executions of a job. Safe to repeat, by any worker and from any point."""

    def __init__(self, ports: Ports) -> None:
        self._store = ports.store
        self._queue = ports.queue
        self._pools = ports.pools
        self._stopper = ports.stopper()

    async def release_or_replace(self, job_id: str) -> None:
        """Releases the job's waiting execution, if it has nothing to wait for; otherwise stops the executions that it replaces. Does
        nothing when none waits. A row that cannot be read may belong to a running execution: then the execution continues to wait."""
        try:
            await self._release_or_replace(job_id)
        except Unreadable as error:
            log.error("overlap.unreadable", job_id=job_id, error=str(error))

    async def _release_or_replace(self, job_id: str) -> None:
        waiting = await self._store.waiting(job_id)
        if waiting is None:
            return
        job = await self._store.job(job_id)
        first = awaited(job, waiting, await self._store.under_way_of(waiting.task_id, job_id))
        if not await self._is_held(waiting):
            for execution in replaced(waiting, first):
                stopped = await self._stopper.mark(execution)
                if stopped is not None:  # else the next look finds it as another process has changed it
                    log.info("execution.replaced", task_id=stopped.task_id, job_id=job_id, execution_id=stopped.id, by=waiting.id)
                    await self._stopper.pass_on(stopped)
        if not first and (released := await self._store.change(transitions.release(waiting))) is not None:
            log.info("execution.released", task_id=released.task_id, job_id=job_id, execution_id=released.id)
            await self._queue.put([execution_entry(released, self._pools)])

    async def _is_held(self, waiting: Execution) -> bool:
        """Whether a pause keeps it from starting now. Then the executions that it replaces continue, until a look after the pause."""
        pauses, pool = await self._store.paused_pools(), pool_for(self._pools, waiting.task_id)
        return pauses.hold is not None or (pool is not None and pool.name in pauses.names)


NEVER_STARTED = {
    Status.STOPPED: (Outcome.STOPPED, "stopped before its container started"),
    Status.EXPIRED: (Outcome.EXPIRED, "its container had not started before it expired"),
}


@dataclass(frozen=True, slots=True)
class Consequences:
    """The steps that must follow the end of an execution, in addition to the release of its slot. ``retry_at``: when the next attempt is
    due. ``outcome``: the outcome for its tick's row, with the reason, because nothing ran. ``notifies``: a webhook or a mailbox gets a
    delivery. ``is_expected``: its job expects successes, and this is one."""

    retry_at: int | None = None
    outcome: tuple[Outcome, str] | None = None
    notifies: bool = False
    is_expected: bool = False


NOTHING = Consequences()


def consequences_of(ended: Execution, pools: Sequence[Pool]) -> Consequences:
    """The consequences of this end."""
    never_ran = ended.status in NEVER_STARTED and ended.attempt == 1 and not ended.has_started
    return Consequences(
        retry_at=retry_due(ended),
        outcome=NEVER_STARTED[ended.status] if never_ran else None,
        notifies=bool(targets_notified(ended, ended.status, pools)),
        is_expected=ended.status is Status.DONE and ended.spec.expect_every is not None,
    )


def is_last_word(execution: Execution, ending: Ending, pools: Sequence[Pool] = ()) -> bool:
    """Whether an execution that ends like this only has to free its slot, so that the write that ends it settles it, too."""
    return consequences_of(replace(execution, **ending.values()), pools) == NOTHING


class Settler:
    """Settles and cleans final executions. Any worker may repeat both, from any point."""

    def __init__(self, ports: Ports, overlaps: Overlaps, hosts: WorkerHosts, lateness: Lateness, deliverer: Deliverer) -> None:
        self._store = ports.store
        self._queue = ports.queue
        self._executor = ports.executor
        self._clock = ports.clock
        self._pools = ports.pools
        self._overlaps = overlaps
        self._hosts = hosts
        self._lateness = lateness
        self._deliverer = deliverer

    async def settle(self, execution: Execution) -> Execution:
        """Carries out the consequences of the end, releases the execution that waited for it, and frees the slot. Returns the row after
        that."""
        settled = await self.follow_up(execution)
        await self.release(settled)
        return settled

    async def follow_up(self, execution: Execution) -> Execution:
        """Carries out the consequences of the end. Returns the row after that."""
        settled: Execution | None = execution
        if not execution.settled:
            follow = consequences_of(execution, self._pools)
            will_retry = follow.retry_at is not None and await self._retry(execution, follow.retry_at)
            if follow.notifies:
                await self._deliver(execution, will_retry=will_retry)
            if follow.is_expected:
                await self._lateness.succeeded(execution)
            if follow.outcome is not None:
                await self._store.close_tick(execution.tick_id, *follow.outcome)
            settled = await self._store.change(transitions.settle(execution))
        return settled or execution

    async def release(self, settled: Execution) -> None:
        """Releases the execution that waited for this one, and frees the slot."""
        await self._overlaps.release_or_replace(settled.job_id)
        await self._queue.finish({settled.id: 0})

    async def _deliver(self, execution: Execution, *, will_retry: bool) -> None:
        """Inserts the deliveries to the webhooks and mailboxes that this end notifies. Their ids derive from the execution's, so a repeat
        makes the same ones."""
        await self._deliverer.add(deliveries_of(execution, self._pools, will_retry=will_retry, now=self._clock.now()))

    async def _retry(self, execution: Execution, due: int) -> bool:
        """Inserts the attempt after a failed one, and returns whether there is one. Its id and due time derive from this one's, so a repeat
        makes the same attempt."""
        job = await self._store.job(execution.job_id)
        if job is None or job.stops(execution.sequence) or not execution.belongs_to(job):
            return False
        following = next_execution(execution, due=due, now=self._clock.now())
        if await self._store.insert(following):
            log.info("execution.retried", **execution.names, next_execution_id=following.id, attempt=following.attempt, due=due)
        await self._queue.put([execution_entry(following, self._pools)])
        return True

    async def clean(self, execution: Execution) -> bool:
        """Removes its service and marks it clean. Returns whether that is done. When the host is away, the reconciler does so later. When
        the host is gone for good, nothing can be removed; if it comes back, the reconciler finds the service there."""
        if execution.cleaned:
            return True
        if execution.service_id is not None and execution.host is not None:
            fault = await self._remove(execution.host, execution.swarm_id, execution.service_id)
            if fault is not None and not await self._hosts.is_forgotten(execution):
                log.warning("service.not_removed", **execution.names, host=execution.host, error=fault)
                return False
            if fault is not None:
                log.warning("execution.host_forgotten", **execution.names, host=execution.host, service_id=execution.service_id)
                await self._store.give_up(execution.id)
        await self._store.change(transitions.clean(execution))
        log.debug("execution.cleaned", **execution.names)
        return True

    async def _remove(self, host: str, swarm_id: str | None, service_id: str) -> str | None:
        """Removes its service. Returns the reason for a failure; None when the service is gone."""
        try:
            await self._executor.remove(reachable_manager(self._executor.hosts(), host, swarm_id), service_id)
        except FastlaneError as error:
            return str(error)
        return None
