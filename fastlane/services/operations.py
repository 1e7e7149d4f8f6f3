"""The changes that operators make: hosts, pauses of pools, and repairs by hand.

Each change of a host is one write to the host's record in the store, which every process reads within a second. So a process that ends at
any moment leaves nothing half-done, and two callers at once build on each other's write.

Pauses and resumes pools, or all dispatch: nothing is dispatched to a paused pool; what runs there continues, and what expires there ends.

Actions by which an operator puts right what fastlane cannot are here, too. Each is recorded with its reason before it is done, and is safe
to repeat.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import structlog

from fastlane.errors import Conflict, Fault, Forbidden, Invalid, NotFound, QueueDown, known_names
from fastlane.models import transitions
from fastlane.models.access import Requester
from fastlane.models.event import Event, EventKind
from fastlane.models.host import HostLoad, HostRecord, HostView, record_id
from fastlane.models.ids import derived_id, new_id
from fastlane.models.job import Ending, Execution
from fastlane.models.pool import HOLDS, REQUESTED, Pool, names_of, pool_for
from fastlane.models.status import Status
from fastlane.services.parts import Service
from fastlane.services.reads.pools import views_of
from fastlane.services.results import (
    CurrentStatus,
    DispatchPaused,
    ExecutionCleaned,
    HostDrained,
    HostRemoved,
    PoolPaused,
    QueueRebuild,
    WorkerForgotten,
)
from fastlane.storage.base import find_execution, find_job

log = structlog.get_logger()

TRIES = 8
CONFIRM_WITHIN, CONFIRMED_FOR, CONFIRM_EVERY = 6.0, 1.5, 0.1
"""Seconds in which all live workers confirm that a host is drained, which they hear of within one; and for how long none may object."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A host to register: its address, its pool, and how much of the pool's work it gets."""

    address: str
    pool: str
    weight: int = 1
    max_running: int | None = None


@dataclass(frozen=True, slots=True)
class HostState:
    """A host as it is now. ``record`` is its row in the store, of version 0 when there is none. ``view``: how a worker sees it; None when
    no worker does."""

    record: HostRecord
    pools: tuple[str, ...]
    in_settings: bool
    weight: int
    max_running: int | None
    view: HostView | None = None


