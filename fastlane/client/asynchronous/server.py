"""The server itself: how it is, its pools, and whether it starts anything."""

from fastlane.client import contract
from fastlane.client.asynchronous.transport import AsyncTransport
from fastlane.client.contract import DispatchPaused, Pool, PoolPaused, ServerStatus


class AsyncServer:
    """``client.server``."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def status(self) -> ServerStatus:
        """Workers, hosts, queues, what runs and what comes next."""
        return await self._transport.call(contract.GET_STATUS)

    async def pools(self) -> list[Pool]:
        """All pools, in the order in which a task looks for its own."""
        return (await self._transport.call(contract.LIST_POOLS))["items"]

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
