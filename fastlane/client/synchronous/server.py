"""The server itself: how it is, its pools, and whether it starts anything."""

from fastlane.client import contract
from fastlane.client.contract import DispatchPaused, Pool, PoolPaused, ServerStatus
from fastlane.client.synchronous.transport import Transport


class Server:
    """``client.server``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def status(self) -> ServerStatus:
        """Workers, hosts, queues, what runs and what comes next."""
        return self._transport.call(contract.GET_STATUS)

    def pools(self) -> list[Pool]:
        """All pools, in the order in which a task looks for its own."""
        return (self._transport.call(contract.LIST_POOLS))["items"]

    def pause_pool(self, pool: str) -> PoolPaused:
        """Starts nothing in the pool."""
        return self._transport.call(contract.PAUSE_POOL, {"pool": pool})

    def resume_pool(self, pool: str) -> PoolPaused:
        """Starts again what waits in the pool."""
        return self._transport.call(contract.RESUME_POOL, {"pool": pool})

    def pause_dispatch(self) -> DispatchPaused:
        """Starts nothing at all."""
        return self._transport.call(contract.PAUSE_DISPATCH)

    def resume_dispatch(self) -> DispatchPaused:
        """Starts again what waits."""
        return self._transport.call(contract.RESUME_DISPATCH)
