"""Keeps a worker's hosts those of the pools in force, and notes in the store which engine answers at each address.

What it knows of a host beside what the executor sees is in the host's view: whether it gets new work, and by which version of its record.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from fastlane.clock import Clock, first_of
from fastlane.directory.current_pools import CurrentPools
from fastlane.errors import TransientError
from fastlane.executors.base import Executor
from fastlane.models.placement.directory import hosts_to_know, record_of
from fastlane.models.placement.host import HostView
from fastlane.models.placement.host_record import EngineIdentity, HostRecord, is_local, record_id
from fastlane.storage.base import HostStore

log = structlog.get_logger()

LOOK_AT_LEAST = 30.0
"""Seconds between two looks when nothing changes."""
DRAINED, REMOVED, IN_NO_POOL = "is drained", "was removed", "is in no pool any longer"


class HostKeeper:
    """The hosts of one worker. It calls ``on_change`` after each look, so that all of the worker goes by the new hosts."""

    def __init__(self, store: HostStore, executor: Executor, pools: CurrentPools, clock: Clock, on_change: Callable[[], None]) -> None:
        self._store = store
        self._executor = executor
        self._pools = pools
        self._clock = clock
        self._on_change = on_change
        self._wake = asyncio.Event()
        self._known = hosts_to_know(pools, pools.records)
        pools.subscribe(self._wake.set)
        executor.subscribe(self._wake.set)

    def views(self) -> Sequence[HostView]:
        """What is known of each host now, and whether it gets new work."""
        return [self._with_record(view) for view in self._executor.hosts()] if self._pools.records else self._executor.hosts()

    async def run(self) -> None:
        """Looks whenever something has changed, forever."""
        while True:
            self._wake.clear()
            try:
                await self.look()
            except TransientError as error:
                log.warning("hosts.waiting", error=str(error))
            await first_of(self._clock, LOOK_AT_LEAST, self._wake)

    async def look(self) -> None:
        """Makes the executor use the hosts of the pools in force, and notes which engines answer. Raises StoreDown."""
        known = hosts_to_know(self._pools, self._pools.records)
        if known != self._known:
            self._known = known
            await self._executor.use_hosts(known)
        self._on_change()
        for view in self._executor.hosts():
            if view.usable and view.engine_id and view.swarm_id:
                await self._note(view, EngineIdentity(view.engine_id, view.swarm_id))

    def _with_record(self, view: HostView) -> HostView:
        record = self._record(view)
        if record is None:
            return view
        return replace(view, closed=self._why_closed(view, record), record=record.id, version=record.version)

    def _why_closed(self, view: HostView, record: HostRecord) -> str | None:
        """Why a host gets no new work. One that was removed is known until the executor has left it."""
        if record.removed_at is not None:
            return REMOVED
        if record.drained:
            return DRAINED
        return view.closed if any(view.name in pool.hosts for pool in self._pools) else IN_NO_POOL

    def _record(self, view: HostView) -> HostRecord | None:
        identity = EngineIdentity(view.engine_id, view.swarm_id) if view.engine_id and view.swarm_id else None
        return record_of(self._pools.records, view.name, identity)

    async def _note(self, view: HostView, identity: EngineIdentity) -> None:
        """Notes that this engine answers at the address, unless that is known. Of several workers one wins; the others read it then."""
        record = self._record(view)
        in_settings = any(view.name in pool.hosts for pool in self._pools.settings)
        engine, swarm = identity.engine_id, identity.swarm_id
        if record is not None and record.removed_at is None and record.identity is None:
            noted = record.changed(engine_id=engine, swarm_id=swarm)
        elif record is not None and record.removed_at is not None and in_settings:
            noted = record.changed(removed_at=None, engine_id=engine, swarm_id=swarm)  # it was removed, and the settings still name it
        elif record is None and in_settings:
            others = any(row.address == view.name for row in self._pools.records)
            if others and not is_local(view.name):
                return
            id = record_id(view.name, identity if others else None)
            noted = HostRecord(id, view.name, engine_id=engine, swarm_id=swarm)
        else:
            return
        if await self._store.write_host(noted):
            log.info("host.noted", host=view.name, engine=engine, swarm=swarm, id=noted.id)