class HostRegistry(Service):
    """Changes hosts, and lists them. Each method reads the hosts again first. Raises StoreDown."""

    async def read(self) -> Sequence[HostState]:
        """Every host, by address: the hosts of the pools, and hosts that left their pool but were not removed. Raises QueueDown."""
        await self._directory.refresh()
        reports = await self._reports.current()
        return [replace(host, view=next(iter(views_of(reports, host.record)), None)) for host in self._all()]

    async def register(self, wanted: Registration, requester: Requester) -> HostState:
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
            await self._record(EventKind.HOST_REGISTERED, record, requester, id, pool=record.pool)
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
            await self._record(EventKind.HOST_DRAINED if drained else EventKind.HOST_UNDRAINED, record, requester, id)
            if await self._store.write_host(record.changed(drained=drained)):
                log.info("host.drained" if drained else "host.undrained", host=record.address, id=record.id)
                await self._directory.refresh()
                return HostDrained(record.address, drained)
        raise _changed_meanwhile(name)

    async def remove(self, name: str, *, force: bool, requester: Requester | None = None) -> HostRemoved:
        """Removes a host. Without ``force``, it must be drained, and nothing may be left there; with it, executions bound there are lost.
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
            await self._record(EventKind.HOST_REMOVED, host.record, requester, id, forced=force, lost=load.bound if force else 0)
            if await self._store.write_host(_removed(host.record, self._clock.now(), force=force)):
                log_it = log.warning if force else log.info
                log_it("host.removed", host=host.record.address, id=host.record.id, forced=force, lost=load.bound)
                await self._directory.refresh()
                return HostRemoved(host.record.address, host.record.id, load.bound if force else 0)
        raise _changed_meanwhile(name)

    async def _record(self, kind: EventKind, record: HostRecord, requester: Requester | None, id: str, **detail: Any) -> None:
        """Records who asks for a change of a host, before it is made, so that no change is without a trace. ``id`` belongs to the
        request."""
        event = Event.now(kind, self._clock.now(), requester, id=id, host=record.address, record=record.id, **detail)
        await self._store.add_events([event])

    def _check(self, wanted: Registration) -> None:
        pool = next((pool for pool in self._pools if pool.name == wanted.pool), None)
        if pool is None:
            names = (pool.name for pool in self._pools)
            raise Invalid([Fault("pool", f"is not the name of a pool; {known_names(wanted.pool, 'pool', names)}")])
        if not pool.admits(wanted.address):
            known = ", ".join(pool.register) or "none"
            words = f"pool {pool.name!r} does not let this address be registered; its patterns are: {known} (register, in the settings)"
            raise Forbidden([Fault("address", words)])
        if fault := pool.endpoint(wanted.address).fault:
            raise Invalid([Fault("address", fault)])

    def _all(self) -> list[HostState]:
        """Every host, by address and id. A host of the settings that no worker has reached yet has no record."""
        records = [record for record in self._pools.records if record.removed_at is None]
        known = {record.address for record in records}
        missing = [self._blank(address) for pool in self._pools for address in pool.hosts if address not in known]
        return sorted(map(self._host, dict.fromkeys([*records, *missing])), key=lambda host: (host.record.address, host.record.id))

    def _host(self, record: HostRecord) -> HostState:
        own: Pool | None = next((pool for pool in self._pools if record.address in pool.hosts), None)
        rule = own.rule(record.address) if own else None
        in_settings = any(record.address in pool.hosts for pool in self._pools.settings)
        pools = names_of(self._pools, record.address)
        return HostState(
            record, pools, in_settings, rule.weight if rule else record.weight, rule.max_running if rule else record.max_running
        )

    def _own(self, address: str) -> HostState:
        """The host whose record is the address's own, whether it is stored yet, or removed."""
        return self._host(self._blank(address))

    def _blank(self, address: str) -> HostRecord:
        id = record_id(address)
        stored = next((record for record in self._pools.records if record.id == id), None)
        return stored or HostRecord(id, address, version=0)

    def _find(self, name: str) -> HostState:
        hosts = self._all()
        found = [host for host in hosts if host.record.id == name.lower()] or [host for host in hosts if host.record.address == name]
        if not found:
            raise NotFound(f"there is no host {name[:200]!r}; {known_names(name, 'host', (host.record.address for host in hosts))}")
        if len(found) > 1:
            raise Conflict(f"several hosts have the address {name}; name one by its id: {', '.join(host.record.id for host in found)}")
        return found[0]

    async def _check_removal(self, host: HostState) -> None:
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


def _as_registered(host: HostState, wanted: Registration) -> HostState:
    record = host.record
    if Registration(record.address, record.pool or "", record.weight, record.max_running) == wanted:
        return host
    raise Conflict(f"{record.address} is registered in pool {record.pool!r} already, under the id {record.id}; remove it there first")


def _removed(record: HostRecord, now: int, *, force: bool) -> HostRecord:
    lost = {"lost_until": now, "lost_swarm": record.swarm_id} if force else {}
    return record.changed(removed_at=now, pool=None, drained=False, engine_id=None, swarm_id=None, **lost)


def _still_there(record: HostRecord, load: HostLoad) -> str:
    rows = {"run there": load.bound, "will start there": load.placed, "have ended there and are being removed": load.uncleaned}
    counts = ", ".join(f"{count} {what}" for what, count in rows.items() if count)
    return (
        f"{record.address} still has executions: {counts}; remove it when nothing is left, or add ?force=1, which ends what is bound there "
        "as host-lost"
    )


def _changed_meanwhile(name: str) -> Conflict:
    return Conflict(f"the host {name} was changed by others again and again meanwhile; look at it, and try again")


NOT_REBUILT = (
    "the store went back to an earlier state, as after a backup was restored, and no worker has rebuilt the queue since; that takes a "
    "second or two: start a worker if none is alive (`workers` in /status), then resume again"
)


