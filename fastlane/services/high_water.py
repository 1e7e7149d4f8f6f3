"""Tells the queue how far the store has come, so that it is noticed when an older copy of the store is put in its place.

Workers do so too. This is for processes that write to the store while no worker is alive. What they write may bring the store as far as
the queue has seen it. So they look first, and mark the queue: a worker then rebuilds it with all dispatch paused.
"""

import asyncio
from contextlib import suppress

import structlog

from fastlane.clock import Clock
from fastlane.errors import TransientError
from fastlane.models.placement.pool import RESTORED
from fastlane.models.store_version import StoreVersion
from fastlane.queue.base import QueueGeneration, mark_went_back
from fastlane.storage.base import Store

EVERY = 2.0

log = structlog.get_logger()


class HighWaterMark:
    """The high-water mark of one process. ``open`` it before the process writes to the store; ``close`` tells the queue a last time."""

    def __init__(self, store: Store, queue: QueueGeneration, clock: Clock) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._told: StoreVersion | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Looks whether the store went back. Tells the queue every two seconds from then on, if anything was written."""
        await self._try_to_tell()
        self._task = asyncio.create_task(self._run(), name="high-water-mark")

    async def close(self) -> None:
        """Ends the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with suppress(TransientError):
            await self._tell()

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(EVERY)
            await self._try_to_tell()

    async def _try_to_tell(self) -> None:
        try:
            await self._tell()
        except TransientError as error:
            log.debug("high_water.not_told", error=str(error))
        except Exception:
            log.exception("high_water.failed")

    async def _tell(self) -> None:
        version = await (self._compare() if self._told is None else self._store.version())
        if version != self._told:
            await self._queue.remember_store(version)
            self._told = version

    async def _compare(self) -> StoreVersion:
        """How far the store has come. When that is less than the queue has seen, marks the queue and pauses all dispatch."""
        identity = await self._queue.identity()
        version = await self._store.version()  # read after what the queue has seen of it, or a commit in between would look like a loss
        stored = await self._store.generation()
        went_back = version.went_back(identity.store, had_queue=stored.number > 0)
        if went_back and not identity.store_went_back and await mark_went_back(self._queue, identity):
            await self._store.pause_pool(RESTORED, True)
            log.error("store.went_back", commits=version.commits, seen=identity.store and identity.store.commits)
        return version
