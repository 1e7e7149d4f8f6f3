"""Writes to the queue what the store has: at once, or later in the background when the queue does not answer."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import structlog

from fastlane.clock import Clock
from fastlane.errors import QueueDown
from fastlane.models.job import Execution, Job
from fastlane.models.pool import Pauses, Pool
from fastlane.queue.port import Entry, TimedQueue, execution_entry, job_entry, needs_entry, slotless_entry

CHECK_VALID = 1_000
"""Milliseconds for which an answer of the queue counts, so that a burst of jobs pays for one check."""

FIRST_RETRY, LAST_RETRY = 0.2, 5.0
"""Seconds between two attempts to reach the queue; doubled each time."""
BACKLOG, BATCH = 10_000, 200
"""Entries and cancellations that wait for the queue at most, and how many entries are put at once when it is back."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Cancellation:
    """An entry that must leave the queue, unless it has a later revision than ``revision``. For an execution that was asked to stop,
    ``after`` is the entry with which a worker ends or settles it, if it is needed. ``absent_too``: it is needed even when there is no
    entry, because the execution has ended already, or because an earlier cancel may have removed it."""

    entry_id: str
    revision: int | None = None
    after: Entry | None = None
    absent_too: bool = False


class QueueOutbox:
    """Writes entries and cancellations to the queue: at once when it answers, otherwise in the background, in order, until it does. The
    store has been written by then, so a queue that is down fails no request.

    At most 10,000 of them wait; the reconciler finds what does not fit. ``close`` ends the background task.
    """

    def __init__(self, queue: TimedQueue, clock: Clock, pools: Sequence[Pool]) -> None:
        self._queue = queue
        self._clock = clock
        self._pools = pools
        self._answered_at: int | None = None
        self._checking: asyncio.Task[None] | None = None
        self._backlog: deque[Entry | Cancellation] = deque()
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
            kept = self._keep(entries)
            log.warning("queue.put.deferred", entries=[entry.id for entry in entries], kept=kept, error=str(error))
        else:
            self._answered_at = self._clock.now()

    async def withdraw(self, job: Job) -> None:
        """Removes the job's entry, unless the entry has a later revision: then a later change of the job put it."""
        await self._cancel(Cancellation(job.id, job.revision))

    async def pass_on_stop(self, execution: Execution) -> None:
        """Asks the execution's worker to stop it, or puts an entry with which a worker settles it."""
        after = slotless_entry(execution, due=self._clock.now())
        await self._cancel(Cancellation(execution.id, after=after, absent_too=execution.status.final))

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

    async def _cancel(self, cancellation: Cancellation) -> None:
        """Cancels an entry; never raises: when the queue is down the cancellation waits for it. A worker that claims the entry meanwhile
        finds in the store that it is out of date."""
        try:
            await self._pass_on(cancellation)
        except QueueDown as error:
            kept = self._keep([replace(cancellation, absent_too=True)])
            log.warning("queue.cancel.deferred", entry=cancellation.entry_id, kept=kept, error=str(error))

    async def _pass_on(self, cancellation: Cancellation) -> None:
        found = await self._queue.cancel(cancellation.entry_id, revision=cancellation.revision)
        if cancellation.after is not None and needs_entry(found, absent_too=cancellation.absent_too):
            await self.put([cancellation.after])

    def _keep(self, items: Sequence[Entry | Cancellation]) -> int:
        """Keeps what fits for when the queue is back; how many that is."""
        kept = list(items)[: BACKLOG - len(self._backlog)]
        self._backlog.extend(kept)
        self._defer()
        return len(kept)

    def _defer(self) -> None:
        self._answered_at = None
        if self._retrying is None or self._retrying.done():
            self._retrying = asyncio.create_task(self._retry())

    async def _retry(self) -> None:
        delay = FIRST_RETRY
        while self._backlog or self._pauses is not None:
            await self._clock.sleep(delay)
            try:
                await self._hand_over()
            except QueueDown:
                delay = min(max(delay * 2, FIRST_RETRY), LAST_RETRY)
            else:
                delay = 0.0
        log.info("queue.put.caught_up")

    async def _hand_over(self) -> None:
        """Hands over the first part of what waits."""
        pauses = self._pauses
        if pauses is not None:
            await self._queue.pause(pauses)
            self._pauses = None if self._pauses is pauses else self._pauses
        first = self._backlog[0] if self._backlog else None
        if isinstance(first, Cancellation):
            await self._pass_on(first)
            self._backlog.popleft()
            return
        entries = self._first_entries()
        if entries:
            await self._queue.put(entries)
        for _ in entries:
            self._backlog.popleft()

    def _first_entries(self) -> list[Entry]:
        """The entries before the next cancellation."""
        entries: list[Entry] = []
        for item in islice(self._backlog, BATCH):
            if isinstance(item, Cancellation):
                break
            entries.append(item)
        return entries
