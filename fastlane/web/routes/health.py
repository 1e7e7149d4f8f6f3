"""``/livez``, ``/healthcheck`` and ``/status``, for the people who operate fastlane."""

from fastlane.web.api import status_rendering
from fastlane.web.api.contract import Answer, operation
from fastlane.web.api.server_responses import Alive, Health, ServerStatus
from fastlane.web.http.handler import Handler


class LiveHandler(Handler):
    """``/livez``."""

    public = True

    @operation("getLiveness", Alive)
    async def on_get(self) -> None:
        """200 while this process serves, whatever else is down."""
        self.set_header("Cache-Control", "no-store")
        await self.answer({"alive": True})


class HealthHandler(Handler):
    """``/healthcheck``."""

    public = True

    @operation("getHealth", Health, answers={503: Answer("Something is down.", (Health,))})
    async def on_get(self) -> None:
        """200 or 503, and which part is down."""
        await answer_health(self)


class StatusHandler(Handler):
    """``/status``."""

    @operation("getStatus", ServerStatus)
    async def on_get(self) -> None:
        """Workers, hosts, queues, what runs and what comes next."""
        view = await self.services.status.read()
        if self.task_filter is not None:
            view = view.only(self.task_filter)
        self.set_header("Cache-Control", "no-store")
        await self.answer(status_rendering.status(self.renderer, view, self.web_settings.version))


async def answer_health(handler: Handler) -> None:
    """Answers with the health of all parts."""
    report = await handler.services.health.check()
    handler.set_header("Cache-Control", "no-store")
    await handler.answer(status_rendering.health(report), status=200 if report.healthy else 503)
