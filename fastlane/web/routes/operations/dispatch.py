"""``/dispatch/pause`` and ``/dispatch/resume``."""

from fastlane.models.access import Role
from fastlane.web.api.contract import operation
from fastlane.web.api.responses.actions import DISPATCH_PAUSED
from fastlane.web.handler.handler import Handler


class PauseDispatchHandler(Handler):
    """``/dispatch/pause``."""

    write_role = Role.ADMIN

    @operation("pauseDispatch", DISPATCH_PAUSED)
    async def on_post(self) -> None:
        """Pauses all dispatch. What runs goes on."""
        await self.answer(DISPATCH_PAUSED, await self.services.pools.pause_all(self.requester))


class ResumeDispatchHandler(Handler):
    """``/dispatch/resume``."""

    write_role = Role.ADMIN

    @operation("resumeDispatch", DISPATCH_PAUSED)
    async def on_post(self) -> None:
        """Resumes all dispatch, also after a backup of the store was restored. Paused pools stay paused."""
        await self.answer(DISPATCH_PAUSED, await self.services.pools.resume_all(self.requester))
