"""Registers, drains and removes hosts.

Each of them is one write to the host's record in the store, which every process reads within a second. So a process that ends at any moment
leaves nothing half-done, and of two callers at once each builds on what the other one wrote.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from fastlane.errors import Conflict, Fault, Forbidden, Invalid, NotFound, QueueDown
from fastlane.models.access import Requester
from fastlane.models.event import Event, EventKind
from fastlane.models.host import HostLoad, HostRecord, HostView, record_id
from fastlane.models.ids import new_id
from fastlane.models.pool import Pool, names_of
from fastlane.services.parts import Service
from fastlane.services.reads.pools import views_of
from fastlane.services.results import HostDrained, HostRemoved

log = structlog.get_logger()

TRIES = 8
CONFIRM_WITHIN, CONFIRMED_FOR, CONFIRM_EVERY = 6.0, 1.5, 0.1
"""Seconds in which all live workers confirm that a host is drained, which they hear of within one; and for how long none may object."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A host to register: its address, and how much of its pool's work it gets."""

    address: str
    pool: str
    weight: int = 1
    max_running: int | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """A host as it is now. ``record``: what is stored of it; of version 0 when nothing is. ``view``: how a worker sees it; None when none
    does."""

    record: HostRecord
    pools: tuple[str, ...]
    in_settings: bool
    weight: int
    max_running: int | None
    view: HostView | None = None


class Hosts(Service):
    """Changes hosts, and lists them. Each method reads the hosts again first. Raises StoreDown."""

    async def read(self) -> Sequence[Host]:
        """Every host, by address: those of the pools, and those that were in one and are not removed. Raises QueueDown."""
        await self._directory.refresh()
        reports = await self._reports.current()
        return [replace(host, view=next(iter(views_of(reports, host.record)), None)) for host in self._all()]

    async def register(self, wanted: Registration, requester: Requester) -> Host:
        """Adds a host to a pool; the same registration again changes nothing. Raises Invalid, Forbidden when the pool does not take the
        address, and Conflict when the host is there."""
        self._check(wanted)
        id = new_id(self._clock.now())
        for _ in range(TRIES):
            await self._directory.refresh()
            host = self._own(wanted.address)
            if host.in_settings:
                raise Conflict(f"the settings name {wanted.address} in pool {', '.join(host.pools)}; change its weight or its pool there")
            if host.record.pool is not None and host.record.removed_at is None:
                return _as_registered(host, wanted)
            record = _registered(host.record, wanted, requester, self._clock.now())
            await self._tell(EventKind.HOST_REGISTERED, record, requester, id, pool=record.pool)
            if await self._store.write_host(record):
                log.info("host.registered", host=record.address, pool=record.pool, id=record.id, by=requester.user)
                await self._directory.refresh()
                return self._own(wanted.address)
        raise _changed_meanwhile(wanted.address)

    async def drain(self, name: str, *, drained: bool, requester: Requester | None = None) -> HostDrained:
        """Gives a host no new work, or gives it work again; safe to repeat. ``name``: an id, or an address. Raises NotFound, and Conflict
        for an address of several hosts."""
        id = new_id(self._clock.now())
        for _ in range(TRIES):
            await self._directory.refresh()
            record = self._find(name).record
            if record.version > 0 and record.drained is drained:
                return HostDrained(record.address, drained)
            await self._tell(EventKind.HOST_DRAINED if drained else EventKind.HOST_UNDRAINED, record, requester, id)
            if await self._store.write_host(record.changed(drained=drained)):
                log.info("host.drained" if drained else "host.undrained", host=record.address, id=record.id)
                await self._directory.refresh()
                return HostDrained(record.address, drained)
        raise _changed_meanwhile(name)

    async def remove(self, name: str, *, force: bool, requester: Requester | None = None) -> HostRemoved:
        """Removes a host. Without ``force``, it must be drained, and nothing may be left there; with it, what is bound there is lost.
        Raises NotFound, Conflict, and QueueDown."""
        id = new_id(self._clock.now())
        for _ in range(TRIES):
            await self._directory.refresh()
            host = self._find(name)
            load = await self._store.host_load(host.record.address, host.record.swarm_id)
            if not force:
                await self._check_removal(host)
                load = await self._store.host_load(host.record.address, host.record.swarm_id)
                if load.total:
                    raise Conflict(_still_there(host.record, load))
            await self._tell(EventKind.HOST_REMOVED, host.record, requester, id, forced=force, lost=load.bound if force else 0)
            if await self._store.write_host(_removed(host.record, self._clock.now(), force=force)):
                log_it = log.warning if force else log.info
                log_it("host.removed", host=host.record.address, id=host.record.id, forced=force, lost=load.bound)
                await self._directory.refresh()
                return HostRemoved(host.record.address, host.record.id, load.bound if force else 0)
        raise _changed_meanwhile(name)

    # how it does it

    async def _tell(self, kind: EventKind, record: HostRecord, requester: Requester | None, id: str, **detail: Any) -> None:
        """Records who asks for a change of a host, before it is made: so none is made without a trace. ``id``: the request's own."""
        event = Event.now(kind, self._clock.now(), requester, id=id, host=record.address, record=record.id, **detail)
        await self._store.add_events([event])

    def _check(self, wanted: Registration) -> None:
        pool = next((pool for pool in self._pools if pool.name == wanted.pool), None)
        if pool is None:
            raise Invalid([Fault("pool", f"is not the name of a pool; the pools are: {', '.join(pool.name for pool in self._pools)}")])
        if not pool.admits(wanted.address):
            known = ", ".join(pool.register) or "none"
            words = f"pool {pool.name!r} does not let this address be registered; its patterns are: {known} (register, in the settings)"
            raise Forbidden([Fault("address", words)])
        if fault := pool.endpoint(wanted.address).fault:
            raise Invalid([Fault("address", fault)])

    def _all(self) -> list[Host]:
        """Every host, by address and id. A host of the settings that no worker has reached yet has no record."""
        records = [record for record in self._pools.records if record.removed_at is None]
        known = {record.address for record in records}
        missing = [self._blank(address) for pool in self._pools for address in pool.hosts if address not in known]
        return sorted(map(self._host, dict.fromkeys([*records, *missing])), key=lambda host: (host.record.address, host.record.id))

    def _host(self, record: HostRecord) -> Host:
        own: Pool | None = next((pool for pool in self._pools if record.address in pool.hosts), None)
        rule = own.rule(record.address) if own else None
        in_settings = any(record.address in pool.hosts for pool in self._pools.settings)
        pools = names_of(self._pools, record.address)
        return Host(record, pools, in_settings, rule.weight if rule else record.weight, rule.max_running if rule else record.max_running)

    def _own(self, address: str) -> Host:
        """The host whose record is the address's own, whether it is stored yet, or removed."""
        return self._host(self._blank(address))

    def _blank(self, address: str) -> HostRecord:
        id = record_id(address)
        stored = next((record for record in self._pools.records if record.id == id), None)
        return stored or HostRecord(id, address, version=0)

    def _find(self, name: str) -> Host:
        hosts = self._all()
        found = [host for host in hosts if host.record.id == name.lower()] or [host for host in hosts if host.record.address == name]
        if not found:
            known = ", ".join(host.record.address for host in hosts[:20]) or "none"
            raise NotFound(f"there is no host {name[:200]!r}; the hosts are: {known}")
        if len(found) > 1:
            raise Conflict(f"several hosts have the address {name}; name one by its id: {', '.join(host.record.id for host in found)}")
        return found[0]

    async def _check_removal(self, host: Host) -> None:
        """Raises Conflict while new work may still come to the host."""
        record = host.record
        if host.in_settings:
            pools = ", ".join(host.pools)
            raise Conflict(f"the settings name {record.address} in pool {pools}; take it out of them, and POST /pools/reload")
        if not record.drained and host.pools:
            body = f'{{"host": "{record.address}"}}'
            raise Conflict(
                f"{record.address} is not drained; POST {body} to /docker-executor/blacklist, and remove it when nothing is left there, or "
                "add ?force=1, which ends what is bound there as host-lost"
            )
        await self._wait_for_confirmation(record)

    async def _wait_for_confirmation(self, record: HostRecord) -> None:
        """Returns once every live worker goes by this version of the record. A worker may just have begun, or the queue may have lost its
        report: so this must hold for longer than the time between two of its reports."""
        now = asyncio.get_running_loop().time
        deadline, confirmed_since = now() + CONFIRM_WITHIN, now()
        while now() - confirmed_since < CONFIRMED_FOR:
            if not await self._is_confirmed(record):
                confirmed_since = now()
            if now() > deadline:
                raise QueueDown(f"not every worker has confirmed that {record.address} is drained; try again in a few seconds")
            await self._clock.sleep(CONFIRM_EVERY)

    async def _is_confirmed(self, record: HostRecord) -> bool:
        """Whether every live worker that knows the host goes by this version of its record."""
        views = (view for report in await self._reports.current() for view in report.hosts if view.name == record.address)
        return all(view.version >= record.version for view in views if view.record in (None, record.id))


