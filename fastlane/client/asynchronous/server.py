"""The server itself: how it is, its pools and hosts, whether it starts anything, and who did what."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable

from fastlane.client import contract
from fastlane.client.asynchronous.happenings import follow_events
from fastlane.client.asynchronous.pages import rows
from fastlane.client.asynchronous.transport import AsyncTransport
from fastlane.client.contract import (
    DispatchPaused,
    Event,
    History,
    HostDrained,
    HostRemoved,
    KnownHost,
    Pool,
    PoolPaused,
    PoolsReloaded,
    QueueRebuild,
    ServerStatus,
    WorkerForgotten,
)
from fastlane.client.errors import ClientError


class AsyncServer:
    """``client.server``."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def status(self) -> ServerStatus:
        """Workers, hosts, queues, what runs and what comes next."""
        return await self._transport.call(contract.GET_STATUS)

    async def history(
        self, *, task: str | None = None, pool: str | None = None, since: str | None = None, hours: int | None = None
    ) -> History:
        """How executions ended, by the hour; of a task, of a pool, or of all. ``since``: a moment, or how long ago; without it, so many
        ``hours`` up to now (24 unless given)."""
        query = {"task": task, "pool": pool, "since": since, "hours": hours}
        return await self._transport.call(
            contract.GET_HISTORY, query={name: str(value) for name, value in query.items() if value is not None}
        )

    async def pools(self) -> list[Pool]:
        """All pools, in the order in which a task looks for its own."""
        return (await self._transport.call(contract.LIST_POOLS))["items"]

    async def reload_pools(self) -> PoolsReloaded:
        """Makes every process read the pools from its settings again."""
        return await self._transport.call(contract.RELOAD_POOLS)

    async def pause_pool(self, pool: str) -> PoolPaused:
        """Starts nothing in the pool."""
        return await self._transport.call(contract.PAUSE_POOL, {"pool": pool})

    async def resume_pool(self, pool: str) -> PoolPaused:
        """Starts again what waits in the pool."""
        return await self._transport.call(contract.RESUME_POOL, {"pool": pool})

    async def pause_dispatch(self) -> DispatchPaused:
        """Starts nothing at all."""
        return await self._transport.call(contract.PAUSE_DISPATCH)

    async def resume_dispatch(self) -> DispatchPaused:
        """Starts again what waits."""
        return await self._transport.call(contract.RESUME_DISPATCH)

    async def hosts(self) -> list[KnownHost]:
        """All Docker hosts: those of the settings, and registered ones."""
        return (await self._transport.call(contract.LIST_HOSTS))["items"]

    async def register_host(self, address: str, pool: str, *, weight: int | None = None, max_running: int | None = None) -> KnownHost:
        """Registers a host in a pool. The same again changes nothing."""
        body = {"address": address, "pool": pool, "weight": weight, "maxRunning": max_running}
        return await self._transport.call(contract.REGISTER_HOST, body=body)

    async def drain_host(self, host: str) -> HostDrained:
        """Gives a host no new work. ``host``: its address, or its id."""
        return await self._transport.call(contract.DRAIN_HOST, body={"host": host})

    async def undrain_host(self, host: str) -> HostDrained:
        """Gives a drained host work again."""
        return await self._transport.call(contract.UNDRAIN_HOST, body={"host": host})

    async def remove_host(self, host: str, *, force: bool = False) -> HostRemoved:
        """Removes a host that is drained and has nothing left. ``force``: with all that is left there, which is lost."""
        return await self._transport.call(contract.REMOVE_HOST, {"host": host}, {"force": 1 if force else None})

    async def rebuild_queue(self, reason: str) -> QueueRebuild:
        """Has the workers build the queue anew from the store."""
        return await self._transport.call(contract.REBUILD_QUEUE, body={"reason": reason})

    async def forget_worker(self, worker: str, reason: str) -> WorkerForgotten:
        """Drops what a worker last said of itself. One that is alive reports itself again."""
        return await self._transport.call(contract.FORGET_WORKER, {"worker": worker}, body={"reason": reason})

    def events(self, *, since: str | None = None, until: str | None = None, **filters: str | None) -> AsyncIterator[Event]:
        """What happened and who did it, newest first. ``filters``: kind, task, job, execution, actor, host, pool."""
        return rows(self._transport, contract.LIST_EVENTS, {}, {"since": since, "until": until, **filters})

    def follow_events(
        self, *, since: str | None = None, on_lost: Callable[[ClientError], None] | None = None, **filters: str | None
    ) -> AsyncGenerator[Event, None]:
        """What happens, as it happens: from ``since`` on, or from now on. The connection is made again when it is lost: no event is lost,
        and none comes twice. ``on_lost`` is told why."""
        return follow_events(self._transport, filters, since, on_lost)
