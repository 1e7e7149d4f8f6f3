"""Settles and cleans final executions: the next attempt, the ticks of jobs that follow, the count of failures in a row, deliveries, the
tick's row and the queue's slot; then the removal of the service.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from fastlane.errors import FastlaneError, Unreadable
from fastlane.models import transitions
from fastlane.models.delivery import EndFacts, deliveries_of, is_counted, pause_notices, targets_notified
from fastlane.models.everywhere import is_one_of_many, is_unplanned
from fastlane.models.failing import Failing
from fastlane.models.host import reachable_manager
from fastlane.models.job import Ending, Execution, retry_due, tick_failed
from fastlane.models.job_change import after_end
from fastlane.models.pool import Pool, pool_for
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, awaited, next_execution, replaced
from fastlane.queue.port import execution_entry
from fastlane.scheduler.chains import ChainLinker
from fastlane.scheduler.deliverer import Deliverer, Lateness
from fastlane.scheduler.everywhere import TickEnds, TickPlanner
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
    delivery. ``is_expected``: its job expects successes, and this is one. ``is_counted``: how its tick ended counts for rules about
    failures in a row. ``is_one_of_many``: its tick ends with its last execution."""

    retry_at: int | None = None
    outcome: tuple[Outcome, str] | None = None
    notifies: bool = False
    is_expected: bool = False
    is_counted: bool = False
    is_one_of_many: bool = False


NOTHING = Consequences()


def consequences_of(ended: Execution, pools: Sequence[Pool]) -> Consequences:
    """The consequences of this end."""
    never_ran = ended.status in NEVER_STARTED and ended.attempt == 1 and not ended.has_started
    return Consequences(
        retry_at=retry_due(ended),
        outcome=NEVER_STARTED[ended.status] if never_ran else None,
        notifies=bool(targets_notified(ended, EndFacts(), pools)),
        is_expected=ended.status is Status.DONE and ended.spec.is_expected,
        is_counted=ended.status is not Status.STOPPED and is_counted(ended, pools),
        is_one_of_many=is_one_of_many(ended),
    )


def is_last_word(execution: Execution, ending: Ending, pools: Sequence[Pool] = ()) -> bool:
    """Whether an execution that ends like this only has to free its slot, so that the write that ends it settles it, too, unless a job
    follows its job (``chains``)."""
    return consequences_of(execution.changed(ending.values()), pools) == NOTHING


class FailureCounter:
    """Writes how ticks end into the rows of their jobs. Safe to repeat, by any worker and from any point: an end is counted once, and a
    pause is announced once."""

    def __init__(self, ports: Ports, deliverer: Deliverer) -> None:
        self._store = ports.store
        self._queue = ports.queue
        self._clock = ports.clock
        self._pools = ports.pools
        self._deliverer = deliverer

    async def ended(self, execution: Execution) -> EndFacts:
        """Counts the end of an attempt, if it is its tick's last one, and returns what follows from the count."""
        while True:
            job = await self._store.job(execution.job_id)
            if job is None or not execution.belongs_to(job):
                return EndFacts()
            change = after_end(job, execution, now=self._clock.now())
            if change.job is job or await self._store.advance(job, change.job, (), None, None, change.events):
                break
        failing, sequence = change.job.failing or Failing(), execution.sequence
        if change.events:
            log.warning("job.paused_by_failures", **execution.names, failures=failing.count)
        if failing.is_pause and failing.paused_by == sequence:
            await self._deliverer.add(pause_notices(change.job, self._pools, self._clock.now()))
            await self._queue.cancel(execution.job_id, revision=change.job.revision)  # the entry of the tick that is held now
        most = execution.spec.notify_after
        is_fixed = tick_failed(execution) is False and failing.failed_before(sequence) >= max(1, most)
        return EndFacts(is_held=failing.row_at(sequence) < most, is_fixed=is_fixed)


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
        self._tick_ends = TickEnds(ports)
        self._planner = TickPlanner(ports)
        self._chains = ChainLinker(ports)
        self._failures = FailureCounter(ports, deliverer)

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
            if is_unplanned(execution):
                await self._planner.complete(execution)
            retry_at = retry_due(execution)
            will_retry = retry_at is not None and await self._retry(execution, retry_at)
            end = execution if will_retry else await self._tick_ends.of(execution)
            if end is not None:
                await self._carry_out(end, execution, will_retry)
            settled = await self._store.change(transitions.settle(execution))
        return settled or execution

    async def _carry_out(self, end: Execution, unsettled: Execution, will_retry: bool) -> None:
        """Carries out the consequences of the end of an attempt that another follows, or of a tick. ``unsettled``: the execution whose row
        says that this is not done; another one of the tick may stand for the tick."""
        follow = consequences_of(end, self._pools)
        if not will_retry:
            await self._chains.follow(end, unsettled)
        counted = await self._failures.ended(end) if follow.is_counted else EndFacts()
        if follow.notifies or counted.is_fixed:
            await self._deliver(end, replace(counted, will_retry=will_retry))
        if follow.is_expected:
            await self._lateness.succeeded(end)
        if follow.outcome is not None and await self._tick_ends.never_ran(end):
            await self._store.close_tick(end.tick_id, *follow.outcome)

    async def release(self, settled: Execution) -> None:
        """Releases the execution that waited for this one, and frees the slot."""
        await self._overlaps.release_or_replace(settled.job_id)
        await self._queue.finish({settled.id: 0})

    async def _deliver(self, execution: Execution, facts: EndFacts) -> None:
        """Inserts the deliveries to the webhooks and mailboxes that this end notifies. Their ids derive from the execution's, so a repeat
        makes the same ones."""
        await self._deliverer.add(deliveries_of(execution, self._pools, facts, self._clock.now()))

    async def _retry(self, execution: Execution, due: int) -> bool:
        """Inserts the attempt after a failed one, and returns whether there is one. Its id and due time derive from this one's, so a repeat
        makes the same attempt."""
        job = await self._store.job(execution.job_id)
        if job is None or job.stops(execution.sequence) or not execution.belongs_to(job):
            return False
        pool = pool_for(self._pools, execution.task_id)
        limit = None if pool is None else pool.limits.memory
        following = next_execution(execution, due=due, now=self._clock.now(), limit=limit)
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