class Pools(Service):
    """Pauses and resumes single pools or all dispatch: the store remembers it, and the queue enforces it."""

    def hard_timeout(self, task_id: str) -> float | None:
        """The longest that an execution of the task may run, in seconds, where its pool has a limit of its own."""
        pool = pool_for(self._pools, task_id)
        return None if pool is None else pool.hard_timeout

    async def pause(self, name: str, by: Requester | None = None) -> PoolPaused:
        """Pauses a pool: nothing of it is claimed from the answer on. Safe to repeat. Raises NotFound for an unknown pool, and QueueDown;
        the pause may be stored by then, and takes effect once the queue is back."""
        if not await self._set_paused(name, by, paused=True):
            raise QueueDown(f"the pause of pool {name!r} is stored, but the queue does not answer: it takes effect once the queue does")
        return PoolPaused(name, True)

    async def resume(self, name: str, by: Requester | None = None) -> PoolPaused:
        """Dispatches to the pool again, as soon as the queue answers; safe to repeat. Raises NotFound for an unknown pool."""
        await self._set_paused(name, by, paused=False)
        return PoolPaused(name, False)

    async def pause_all(self, by: Requester | None = None) -> DispatchPaused:
        """Pauses all dispatch, as ``pause`` does a pool."""
        await self._outbox.check()
        await self._record(EventKind.DISPATCH_PAUSED, by)
        pauses = await self._store.pause_pool(REQUESTED, True)
        log.info("dispatch.paused", revision=pauses.revision)
        if not await self._outbox.pause(pauses):
            raise QueueDown("the pause of all dispatch is stored, but the queue does not answer: it takes effect once the queue does")
        return DispatchPaused(True)

    async def resume_all(self, by: Requester | None = None) -> DispatchPaused:
        """Ends the pause of all dispatch, whatever it was for; paused pools stay paused. Safe to repeat. Raises Conflict after a restored
        backup until a worker has rebuilt the queue: the worker that does pauses all dispatch once more."""
        await self._outbox.check()
        with suppress(QueueDown):
            if (await self._queue.generation.identity()).store_went_back:
                raise Conflict(NOT_REBUILT)
        await self._record(EventKind.DISPATCH_RESUMED, by)
        for hold in sorted(HOLDS):
            pauses = await self._store.pause_pool(hold, False)
        log.info("dispatch.resumed", revision=pauses.revision)
        await self._outbox.pause(pauses)
        return DispatchPaused(False)

    async def _record(self, kind: EventKind, by: Requester | None, pool: str | None = None) -> None:
        """Records who asks for it, before it is done."""
        await self._store.add_events([Event.now(kind, self._clock.now(), by, pool=pool)])

    async def _set_paused(self, name: str, by: Requester | None, *, paused: bool) -> bool:
        """Returns whether the queue has it already."""
        names = sorted(pool.name for pool in self._pools)
        if name not in names:
            raise NotFound(f"there is no pool {name[:200]!r}; {known_names(name, 'pool', names)}")
        await self._outbox.check()
        await self._record(EventKind.POOL_PAUSED if paused else EventKind.POOL_RESUMED, by, name)
        pauses = await self._store.pause_pool(name, paused)
        log.info("pool.paused" if paused else "pool.resumed", pool=name, revision=pauses.revision)
        return await self._outbox.pause(pauses)


ROUNDS = 10
TO_BE_REBUILT = ", to be rebuilt"