def _registered(record: HostRecord, wanted: Registration, requester: Requester, now: int) -> HostRecord:
    return record.changed(
        pool=wanted.pool,
        weight=wanted.weight,
        max_running=wanted.max_running,
        drained=False,
        registered_at=now,
        registered_by=requester,
        removed_at=None,
    )


def _as_registered(host: Host, wanted: Registration) -> Host:
    record = host.record
    if Registration(record.address, record.pool or "", record.weight, record.max_running) == wanted:
        return host
    raise Conflict(f"{record.address} is registered in pool {record.pool!r} already, under the id {record.id}; remove it there first")


def _removed(record: HostRecord, now: int, *, force: bool) -> HostRecord:
    lost = {"lost_until": now, "lost_swarm": record.swarm_id} if force else {}
    return record.changed(removed_at=now, pool=None, drained=False, engine_id=None, swarm_id=None, **lost)


def _still_there(record: HostRecord, load: HostLoad) -> str:
    rows = {"run there": load.bound, "are to start there": load.placed, "have ended there and are being removed": load.uncleaned}
    counts = ", ".join(f"{count} {what}" for what, count in rows.items() if count)
    return (
        f"{record.address} still has executions: {counts}; remove it when nothing is left, or add ?force=1, which ends what is bound there "
        "as host-lost"
    )


def _changed_meanwhile(name: str) -> Conflict:
    return Conflict(f"the host {name} was changed by others again and again meanwhile; look at it, and try again")
