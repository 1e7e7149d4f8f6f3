"""Keeps a worker's hosts in step with the pools in force, and records in the store which engine answers at each address.

A view of a host is the executor's view, with two additions: whether the host gets new work, and the version of its record.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from fastlane.clock import Clock, first_of
from fastlane.errors import FastlaneError, QueueDown, TransientError
from fastlane.models.event import Event, EventKind
from fastlane.models.host import IN_NO_POOL, EngineIdentity, HostRecord, HostView, Views, is_local, record_id
from fastlane.models.job import Execution
from fastlane.models.pool import KnownHost, hosts_to_know, record_of, removed_with
from fastlane.scheduler.cleaner import WITHIN, Leftovers
from fastlane.scheduler.known_workers import KnownWorkers, knows_host
from fastlane.scheduler.ports import Ports
from fastlane.storage.base import EventStore

MOST_WAITING = 1_000
"""The most events that wait while the store is away; later ones are dropped."""


class HostEvents:
    """Records when a host becomes usable or unusable. A host that was never usable has not been lost."""

    def __init__(self, store: EventStore, clock: Clock, owner: str) -> None:
        self._store = store
        self._clock = clock
        self._owner = owner
        self._usable: dict[str, bool] = {}
        self._waiting: list[Event] = []

    async def note(self, views: Iterable[HostView]) -> None:
        """Records the changes. Raises StoreDown; the changes are then recorded with the next call."""
        now, known = self._clock.now(), {view.name: view for view in views}
        for name in self._usable.keys() - known.keys():
            del self._usable[name]
        for name, view in known.items():
            before = self._usable.get(name)
            if view.usable is before or (before is None and not view.usable):
                continue
            self._usable[name] = view.usable
            if before is not None and len(self._waiting) < MOST_WAITING:
                self._waiting.append(self._event(view, now))
        if self._waiting:
            recorded = list(self._waiting)
            await self._store.add_events(recorded)
            del self._waiting[: len(recorded)]

    def _event(self, view: HostView, now: int) -> Event:
        kind = EventKind.HOST_USABLE if view.usable else EventKind.HOST_UNUSABLE
        detail: Mapping[str, Any] = {} if view.usable else {"reason": view.reason, "circuit": view.circuit, "executions": view.running}
        return Event.now(kind, now, host=view.name, worker=self._owner, **detail)


log = structlog.get_logger()

LOOK_AT_LEAST = 30.0
"""Seconds between two looks when nothing changes."""
DRAINED, REMOVED, CLEARING = "is drained", "was removed", "is being cleared of what was left there"
CLEAR_AGAIN = 1.0
"""Seconds after which clearing a host is tried again. It may take as long as it needs: a host with many services would never be clear, if
it began again."""


class HostKeeper:
    """The hosts of one worker. It calls ``on_change`` after each look, so that the whole worker uses the new hosts. It removes the
    ``leftovers`` on a host that is back before the host gets work. ``patience``: for how many seconds a host may be away."""

    def __init__(self, ports: Ports, workers: KnownWorkers, leftovers: Leftovers, patience: float, on_change: Callable[[], None]) -> None:
        pools, executor = ports.pools, ports.executor
        self._store = ports.store
        self._events = HostEvents(ports.store, ports.clock, ports.owner)
        self._executor = executor
        self._pools = pools
        self._clock = ports.clock
        self._workers = workers
        self._leftovers = leftovers
        self._patience = round(patience * 1000)
        self._on_change = on_change
        self._wake = asyncio.Event()
        self._known = hosts_to_know(pools, pools.records)
        self._uncleared: set[str] = set()
        self._clearing: set[str] = set()
        self._returned = asyncio.Event()
        self._losses: frozenset[tuple[str, int | None]] = frozenset()
        self._in_pools: frozenset[str] = frozenset()
        self._judgement: tuple[Sequence[HostView], Sequence[HostView]] | None = None
        self._judged_views: dict[str, tuple[HostView, HostView]] = {}
        self._in_settings: frozenset[str] = frozenset()
        self._wanted = self._known
        self._pools_changed()
        pools.subscribe(self._pools_changed)
        executor.subscribe(self._wake.set)

    def _pools_changed(self) -> None:
        losses = frozenset((record.address, record.lost_until) for record in self._pools.records if record.lost_until is not None)
        self._uncleared |= {address for address, _ in losses - self._losses}  # the settings may still name it, and its engine may be well
        self._losses = losses
        self._in_pools = frozenset(host for pool in self._pools for host in pool.hosts)
        self._in_settings = frozenset(host for pool in self._pools.settings for host in pool.hosts)
        self._wanted = hosts_to_know(self._pools, self._pools.records)
        self._forget_judgements()
        self._wake.set()

    def _forget_judgements(self) -> None:
        self._judgement = None
        self._judged_views = {}

    def views(self) -> Sequence[HostView]:
        """What is known of each host now, and whether it gets new work. As long as nothing changes, the answer is the same object."""
        seen = self._executor.hosts()
        if self._judgement is None or self._judgement[0] is not seen:
            self._judgement = (seen, Views(self._judged_once(view) for view in seen))
        return self._judgement[1]

    def _judged_once(self, view: HostView) -> HostView:
        known = self._judged_views.get(view.name)
        if known is None or known[0] is not view:
            known = self._judged_views[view.name] = (view, self._judged(view))
        return known[1]

    def clear_all(self) -> None:
        """Makes every host be cleared before it gets work: executions there may have been given up while this worker did not run."""
        self._uncleared |= _names(self._known)
        self._forget_judgements()

    def lost(self, execution: Execution, *, node_down: bool = False) -> str | None:
        """Why a bound execution is lost: its host was removed by force. None when it was not; and while another manager of its swarm can
        still be asked, unless the node that it runs on is down."""
        record = removed_with(self._pools.records_of(execution.host or ""), execution)
        if record is None:
            return None
        if not node_down and any(
            view.usable and view.name != execution.host and view.swarm_id == execution.swarm_id for view in self._executor.hosts()
        ):
            return None
        return f"its host {record.address} was removed by force"

    async def is_elsewhere(self, execution: Execution) -> bool:
        """Whether another live worker can ask the host on which this execution was placed, and this worker cannot. (Its settings may lack
        the pool, too, so it must not decide about an execution without a service either.) Raises QueueDown."""
        if execution.host is None or knows_host(self.views(), execution):
            return False
        return any(knows_host(report.hosts, execution) for report in await self._workers.current())

    async def is_forgotten(self, execution: Execution) -> bool:
        """Whether its host is gone for good: it was removed by force, or no live worker has been able to ask it for the patience, as far as
        this worker has seen the others."""
        if self.lost(execution, node_down=True) is not None:
            return True
        if knows_host(self.views(), execution):
            return False
        try:
            await self._workers.current()
        except QueueDown:
            return False
        seen = self._workers.last_seen(lambda report: knows_host(report.hosts, execution))
        return self._clock.now() - seen >= self._patience

    async def run(self) -> None:
        """Looks whenever something has changed, and clears hosts that are back, forever."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._look_again())
            loops.create_task(self._clear_returned())

    async def _look_again(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self.look()
            except TransientError as error:
                log.warning("hosts.waiting", error=str(error))
            await first_of(self._clock, LOOK_AT_LEAST, self._wake)

    async def look(self) -> None:
        """Makes the executor use the hosts of the pools in force, and notes which engines answer. Raises StoreDown."""
        before, self._known = self._known, self._wanted
        if self._known is not before and self._known != before:
            names, old = _names(self._known), _names(before)
            self._uncleared = (self._uncleared & names) | (names - old)
            self._forget_judgements()
            await self._executor.use_hosts(self._known)
            self._returned.set()
        self._on_change()
        await self._events.note(self.views())
        for view in self.views():
            if view.usable and view.engine_id and view.swarm_id:
                await self._note(view, EngineIdentity(view.engine_id, view.swarm_id))
                await self._note_refusals(view)

    async def _clear_returned(self) -> None:
        """Clears each host that is back, side by side, so that a slow one keeps no other waiting."""
        self._returned.set()  # an earlier run may have been broken off
        async with asyncio.TaskGroup() as clearings:
            while True:
                await self._returned.wait()
                self._returned.clear()
                usable = {view.name for view in self._executor.hosts() if view.usable}
                for host in (self._uncleared & usable) - self._clearing:
                    self._clearing.add(host)
                    clearings.create_task(self._clear_one(host))

    async def _clear_one(self, host: str) -> None:
        try:
            await self._leftovers.clear(host, self)
        except (FastlaneError, TimeoutError) as error:
            log.warning("host.not_cleared", host=host, error=str(error) or f"some of it took over {WITHIN:g} s")
            await self._clock.sleep(CLEAR_AGAIN)
            self._returned.set()
        else:
            self._uncleared.discard(host)
            self._judgement = None
            self._judged_views.pop(host, None)
            self._on_change()
        finally:
            self._clearing.discard(host)

    def _judged(self, view: HostView) -> HostView:
        """The view with the content of its record, and whether the host must be cleared first: while it was away, however shortly,
        executions there may have been given up."""
        if not view.usable:
            self._uncleared.add(view.name)
        elif view.name in self._uncleared:
            self._returned.set()
        closed = CLEARING if view.usable and view.name in self._uncleared else view.closed
        record = self._record(view)
        if record is not None:
            return replace(view, closed=self._why_closed(view, record) or closed, record=record.id, version=record.version)
        return view if closed == view.closed else replace(view, closed=closed)

    def _why_closed(self, view: HostView, record: HostRecord) -> str | None:
        """The reason for which a host gets no new work. A removed host is known until the executor has left it."""
        if record.removed_at is not None:
            return REMOVED
        if record.drained:
            return DRAINED
        return view.closed if view.name in self._in_pools else IN_NO_POOL

    def _record(self, view: HostView) -> HostRecord | None:
        own = self._pools.records_of(view.name)
        if not own:
            return None
        return record_of(own, view.name, EngineIdentity(view.engine_id, view.swarm_id) if view.engine_id and view.swarm_id else None)

    async def _note(self, view: HostView, identity: EngineIdentity) -> None:
        """Notes that this engine answers at the address, unless that is known. If several workers write this, one wins, and the others read
        its record."""
        record = self._record(view)
        in_settings = view.name in self._in_settings
        engine, swarm = identity.engine_id, identity.swarm_id
        if record is not None and record.removed_at is None and record.identity is None:
            noted = record.changed(engine_id=engine, swarm_id=swarm)
        elif record is not None and record.removed_at is not None and in_settings:
            noted = record.changed(removed_at=None, engine_id=engine, swarm_id=swarm)  # it was removed, and the settings still name it
        elif record is None and in_settings:
            others = bool(self._pools.records_of(view.name))
            if others and not is_local(view.name):
                return
            id = record_id(view.name, identity if others else None)
            noted = HostRecord(id, view.name, engine_id=engine, swarm_id=swarm)
        else:
            return
        if await self._store.write_host(noted):
            log.info("host.noted", host=view.name, engine=engine, swarm=swarm, id=noted.id)

    async def _note_refusals(self, view: HostView) -> None:
        """Notes for the other workers, and for later, which starts an engine refused because its disk was full."""
        record, seen = self._record(view), view.disk.refusals if view.disk is not None else None
        if seen is None or record is None or record.removed_at is not None or is_local(view.name):
            return
        if record.refusals is None or record.refusals.last < seen.last:
            await self._store.write_host(record.changed(disk_refused_first=seen.first, disk_refused_last=seen.last))


def _names(hosts: Sequence[KnownHost]) -> set[str]:
    return {host.endpoint.address for host in hosts}
