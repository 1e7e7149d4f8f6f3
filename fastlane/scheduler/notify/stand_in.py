"""What an API server does while no worker is alive: it looks for jobs that are late, and sends what is to be sent.

A dead man's alert is worth most when what should have raised it is dead. A server has the store, the settings and a clock, which is all
that this takes. While a worker is alive, or has been lately, it does nothing."""

import asyncio
from collections.abc import Sequence

import structlog

from fastlane.clock import Clock
from fastlane.errors import QueueDown
from fastlane.metrics.metrics import Metrics
from fastlane.models.placement.pool import Pool
from fastlane.notify.base import Notifier
from fastlane.queue.base import WorkerReports
from fastlane.scheduler.notify.carriers import carriers_of
from fastlane.scheduler.notify.counted_carriers import counted
from fastlane.scheduler.notify.deliverer import Deliverer
from fastlane.scheduler.notify.lateness import Lateness
from fastlane.storage.base import Store

log = structlog.get_logger()

STANDS_IN_AFTER = 30_000
"""Milliseconds without a worker after which a server stands in: workers are restarted in less."""


class StandIn:
    """Stands in for workers, ``after`` that many milliseconds without one. Of several servers, each takes what the others have not: every
    step is a compare-and-set."""

    def __init__(
        self,
        store: Store,
        reports: WorkerReports,
        notifier: Notifier,
        clock: Clock,
        pools: Sequence[Pool],
        after: int = STANDS_IN_AFTER,
        metrics: Metrics | None = None,
    ) -> None:
        self._reports = reports
        self._clock = clock
        self._after = after
        self._last_worker = clock.now()
        self._stands_in = False
        carriers = counted(carriers_of(notifier, store, pools), (metrics or Metrics()).delivery_tried)
        self._deliverer = Deliverer(store, carriers, clock, self._is_needed)
        self._lateness = Lateness(store, clock, pools, self._deliverer.wake, self._is_needed)

    async def run(self) -> None:
        """Stands in when it is needed, forever."""
        try:
            async with asyncio.TaskGroup() as loops:
                loops.create_task(self._repeat(self._deliverer))
                loops.create_task(self._repeat(self._lateness))
        finally:
            await self._deliverer.close()

    async def _repeat(self, part: Deliverer | Lateness) -> None:
        while True:
            try:
                await part.run()
            except Exception:
                log.exception("stand_in.failed")
            await self._clock.sleep(1.0)

    async def _is_needed(self) -> bool:
        """Whether no worker has been alive for a while. When the queue cannot say, workers that are alive do the same work, and each step
        is done by one."""
        now = self._clock.now()
        try:
            if await self._reports.current():
                self._last_worker = now
        except QueueDown:
            log.debug("stand_in.workers_unknown")
        needed = now - self._last_worker >= self._after
        if needed is not self._stands_in:
            self._stands_in = needed
            log.info("stand_in.began" if needed else "stand_in.ended")
        return needed
