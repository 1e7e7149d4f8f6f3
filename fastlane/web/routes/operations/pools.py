"""``/pools``, ``/pools/reload``, ``/pools/P/pause`` and ``/pools/P/resume``."""

from fastlane.models.access import Role
from fastlane.web.api.contract import operation
from fastlane.web.api.responses.actions import POOL_PAUSED
from fastlane.web.api.responses.pools import POOLS, RELOADED
from fastlane.web.handler.handler import Handler


class PoolsHandler(Handler):
    """``/pools``."""

    @operation("listPools", POOLS)
    async def on_get(self) -> None:
        """All pools: their rules, their hosts, and what runs and waits there."""
        self.set_header("Cache-Control", "no-store")
        await self.answer(POOLS, await self.services.pool_reader.read())


class ReloadPoolsHandler(Handler):
    """``/pools/reload``."""

    write_role = Role.ADMIN

    @operation("reloadPools", RELOADED, refusals=(409,))
    async def on_post(self) -> None:
        """Reads the pools from the settings again, here and then in every other process; if any has a fault, none changes."""
        await self.answer(RELOADED, await self.services.directory.reload(self.requester))


class PausePoolHandler(Handler):
    """``/pools/P/pause``."""

    write_role = Role.ADMIN

    @operation("pausePool", POOL_PAUSED, refusals=(404,))
    async def on_post(self, pool: str) -> None:
        """Pauses all dispatch to the pool."""
        await self.answer(POOL_PAUSED, await self.services.pools.pause(pool, self.requester))


class ResumePoolHandler(Handler):
    """``/pools/P/resume``."""

    write_role = Role.ADMIN

    @operation("resumePool", POOL_PAUSED, refusals=(404,))
    async def on_post(self, pool: str) -> None:
        """Resumes dispatch to the pool."""
        await self.answer(POOL_PAUSED, await self.services.pools.resume(pool, self.requester))
