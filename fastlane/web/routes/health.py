"""``/livez``, ``/healthcheck`` and ``/status``, for the people who operate fastlane."""

from fastlane.web.api.contract import Response, operation
from fastlane.web.api.responses.server import ALIVE, HEALTH, SERVER_STATUS, ServerStatus
from fastlane.web.handler.handler import Handler


class LiveHandler(Handler):
    """``/livez``."""

    public = True

    @operation("getLiveness", ALIVE)
    async def on_get(self) -> None:
        """200 while this process serves, whatever else is down."""
        self.set_header("Cache-Control", "no-store")
        await self.answer(ALIVE, None)


class HealthHandler(Handler):
    """``/healthcheck``."""

    public = True

    @operation("getHealth", HEALTH, answers={503: Response("Something is down.", (HEALTH,))})
    async def on_get(self) -> None:
        """200 or 503, and which part is down."""
        await answer_health(self)


class StatusHandler(Handler):
    """``/status``."""

    @operation("getStatus", SERVER_STATUS)
    async def on_get(self) -> None:
        """Workers, hosts, queues, what runs and what comes next."""
        view = await self.services.status.read()
        if self.task_filter is not None:
            view = view.only(self.task_filter)
        self.set_header("Cache-Control", "no-store")
        await self.answer(SERVER_STATUS, ServerStatus(self.web_settings.version, view))


async def answer_health(handler: Handler) -> None:
    """Answers with the health of all parts."""
    report = await handler.services.health.check()
    handler.set_header("Cache-Control", "no-store")
    await handler.answer(HEALTH, report, status=200 if report.healthy else 503)
