"""Moves entries out of lanes that nobody serves: their pools were renamed or removed, and the queue was not rebuilt since.

Workers may have other settings while they are replaced one after another. So what waits in a lane that any live worker serves is left to
it, unless all of them have the pools of this one; and what no pool of this worker takes stays where it is, as long as a worker may come
that takes it.
"""

from collections.abc import Sequence

import structlog

from fastlane.clock import Clock
from fastlane.errors import TransientError
from fastlane.models.execution import Execution
from fastlane.models.placement.pool import Pool
from fastlane.models.status import UNDER_WAY
from fastlane.queue.base import TICKS, Entry, TimedQueue, execution_entry, rules_of, slotless_entry, stranded_lanes
from fastlane.scheduler.known_pools import KnownPools
from fastlane.scheduler.known_workers import KnownWorkers
from fastlane.storage.base import ExecutionStore

log = structlog.get_logger()

PAGE = 500
LOOK_EVERY = 5.0
"""Seconds between two looks at the lanes, at most."""


class LaneKeeper:
    """The looks of one worker. ``every`` in seconds."""

    def __init__(
        self,
        store: ExecutionStore,
        queue: TimedQueue,
        workers: KnownWorkers,
        known_pools: KnownPools,
        clock: Clock,
        pools: tuple[Pool, ...],
        *,
        every: float,
    ) -> None:
        self._store = store
        self._queue = queue
        self._workers = workers
        self._known_pools = known_pools
        self._clock = clock
        self._pools = pools
        self._every = min(every, LOOK_EVERY)
        self._others: dict[str, tuple[tuple[str, str], ...] | None] | None = None
        self._all_alike = False

    async def run(self) -> None:
        """Looks at each interval, forever."""
        while True:
            await self._clock.sleep(self._every)
            try:
                await self.look()
            except TransientError as error:
                log.warning("lanes.waiting", error=str(error))

    async def look(self) -> None:
        """Moves what is stranded; and all that is in a wrong lane, once the live workers have the same pools. Only when the workers are the
        same as at the last look: the reports may just have been lost, or one may be late."""
        reports = await self._workers.look()
        others = {report.worker: report.pools for report in reports}
        steady, self._others = others == self._others, others
        if not steady or None in others.values():  # None: an older version, which does not say what it serves
            return
        all_alike = all(theirs == rules_of(self._pools) for theirs in others.values())
        stranded = stranded_lanes(await self._queue.counts(), self._pools, reports)
        if all_alike and not self._all_alike:
            await self._adopt(None)
        elif stranded:
            await self._adopt(stranded)
        self._all_alike = all_alike

    async def _adopt(self, lanes: Sequence[str] | None) -> None:
        moved = 0
        after: tuple[int, str] | None = None
        while page := await self._store.executions_in(UNDER_WAY, PAGE, after):
            moved += await self._queue.adopt(self._entries(page), lanes)
            after = (page[-1].scheduled_for, page[-1].id)
        unsettled = await self._store.unsettled(PAGE)
        moved += await self._queue.adopt([slotless_entry(row, due=0) for row in unsettled], lanes)
        if moved:
            log.info("lanes.adopted", lanes=lanes, entries=moved)

    def _entries(self, page: Sequence[Execution]) -> list[Entry]:
        """Where these executions belong, but for those whose pool may still come."""
        now = self._clock.now()
        entries = [(execution, execution_entry(execution, self._pools)) for execution in page]
        return [entry for execution, entry in entries if entry.lane != TICKS or now >= self._known_pools.awaited_until(execution)]
