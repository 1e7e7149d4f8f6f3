"""Hands what the queue is to know over to it: at once, or again and again in the background until it answers."""

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from fastlane.clock import Clock
from fastlane.errors import QueueDown
from fastlane.models.placement.pool import Pauses
from fastlane.queue.base import Entry, Queue

ANSWER_HOLDS = 1_000
"""For so long (milliseconds) an answer of the queue counts as "it answers": a burst of jobs pays for one look at it."""

FIRST_RETRY, LAST_RETRY = 0.2, 5.0
BACKLOG, BATCH = 10_000, 200

log = structlog.get_logger()


class QueueOutbox:
    """Hands entries over to the queue: at once when it answers, else again and again, in order, until it does.

    At most 10,000 entries wait; what comes beyond them is left to the reconciler. ``close`` ends the one task of it.
    """

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._answered_at: int | None = None
        self._asking: asyncio.Task[None] | None = None
        self._backlog: deque[Entry] = deque()
        self._pauses: Pauses | None = None
        self._retrying: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        """Returns when the queue answers, or did within the last second; raises QueueDown. All who ask at once share one look."""
        if self._answered_at is not None and 0 <= self._clock.now() - self._answered_at < ANSWER_HOLDS:
            return
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(self._asked)
        await asyncio.shield(self._asking)

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

    async def pause(self, pauses: Pauses) -> bool:
        """Tells which pools are paused; False when the queue is down: then it is told later."""
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

    async def close(self) -> None:
        """Gives up what still waits, and ends the tasks."""
        tasks = [task for task in (self._retrying, self._asking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self) -> None:
        await self._queue.check()
        self._answered_at = self._clock.now()

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._asking = None
        if not task.cancelled():
            task.exception()  # seen, also when everybody who asked has gone

    def _defer(self) -> None:
        self._answered_at = None
        if self._retrying is None or self._retrying.done():
            self._retrying = asyncio.create_task(self._retry())

    async def _retry(self) -> None:
        delay = FIRST_RETRY
        while self._backlog or self._pauses is not None:
            await self._clock.sleep(delay)
            try:
                await self._tell()
            except QueueDown:
                delay = min(max(delay * 2, FIRST_RETRY), LAST_RETRY)
            else:
                delay = 0.0
        log.info("queue.put.caught_up")

    async def _tell(self) -> None:
        """What waits, or the first part of it."""
        pauses = self._pauses
        if pauses is not None:
            await self._queue.pause(pauses)
            self._pauses = None if self._pauses is pauses else self._pauses
        batch = [self._backlog[place] for place in range(min(BATCH, len(self._backlog)))]
        if batch:
            await self._queue.put(batch)
        for _ in batch:
            self._backlog.popleft()
