"""Moves entries out of lanes that no worker serves: their pools were renamed or removed, and the queue was not rebuilt.

Workers may have different settings while they are replaced one after another. So a lane that another live worker serves is left to that
worker, unless all workers have the same pools. An entry that no pool of this worker takes stays where it is while a worker that takes it
may still come.
"""

import asyncio
from collections.abc import Sequence

import structlog

from fastlane.cancellation import unless_cancelled
from fastlane.clock import Clock
from fastlane.errors import TransientError, Unreadable
from fastlane.metrics.metrics import Repair, Repaired, uncounted
from fastlane.models.execution import Execution
from fastlane.models.placement.pool import Pool
from fastlane.queue.base import TICKS, Entry, TimedQueue, execution_entry, rules_of, slotless_entry, stranded_lanes
from fastlane.scheduler.known_pools import KnownPools
from fastlane.scheduler.known_workers import KnownWorkers
from fastlane.storage.base import ExecutionStore

log = structlog.get_logger()

LOOK_EVERY = 5.0
"""Seconds between two looks at the lanes, at most."""
FRUITLESS = 8
"""After this many pages in a row that no entry can leave, the rest of a lane waits for the next look."""


class LaneKeeper:
    """The looks of one worker. ``every`` in seconds."""

    def __init__(
        self,
        store: ExecutionStore,
        queue: TimedQueue,
        workers: KnownWorkers,
        known_pools: KnownPools,
        clock: Clock,
        pools: Sequence[Pool],
        *,
        every: float,
        repaired: Repaired = uncounted,
    ) -> None:
        self._store = store
        self._queue = queue
        self._workers = workers
        self._known_pools = known_pools
        self._clock = clock
        self._pools = pools
        self._every = min(every, LOOK_EVERY)
        self._repaired = repaired
        self._others: dict[str, tuple[tuple[str, str], ...] | None] | None = None
        self._all_alike = False
        self._rules = rules_of(pools)
        self._reached: dict[str, str] = {}

    async def run(self) -> None:
        """Looks at each interval, forever."""
        while True:
            await self._clock.sleep(self._every)
            try:
                await self.look()
            except TransientError as error:
                log.warning("lanes.waiting", error=str(error))

    async def look(self) -> None:
        """Moves stranded entries; once all live workers have the same pools, moves every entry that is in a wrong lane. Waits until the
        workers are the same as at the last look, because reports may be lost or late."""
        reports = await self._workers.look()
        others = {report.worker: report.pools for report in reports}
        steady, self._others = others == self._others, others
        if not steady or None in others.values():  # None: an older version, which does not say what it serves
            return
        own = rules_of(self._pools)
        all_alike = all(theirs == own for theirs in others.values())
        if own != self._rules:  # the pools were read again
            self._rules, self._all_alike = own, False
        lanes = await self._queue.counts()
        if all_alike and not self._all_alike:
            for lane in sorted(set(lanes) - {TICKS}):
                await self._walk(lane, whole=True)
        else:
            for lane in stranded_lanes(lanes, self._pools, reports):
                await self._walk(lane)
        self._all_alike = all_alike

    async def _walk(self, lane: str, *, whole: bool = False) -> None:
        """Goes on through a lane, and moves out what belongs elsewhere. Unless it is to walk the ``whole`` lane, it stops after some pages
        that no entry can leave."""
        page, moved, fruitless = self._reached.pop(lane, None), 0, 0
        while True:
            found = await self._queue.members(lane, page)
            left = await self._empty(lane, found.ids)
            moved, fruitless, page = moved + left, 0 if left else fruitless + 1, found.next
            if page is None or (fruitless >= FRUITLESS and not whole):
                break
        if page is not None:
            self._reached[lane] = page
        if moved:
            self._repaired(Repair.LANE, moved)
            log.info("lanes.adopted", lane=lane, entries=moved)

    async def _empty(self, lane: str, ids: Sequence[str]) -> int:
        """Moves these entries to the lanes where they belong, and removes those that need nothing more. Returns how many left the lane."""
        over: dict[str, int] = {}
        entries: list[Entry] = []
        for id, row in zip(ids, await self._rows(ids), strict=True):
            if isinstance(row, Unreadable):  # a newer worker may read it
                continue
            if row is None or row.settled:
                over[id] = 0
            elif (entry := self._entry(row)) and entry.lane != lane:
                entries.append(entry)
        if over:
            await self._queue.finish(over)
        return len(over) + await self._queue.adopt(entries, [lane])

    async def _rows(self, ids: Sequence[str]) -> list[Execution | Unreadable | None]:
        async def read(id: str) -> Execution | Unreadable | None:
            try:
                return await self._store.execution(id)
            except Unreadable as error:
                return error

        return await unless_cancelled(asyncio.gather(*map(read, ids)))

    def _entry(self, row: Execution) -> Entry | None:
        """The entry in the lane where the execution belongs; None while a worker with a pool for it may still come."""
        if row.status.final:
            return slotless_entry(row, due=0)
        entry = execution_entry(row, self._pools)
        waits = entry.lane == TICKS and self._clock.now() < self._known_pools.awaited_until(row)
        return None if waits else entry
