"""Reads the pools: what the settings say of each, how its hosts are, and how much runs and waits there."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from fastlane.models.placement.pool import Pool
from fastlane.queue.base import TimedQueue, WorkerReports
from fastlane.services.reads.host_rows import HostRow, host_rows
from fastlane.storage.base import PoolStore


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool now. ``running``: its executions that hold a slot. ``waiting``: those that will want one: for a free slot, for other
    executions of their task, or for their next try."""

    pool: Pool
    hosts: tuple[HostRow, ...]
    running: int
    waiting: int
    paused: bool


class PoolReader:
    """Raises StoreDown and QueueDown."""

    def __init__(self, store: PoolStore, queue: TimedQueue, reports: WorkerReports, pools: Sequence[Pool]) -> None:
        self._store = store
        self._queue = queue
        self._reports = reports
        self._pools = pools

    async def read(self) -> tuple[PoolView, ...]:
        """Every pool, in the order in which a task looks for its own."""
        pauses, reports, lanes = await asyncio.gather(
            self._store.paused_pools(), self._reports.current(), self._queue.counts([pool.name for pool in self._pools])
        )
        return tuple(
            PoolView(
                pool=pool,
                hosts=host_rows([pool], reports),
                running=lanes[pool.name].running,
                waiting=lanes[pool.name].ready + lanes[pool.name].timed + lanes[pool.name].blocked,
                paused=pool.name in pauses.names,
            )
            for pool in self._pools
        )
