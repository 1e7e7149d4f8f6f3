"""``/pools/P/pause`` and ``/pools/P/resume``."""

from typing import Any

from fastlane.models.access import Role
from fastlane.services.jobs.results import PoolPaused
from fastlane.web.api import responses
from fastlane.web.api.contract import operation
from fastlane.web.http.handler import Handler


class PausePoolHandler(Handler):
    """``/pools/P/pause``."""

    write_role = Role.ADMIN

    @operation("pausePool", responses.PoolPaused, refusals=(404,))
    async def on_post(self, pool: str) -> None:
        """Pauses all dispatch to the pool."""
        await self.answer(rendered(await self.services.pools.pause(pool)))


class ResumePoolHandler(Handler):
    """``/pools/P/resume``."""

    write_role = Role.ADMIN

    @operation("resumePool", responses.PoolPaused, refusals=(404,))
    async def on_post(self, pool: str) -> None:
        """Resumes dispatch to the pool."""
        await self.answer(rendered(await self.services.pools.resume(pool)))


def rendered(pool: PoolPaused) -> dict[str, Any]:
    """A pool, and whether it is paused."""
    return {"pool": pool.pool, "paused": pool.paused}
