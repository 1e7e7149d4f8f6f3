"""Tells the queue what the store has: at once, or later in the background when the queue does not answer."""

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from fastlane.clock import Clock
from fastlane.errors import QueueDown
from fastlane.models.execution import Execution
from fastlane.models.job import Job
from fastlane.models.placement.pool import Pauses, Pool
from fastlane.queue.base import Cancelled, Entry, TimedQueue, execution_entry, job_entry, pass_on_stop

CHECK_VALID = 1_000
"""Milliseconds for which an answer of the queue counts, so that a burst of jobs pays for one check."""

FIRST_RETRY, LAST_RETRY = 0.2, 5.0
"""Seconds between two attempts to reach the queue; doubled each time."""
BACKLOG, BATCH = 10_000, 200
"""Entries that wait for the queue at most, and how many are put at once when it is back."""

log = structlog.get_logger()


class QueueOutbox:
    """Hands entries to the queue: at once when it answers, otherwise in the background, in order, until it does. The store has been written
    by then, so a queue that is down fails no request.

    At most 10,000 entries wait; the reconciler finds what does not fit. ``close`` ends the background task.
    """

    def __init__(self, queue: TimedQueue, clock: Clock, pools: Sequence[Pool]) -> None:
        self._queue = queue
        self._clock = clock
        self._pools = tuple(pools)
        self._answered_at: int | None = None
        self._checking: asyncio.Task[None] | None = None
        self._backlog: deque[Entry] = deque()
        self._pauses: Pauses | None = None
        self._retrying: asyncio.Task[None] | None = None

    async def check(self) -> None:
        """Returns when the queue answers, or did within the last second; raises QueueDown. Concurrent callers share one check."""
        if self._answered_at is not None and 0 <= self._clock.now() - self._answered_at < CHECK_VALID:
            return
        if self._checking is None:
            self._checking = asyncio.create_task(self._check())
            self._checking.add_done_callback(self._checked)
        await asyncio.shield(self._checking)

    async def enqueue(self, execution: Execution | None, job: Job | None = None) -> None:
        """Puts the entries of an execution and of a job's next tick."""
        entries = [] if execution is None else [execution_entry(execution, self._pools)]
        if job is not None and job.next_tick is not None:
            entries.append(job_entry(job))
        if entries:
            await self.put(entries)

    async def put(self, entries: Sequence[Entry]) -> None:
        """Puts entries; never raises: when the queue is down they wait for it."""
        try:
            await self._queue.put(entries)
        except QueueDown as error:
            kept = list(entries)[: BACKLOG - len(self._backlog)]
            log.warning("queue.put.deferred", entries=[entry.id for entry in entries], kept=len(kept), error=str(error))
            self._backlog.extend(kept)
            self._defer()
        else:
            self._answered_at = self._clock.now()

    async def withdraw(self, job: Job) -> None:
        """Removes the job's entry, unless the entry has a later revision: then a later change of the job put it."""
        await self.cancel(job.id, revision=job.revision)

    async def cancel(self, entry_id: str, *, revision: int | None = None) -> Cancelled | None:
        """Cancels an entry. None when the queue is down: the worker that claims the entry then finds it out of date."""
        try:
            return await self._queue.cancel(entry_id, revision=revision)
        except QueueDown as error:
            log.warning("queue.cancel.failed", entry=entry_id, error=str(error))
            return None

    async def pass_on_stop(self, execution: Execution) -> None:
        """Tells the execution's worker to stop it, or has a worker settle it."""
        await pass_on_stop(self, execution, now=self._clock.now())

    async def pause(self, pauses: Pauses) -> bool:
        """Passes the paused pools to the queue; False when it is down, in which case they are passed later."""
        try:
            await self._queue.pause(pauses)
        except QueueDown as error:
            log.warning("queue.pause.deferred", pools=sorted(pauses.names), error=str(error))
            if self._pauses is None or pauses.revision > self._pauses.revision:
                self._pauses = pauses
            self._defer()
            return False
        self._answered_at = self._clock.now()
        return True

    async def caught_up(self) -> None:
        """Returns when nothing waits for the queue any more."""
        if self._retrying is not None:
            await asyncio.shield(self._retrying)

    async def close(self) -> None:
        """Gives up what still waits, and ends the background task."""
        tasks = [task for task in (self._retrying, self._checking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _check(self) -> None:
        await self._queue.check()
        self._answered_at = self._clock.now()

    def _checked(self, task: asyncio.Task[None]) -> None:
        self._checking = None
        if not task.cancelled():
            task.exception()  # retrieved even when every caller has gone

    def _defer(self) -> None:
        self._answered_at = None
        if self._retrying is None or self._retrying.done():
            self._retrying = asyncio.create_task(self._retry())

    async def _retry(self) -> None:
        delay = FIRST_RETRY
        while self._backlog or self._pauses is not None:
            await self._clock.sleep(delay)
            try:
                await self._put_backlog()
            except QueueDown:
                delay = min(max(delay * 2, FIRST_RETRY), LAST_RETRY)
            else:
                delay = 0.0
        log.info("queue.put.caught_up")

    async def _put_backlog(self) -> None:
        """Hands over the first part of what waits."""
        pauses = self._pauses
        if pauses is not None:
            await self._queue.pause(pauses)
            self._pauses = None if self._pauses is pauses else self._pauses
        batch = [self._backlog[place] for place in range(min(BATCH, len(self._backlog)))]
        if batch:
            await self._queue.put(batch)
        for _ in batch:
            self._backlog.popleft()
