"""Tells the queue how far the store has come, so that a worker notices when an older copy of the store is put in its place.

Workers do so too. This is for processes that write to the store while no worker is alive.
"""

import asyncio
from contextlib import suppress

import structlog

from fastlane.clock import Clock
from fastlane.errors import TransientError
from fastlane.models.store_version import StoreVersion
from fastlane.queue.base import QueueGeneration
from fastlane.storage.base import GenerationStore

EVERY = 2.0

log = structlog.get_logger()


class HighWaterMark:
    """The high-water mark of one process. ``close`` tells the queue a last time."""

    def __init__(self, store: GenerationStore, queue: QueueGeneration, clock: Clock) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._told: StoreVersion | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Tells the queue every two seconds from now on, if anything was written."""
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
            try:
                await self._tell()
            except TransientError as error:
                log.debug("high_water.not_told", error=str(error))
            except Exception:
                log.exception("high_water.failed")
            await self._clock.sleep(EVERY)

    async def _tell(self) -> None:
        version = await self._store.version()
        if version != self._told:
            await self._queue.remember_store(version)
            self._told = version
