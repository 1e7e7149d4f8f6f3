"""Keeps the queue in step with the store. ``Rebuilder`` rebuilds the queue when its data is lost, outdated or new, and audits it; one
worker does so, chosen by a compare-and-set. ``LaneKeeper`` moves entries out of lanes that no live worker serves.

The generation tells whether a rebuild is needed: its number is in the store, and must be in Redis too, in the same Redis process. Dispatch
waits only until executions that may be running are in the queue with their slots; the rest is put in afterwards, soonest due first.

The queue also remembers the store's version. When the store is behind that, an older copy of it was put in its place: then the queue is
rebuilt, and all dispatch is paused first, because some of the waiting executions may have run already. A server may have noticed this
before (``services/startup.py``) and marked the queue.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence, Set
from dataclasses import replace

import structlog

from fastlane.clock import unless_cancelled
from fastlane.errors import QueueDown, TransientError, Unreadable
from fastlane.metrics import Repair
from fastlane.models.event import Event, EventKind
from fastlane.models.ids import derived_id
from fastlane.models.job import Execution
from fastlane.models.pool import RESTORED
from fastlane.models.status import STARTING, Status
from fastlane.models.store_version import StoreVersion
from fastlane.queue.port import (
    TICKS,
    AuditPage,
    Entry,
    Identity,
    Lane,
    execution_entry,
    job_entry,
    mark_went_back,
    rules_of,
    slotless_entry,
    stranded_lanes,
)
from fastlane.scheduler.known_workers import KnownPools, KnownWorkers
from fastlane.scheduler.ports import Ports
from fastlane.storage.base import Generation, version_after

log = structlog.get_logger()

PAGE = 500
CHECK_EVERY = 2000
"""Milliseconds for which a queue is trusted after a check."""
BUILDER_LOST_AFTER = 30_000
"""After this many milliseconds of Redis's time without a sign of life from the builder, another worker starts over."""
NEVER = 0
"""The sign of life of a builder that has left: older than any."""
AUDIT_PAGES = 50
"""Pages of waiting entries in one audit, of some 256 entries each. The next audit continues after the last of them."""
FOREVER = 1 << 60
REBUILDS = "00000000-0000-7000-8000-000000000000"
"""The namespace from which, with the number of the generation, the ids of events about rebuilds derive."""


