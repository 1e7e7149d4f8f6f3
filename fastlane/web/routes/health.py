"""``/livez``, ``/readyz``, ``/healthcheck`` and ``/status``: for supervisors, load balancers, and the people who operate fastlane."""

import asyncio

from fastlane.errors import TransientError
from fastlane.metrics import text_of
from fastlane.web.api.contract import METRICS, Response, operation
from fastlane.web.api.server import ALIVE, HEALTH, READY, SERVER_STATUS, ServerStatus, gauges_of
from fastlane.web.handler import Handler
from fastlane.web.http.problems import RETRY_AFTER, Problem
from fastlane.web.security.origins import Networks, read_address

LOGIN_DEADLINE = 1.5
"""Seconds in which a login counts for ``/healthcheck``, which must answer within two."""


class LiveHandler(Handler):
    """``/livez``."""

    public = True

    @operation("getLiveness", ALIVE)
    async def on_get(self) -> None:
        """200 while this process serves, whatever else is down."""
        self.set_header("Cache-Control", "no-store")
        await self.answer(ALIVE, None)


class ReadyHandler(Handler):
    """``/readyz``."""

    public = True

    @operation("getReadiness", READY)
    async def on_get(self) -> None:
        """200 while this process can take requests: the store answers. Redis or a host that is down does not matter."""
        self.set_header("Cache-Control", "no-store")
        if not await self.services.health.is_ready():
            words = "the store does not answer; send requests to another fastlane api, or send them again in a few seconds"
            raise Problem(503, words, headers={"Retry-After": str(RETRY_AFTER)})
        await self.answer(READY, None)


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
        view = await self.services.status.read(self.visible_tasks)
        self.set_header("Cache-Control", "no-store")
        await self.answer(SERVER_STATUS, ServerStatus(self.web_settings.version, view))


async def answer_health(handler: Handler) -> None:
    """Answers with the health of all parts; with the reasons, for a caller who may read them."""
    report, told = await asyncio.gather(handler.services.health.check(), _may_read_messages(handler))
    handler.set_header("Cache-Control", "no-store")
    status = 200 if report.healthy else 503
    await handler.answer(HEALTH, report if told else report.without_messages(), status=status)


async def _may_read_messages(handler: Handler) -> bool:
    """Whether the caller has logged in, or need not. A login that fails is none: this route answers everyone."""
    try:
        async with asyncio.timeout(LOGIN_DEADLINE):
            await handler.log_in()
    except (Problem, TransientError, TimeoutError):
        return False
    return True


class MetricsHandler(Handler):
    """``/metrics``."""

    @operation("getMetrics", answers={200: Response("The figures of this process, and of the installation now.", media=(METRICS,))})
    async def on_get(self) -> None:
        """Figures for Prometheus, in its text format."""
        gauges = gauges_of(await self.services.gauges.read())
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", METRICS)
        sees = self.principal.sees if self.principal is not None and self.principal.tasks else None
        # What a process counts is of no use without knowing which one it was.
        shared = self.web_settings.shares_port
        await self.deliver(self.finish(text_of(gauges) if shared else self.context.metrics.text(gauges, sees)))

    async def log_in(self) -> None:
        """Lets the networks of ``metrics_allow`` read without a login."""
        address = read_address(self.context.origins.client_address(self.request) or "")
        if address not in Networks(self.web_settings.metrics_allow):
            await super().log_in()
