"""Work on executions, in the store and the queue, that services and the scheduler share: stops, and a pool's quotas on waiting executions.

The check of a quota and the insertion after it are two steps, so simultaneous callers may exceed the quota by their number. An accepted
execution is never dropped for a quota.
"""

from collections.abc import Sequence
from typing import Protocol

from fastlane.clock import Clock
from fastlane.errors import TooMany
from fastlane.models import transitions
from fastlane.models.job import Execution
from fastlane.models.pool import Pool, pool_for, waiting_refusal
from fastlane.models.status import Status
from fastlane.queue.port import TimedQueue, needs_entry, slotless_entry
from fastlane.storage.base import ExecutionStore

ADVICE = "send it again when some have started, or ask the operator for a higher limit"


class WaitingQuotas:
    """Counts waiting executions in the queue and the store, for pools that have a quota. ``pools`` may change meanwhile."""

    def __init__(self, queue: TimedQueue, store: ExecutionStore, pools: Sequence[Pool]) -> None:
        self._queue = queue
        self._store = store
        self._pools = pools

    async def check(self, task_id: str) -> None:
        """Raises TooMany when no further execution of the task may wait. Raises QueueDown and StoreDown."""
        refusal = await self.refusal(task_id)
        if refusal is not None:
            raise TooMany(f"{refusal}; {ADVICE}")

    async def refusal(self, task_id: str) -> str | None:
        """Why no further execution of the task may wait; None when one may."""
        pool = pool_for(self._pools, task_id)
        if pool is None or (pool.max_waiting is None and pool.max_waiting_of_task is None):
            return None
        of_pool = of_task = 0
        if pool.max_waiting is not None:
            lane = (await self._queue.counts([pool.name])).get(pool.name)
            of_pool = 0 if lane is None else lane.ready + lane.timed + lane.blocked
        if pool.max_waiting_of_task is not None:
            of_task = await self._store.waiting_of(task_id, pool.max_waiting_of_task)
        return waiting_refusal(pool, of_pool, of_task)


class StopMessages(Protocol):
    """Tells the queue about a stop that the store has."""

    async def pass_on_stop(self, execution: Execution) -> None:
        """Makes the owner of the execution stop it, or a worker end or settle it at once. Safe to repeat."""


class QueueMessages:
    """Sends the message at once. Raises QueueDown while the queue is away."""

    def __init__(self, queue: TimedQueue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock

    async def pass_on_stop(self, execution: Execution) -> None:
        found = await self._queue.cancel(execution.id)
        if needs_entry(found, absent_too=execution.status.final):
            await self._queue.put([slotless_entry(execution, due=self._clock.now())])


class Stopper:
    """Stops executions: the row first, then the message. Safe to repeat, from any point."""

    def __init__(self, store: ExecutionStore, clock: Clock, messages: StopMessages) -> None:
        self._store = store
        self._clock = clock
        self._messages = messages

    async def stop(self, execution: Execution) -> Execution | None:
        """Ends an execution that no worker has, or asks the owner of one to stop it. Returns the row after that; None when another process
        changed it first: it must be read again. Raises QueueDown, as its messages do, once the row is written."""
        stopped = await self.mark(execution)
        if stopped is not None:
            await self.pass_on(stopped)
        return stopped

    async def mark(self, execution: Execution) -> Execution | None:
        """Writes the row as ``stop`` does. For the owner itself, which needs no message."""
        now, queued = self._clock.now(), execution.status is Status.ENQUEUED
        return await self._store.change(transitions.cancel(execution, now=now) if queued else transitions.flag_stop(execution, now=now))

    async def pass_on(self, stopped: Execution) -> None:
        """Sends the message again: the process that stopped the execution may have ended before it sent one, or the queue may have been
        away."""
        await self._messages.pass_on_stop(stopped)