class Rebuilder:
    """Checks for one worker that the queue matches the store, and rebuilds it."""

    def __init__(self, ports: Ports) -> None:
        self._store = ports.store
        self._queue = ports.queue
        self._data = ports.queue.generation
        self._clock = ports.clock
        self._owner = ports.owner
        self._pools = ports.pools
        self._metrics = ports.metrics
        self._good_until = 0
        self._fit = False
        self._generation = ""
        self._audited: str | None = None
        self._remembered: StoreVersion | None = None
        self._streaming: asyncio.Task[None] | None = None

    def doubt(self) -> None:
        """Checks again before the next claim: the queue answered that it is of another generation."""
        self._good_until = 0

    async def ensure(self) -> str:
        """The generation to claim with; rebuilds the queue first if it must. Raises QueueDown while another worker rebuilds it."""
        now = self._clock.now()
        if 0 < self._good_until - now <= CHECK_EVERY:  # longer, once the clock was set back
            return self._generation
        stored = await self._store.generation()
        identity, moment = await unless_cancelled(asyncio.gather(self._data.identity(), self._queue.time()))
        version = await version_after(self._store, identity.store)
        replaced = identity.store is not None and not version.continues(identity.store)
        held = not replaced and stored.number > 0 and identity.generation == str(stored.number) and identity.run_id == stored.run_id
        # A sign of life that is to come was given before Redis's clock was set back: a live builder gives another one at its next page.
        alive = stored.builder is None or abs(moment - stored.since) < BUILDER_LOST_AFTER
        if not (held and alive and self._fit):
            await self._data.refuse_eviction()  # Redis was away at the start; or data was lost, perhaps by eviction
            self._fit = True
        if not held or not alive:
            if not held and stored.builder not in (None, self._owner) and alive:
                raise QueueDown(f"worker {stored.builder} is rebuilding the queue")
            stored = await self._begin(stored, identity, version)
        await self._remember(version)
        if stored.builder == self._owner and (self._streaming is None or self._streaming.done()):
            self._streaming = asyncio.create_task(self._stream_again(stored), name="rebuild")
        self._generation = str(stored.number)
        self._good_until = now + CHECK_EVERY
        return self._generation

    async def audit(self) -> None:
        """Looks for keys that were lost or changed: checks the totals, all leased entries, and a part of the waiting ones. Damaged data is
        condemned, and rebuilt before the next claim of any worker."""
        number = str((await self._store.generation()).number)
        found = await self._audit(number, None)
        while found.next is not None and not found.is_rest:
            found = await self._audit(number, found.next)
        if found.next is None:
            return
        page: str | None = self._audited or found.next
        for _ in range(AUDIT_PAGES):
            if page is None:
                break
            page = (await self._audit(number, page)).next
        self._audited = page

    async def _audit(self, number: str, page: str | None) -> AuditPage:
        found = await self._data.audit(number, page)
        if found.wrong is not None:
            log.error("queue.damaged", generation=number, found=found.wrong)
            self.doubt()
        return found

    async def close(self) -> None:
        """Ends the rebuild. Another worker starts over, at once after ``leave``."""
        if self._streaming is not None:
            self._streaming.cancel()
            await asyncio.gather(self._streaming, return_exceptions=True)

    async def leave(self) -> None:
        """Takes back the sign of life of a rebuild that ends half-way, and records the store's version in the queue. Call it after the last
        write."""
        stored = await self._store.generation()
        if stored.builder == self._owner:
            await self._store.change_generation(stored, replace(stored, since=NEVER))
        await self._remember(await self._store.version())

    async def _remember(self, version: StoreVersion) -> None:
        if version != self._remembered:
            await self._data.remember_store(version)
            self._remembered = version

    async def _begin(self, seen: Generation, identity: Identity, version: StoreVersion) -> Generation:
        await self.close()
        if identity.store_went_back or version.went_back(identity.store, had_queue=seen.number > 0):
            await self._hold(identity, version)
        # The queue's number may be the higher one when the store went back.
        number = max(seen.number, identity.number) + 1
        mine = Generation(number, identity.run_id, self._owner, await self._queue.time())
        if not await self._store.change_generation(seen, mine):
            raise QueueDown("another worker has begun to rebuild the queue")
        # The server of `fastlane up` keeps nothing, so that a rebuild at the start is usual. Later, data were lost.
        (log.warning if self._generation else log.info)("queue.rebuilding", generation=mine.number)
        self._remembered = None
        unfinished = f"{mine.number}, in the making by {self._owner}"
        await self._data.wipe(generation=unfinished, lanes=[lane.name for lane in self._lanes()])
        count = 0
        async for page in self._pages(STARTING):
            # An execution without a service cannot run, and may have been put back: slots for all of them could exceed the limits.
            bound = [execution for execution in page if execution.service_id is not None]
            entries = [self._entry_with_slot(execution) for execution in bound]
            await self._data.restore(entries, self._lanes({entry.lane for entry in entries}))
            count += len(bound)
        # Read after the wipe, which removed all pauses until then; the queue takes a later one as newer.
        await self._queue.pause(await self._store.paused_pools())
        current = await self._renewed(mine)
        if current is None or not await self._data.set_generation(str(mine.number), before=unfinished):
            raise QueueDown("the queue was lost again, or another worker began, during its rebuild")
        log.info("queue.dispatchable", generation=mine.number, under_way=count)
        return current

    async def _hold(self, identity: Identity, version: StoreVersion) -> None:
        """Pauses all dispatch because the store went back. The queue is marked first, because a write may bring the store up to the version
        that the queue has seen; the mark stays until the wipe. A worker that comes late changes nothing: others have done all this, and an
        operator may have resumed dispatch."""
        if not await mark_went_back(self._data, identity):
            raise QueueDown("another worker has begun to rebuild the queue")
        await self._store.pause_pool(RESTORED, True)
        log.error("store.went_back", commits=version.commits, seen=identity.store and identity.store.commits)

    async def _stream_again(self, mine: Generation) -> None:
        """Puts in the rest, from the start again after an outage, until the queue is whole or another worker rebuilds it."""
        while True:
            try:
                current = await self._renewed(mine)
                if current is not None:
                    await self._stream(current)
                return
            except TransientError as error:
                log.warning("queue.rebuild_interrupted", error=str(error))
            await self._clock.sleep(1.0)

    async def _stream(self, mine: Generation) -> None:
        count = 0
        current: Generation | None = mine
        async for page in self._pages(frozenset({Status.ENQUEUED, Status.PULLING})):
            await self._queue.put(self._entries(page))
            count += len(page)
            current = await self._renewed(current) if current else None
        after: tuple[int, str] | None = None
        while current is not None:
            jobs = await self._store.jobs_due(FOREVER, PAGE, after)
            if not jobs:
                break
            await self._queue.put([job_entry(job) for job in jobs])
            count += len(jobs)
            after = (jobs[-1].next_tick or 0, jobs[-1].id)
            current = await self._renewed(current)
        if current is None:
            return
        # Recorded before: a worker that rebuilds it again records the same event.
        id, now = derived_id(REBUILDS, str(current.number)), self._clock.now()
        event = Event.now(EventKind.QUEUE_REBUILT, now, id=id, generation=current.number, entries=count, worker=self._owner)
        await self._store.add_events([event])
        if await self._store.change_generation(current, replace(current, builder=None)):
            self._metrics.rebuilt()
            log.info("queue.rebuilt", generation=current.number, entries=count)

    async def _renewed(self, mine: Generation) -> Generation | None:
        """Renews the sign of life in the store; None when another worker has become the builder."""
        newer = replace(mine, since=await self._queue.time())
        if await self._store.change_generation(mine, newer):
            return newer
        stored = await self._store.generation()
        ours = stored.number == mine.number and stored.builder == self._owner
        return await self._renewed(stored) if ours else None

    async def _pages(self, statuses: frozenset[Status]) -> AsyncIterator[Sequence[Execution]]:
        after: tuple[int, str] | None = None
        while page := await self._store.executions_in(statuses, PAGE, after):
            yield page
            after = (page[-1].scheduled_for, page[-1].id)

    def _entries(self, page: Sequence[Execution]) -> list[Entry]:
        return [execution_entry(execution, self._pools) for execution in page]

    def _entry_with_slot(self, execution: Execution) -> Entry:
        """The entry of an execution that has a service. When no pool of this worker takes it, it keeps the slot of the pool in which it was
        placed: other workers may have that."""
        entry = execution_entry(execution, self._pools)
        return replace(entry, lane=execution.pool) if entry.lane == TICKS and execution.pool is not None else entry

    def _lanes(self, others: Set[str] = frozenset()) -> list[Lane]:
        """The lanes of this worker's pools, and ``others``, which have slots too."""
        mine = [Lane(TICKS, None), *(Lane(pool.name, pool.max_running) for pool in self._pools)]
        return [*mine, *(Lane(name, 1) for name in sorted(others - {lane.name for lane in mine}))]


LOOK_EVERY = 5.0
"""Seconds between two looks at the lanes, at most."""
FRUITLESS = 8
"""After this many pages in a row that no entry can leave, the rest of a lane waits for the next look."""


class LaneKeeper:
    """Moves entries out of lanes that no live worker serves. ``every`` in seconds."""

    def __init__(self, ports: Ports, workers: KnownWorkers, known_pools: KnownPools, *, every: float) -> None:
        self._store = ports.store
        self._queue = ports.queue
        self._clock = ports.clock
        self._pools = ports.pools
        self._metrics = ports.metrics
        self._workers = workers
        self._known_pools = known_pools
        self._every = min(every, LOOK_EVERY)
        self._others: dict[str, tuple[tuple[str, str], ...] | None] | None = None
        self._all_alike = False
        self._rules = rules_of(ports.pools)
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
        """Continues through a lane, and moves out entries that belong elsewhere. Unless it has to walk the ``whole`` lane, it stops after
        some pages that no entry can leave."""
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
            self._metrics.repaired(Repair.LANE, moved)
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