class OperatorActions(Service):
    """Ends, cleans, rebuilds and forgets by hand. Raises StoreDown and QueueDown."""

    async def end_execution(self, task_id: str, job_id: str, execution_id: str, reason: str, by: Requester | None = None) -> CurrentStatus:
        """Ends an execution that was asked to stop and does not end; its status is ``stopped``. Its service is removed as soon as its host
        answers; until then its container may still be running. Raises NotFound, and Conflict when no stop was asked for."""
        await find_job(self._store, task_id, job_id)
        execution = await find_execution(self._store, task_id, job_id, execution_id)
        for _ in range(ROUNDS):
            if execution.status.final:
                break
            if execution.stop_requested_at is None:
                raise Conflict(f"execution {execution_id} is {execution.status}, and no stop was asked for; stop it first")
            ended = await self._end(execution, reason, by)
            if ended is not None:
                log.warning("execution.ended_by_hand", **ended.names, host=ended.host, reason=reason)
                execution = ended
                break
            execution = await self._store.execution(execution_id) or execution
        await self._outbox.pass_on_stop(execution)
        return CurrentStatus(task_id, job_id, execution_id, execution.status, execution.is_stopping)

    async def mark_cleaned(
        self, task_id: str, job_id: str, execution_id: str, reason: str, by: Requester | None = None
    ) -> ExecutionCleaned:
        """Counts an execution's service as removed, because its host will not come back. Should it, the service is removed as a leftover.
        Raises NotFound, and Conflict when the execution has not ended, or is not settled."""
        execution = await find_execution(self._store, task_id, job_id, execution_id)
        if not execution.status.final:
            raise Conflict(f"execution {execution_id} is {execution.status}; stop it first or, when that has no effect, end it by hand")
        if not execution.settled:
            raise Conflict(f"execution {execution_id} has ended, but a worker has not settled it yet; try again in a moment")
        if not execution.cleaned:
            await self._record(EventKind.EXECUTION_MARKED_CLEANED, execution, reason, by)
            await self._store.change(transitions.clean(execution))
            log.warning("execution.marked_cleaned", **execution.names, host=execution.host, service_id=execution.service_id, reason=reason)
        return ExecutionCleaned(task_id, job_id, execution_id)

    async def rebuild_queue(self, reason: str, by: Requester | None = None) -> QueueRebuild:
        """Makes the workers rebuild the queue from the store. Nothing is dispatched until then; what runs goes on. While a rebuild is
        requested or under way, another request changes nothing."""
        seen, stored = await self._queue.generation.identity(), await self._store.generation()
        if seen.generation != str(stored.number) or stored.builder is not None:
            return QueueRebuild(begun=False)
        now, number = self._clock.now(), stored.number
        id = derived_id(REBUILD_REQUESTS, str(number))
        await self._store.add_events([Event.now(EventKind.QUEUE_REBUILD, now, by, id=id, reason=reason, generation=number)])
        begun = await self._queue.generation.set_generation(f"{number}{TO_BE_REBUILT}", before=seen.generation)
        log.warning("queue.rebuild_requested", generation=number, reason=reason)
        return QueueRebuild(begun)

    async def forget_worker(self, worker: str, reason: str, by: Requester | None = None) -> WorkerForgotten:
        """Drops a worker's last report, so that nobody waits for the worker or counts on it. Its leases run out by themselves. A worker
        that is alive reports again within a second. Raises NotFound for a worker without a report."""
        reports = {report.worker: report for report in await self._reports.current()}
        if worker not in reports:
            raise NotFound(f"there is no worker {worker[:200]!r}; {known_names(worker, 'worker', reports)}")
        await self._store.add_events([Event.now(EventKind.WORKER_FORGOTTEN, self._clock.now(), by, worker=worker, reason=reason)])
        await self._reports.announce(reports[worker], ttl=0)
        log.warning("worker.forgotten", worker=worker, reason=reason)
        return WorkerForgotten(worker)

    async def _end(self, execution: Execution, reason: str, by: Requester | None) -> Execution | None:
        now = self._clock.now()
        await self._record(EventKind.EXECUTION_ENDED_BY_HAND, execution, reason, by)
        head = await self._store.log_head(execution.id)
        ending = Ending(Status.STOPPED, now).with_log(head, lost=execution.has_started)
        return await self._store.change(transitions.end_by_hand(execution, ending, now=now))

    async def _record(self, kind: EventKind, execution: Execution, reason: str, by: Requester | None) -> None:
        """Records who asked for it first."""
        id, where = derived_id(execution.id, kind), {"host": execution.host, "pool": execution.pool}
        await self._store.add_events([Event.now(kind, self._clock.now(), by, id=id, **execution.names, **where, reason=reason)])


REBUILD_REQUESTS = "00000000-0000-7000-8000-000000000001"
"""The ids of events about requested rebuilds derive from this and the number of the generation."""
