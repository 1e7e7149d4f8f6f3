"""Stops an execution: the one way for a request, a job that replaces it, a worker that meets a stopped job, and the reconciler."""

from typing import Protocol

from fastlane.clock import Clock
from fastlane.models import transitions
from fastlane.models.execution import Execution
from fastlane.models.status import Status
from fastlane.queue.port import TimedQueue, needs_entry, slotless_entry
from fastlane.storage.base import ExecutionStore


class StopMessages(Protocol):
    """The way by which the queue hears of a stop that the store has."""

    async def pass_on_stop(self, execution: Execution) -> None:
        """Has the owner of the execution stop it, or a worker end or settle it at once. Safe to repeat."""


class QueueMessages:
    """Tells the queue at once, and raises QueueDown while it is away."""

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
        """Ends an execution that no worker has, or asks the owner of another one to stop it; the row after that. None when another process
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
        """Sends the message once more: the process that stopped the execution may have ended before, or the queue may have been away."""
        await self._messages.pass_on_stop(stopped)
