"""Reads the hosts from the store whenever they have changed, so that every process goes by the same ones within a second.

Nobody tells a process of a change: it asks the store twice a second for a mark, which is cheaper than a hint that may be lost.
"""

import asyncio
from collections.abc import Sequence

import structlog

from fastlane.clock import Clock
from fastlane.directory.current_pools import CurrentPools
from fastlane.errors import FastlaneError
from fastlane.models.placement.directory import KnownHost, hosts_to_know
from fastlane.storage.base import HostStore

log = structlog.get_logger()

EVERY = 0.4
"""Seconds between two looks."""


class Directory:
    """Keeps one process's pools as the store has their hosts. ``open`` it before anything asks for the pools."""

    def __init__(self, store: HostStore, pools: CurrentPools, clock: Clock) -> None:
        self.pools = pools
        self._store = store
        self._clock = clock
        self._mark = ""
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Reads the hosts, and again whenever they change."""
        await self._look()
        self._task = asyncio.create_task(self._run(), name="directory")

    async def close(self) -> None:
        """Ends the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def hosts(self) -> Sequence[KnownHost]:
        """The hosts that a worker connects to."""
        return hosts_to_know(self.pools, self.pools.records)

    async def refresh(self) -> None:
        """Reads the hosts if they have changed. Raises StoreDown."""
        mark = await self._store.directory_mark()  # read first: what changes after it is found at the next look
        if mark != self._mark:
            self.pools.replace(records=await self._store.hosts())
            self._mark = mark

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(EVERY)
            await self._look()

    async def _look(self) -> None:
        try:
            await self.refresh()
        except FastlaneError as error:
            log.debug("directory.not_read", error=str(error))
        except Exception:
            log.exception("directory.failed")
