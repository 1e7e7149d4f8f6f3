"""``/livez``, ``/readyz``, ``/healthcheck`` and ``/status``: for supervisors, load balancers, and the people who operate fastlane."""

import asyncio
from dataclasses import replace

from fastlane import __version__
from fastlane.errors import TransientError
from fastlane.metrics import text_of
from fastlane.web.api.contract import METRICS, Response
from fastlane.web.api.server import ALIVE, HEALTH, READY, SERVER_STATUS, ServerStatus, gauges_of
from fastlane.web.handler import Handler
from fastlane.web.http.problems import RETRY_AFTER, Problem
from fastlane.web.routing import PUBLIC, Answer, RouteAccess, route
from fastlane.web.security.origins import Networks, read_address

LOGIN_DEADLINE = 1.5
"""Seconds in which a login counts for ``/healthcheck``, which must answer within two."""


@route("GET", "/livez", "getLiveness", ALIVE, access=PUBLIC)
async def get_liveness(handler: Handler) -> None:
    """200 while this process serves, whatever else is down."""
    handler.set_header("Cache-Control", "no-store")


@route("GET", "/readyz", "getReadiness", READY, access=PUBLIC)
async def get_readiness(handler: Handler) -> None:
    """200 while this process can take requests: it is not stopping, and the store answers. Redis or a host that is down does not
    matter."""
    handler.set_header("Cache-Control", "no-store")
    if handler.context.traffic.stopping.is_set():
        raise Problem(503, "this server stops; send requests to another fastlane api", headers={"Retry-After": str(RETRY_AFTER)})
    if not await handler.services.health.is_ready():
        words = "the store does not answer; send requests to another fastlane api, or send them again in a few seconds"
        raise Problem(503, words, retry_after=RETRY_AFTER)


@route("GET", "/healthcheck", "getHealth", HEALTH, answers={503: Response("Something is down.", (HEALTH,))}, access=PUBLIC)
async def get_health(handler: Handler) -> Answer:
    """200 or 503, and which part is down."""
    return await health(handler)


@route("GET", "/status", "getStatus", SERVER_STATUS)
async def get_status(handler: Handler) -> object:
    """Workers, hosts, queues, what runs and what comes next."""
    view = await handler.services.status.read(handler.visible_tasks)
    handler.set_header("Cache-Control", "no-store")
    return ServerStatus(__version__, view)


async def health(handler: Handler) -> Answer:
    """The health of all parts; with the reasons, for a caller who may read them."""
    report, may_read = await asyncio.gather(handler.services.health.check(), _may_read_messages(handler))
    handler.set_header("Cache-Control", "no-store")
    if not may_read:
        report = report.without_messages()
    elif handler.visible_tasks is not None:
        report = report.of_some_tasks()
    shown = replace(report, is_mongo=handler.config.store_is_mongo)
    return Answer(HEALTH, shown, 200 if report.healthy else 503)


async def _may_read_messages(handler: Handler) -> bool:
    """Whether the caller has logged in, or need not. A login that fails is none: this route answers everyone."""
    try:
        async with asyncio.timeout(LOGIN_DEADLINE):
            await handler.log_in()
    except (Problem, TransientError, TimeoutError):
        return False
    return True


def _may_read_metrics(handler: Handler) -> bool:
    """Whether the request comes from a network of ``metrics_allow``."""
    address = read_address(handler.context.origins.client_address(handler.request) or "")
    return address in Networks(handler.config.metrics_allow)


@route(
    "GET",
    "/metrics",
    "getMetrics",
    answers={200: Response("The figures of this process, and of the installation now.", media=(METRICS,))},
    access=RouteAccess(exempts=_may_read_metrics),
)
async def get_metrics(handler: Handler) -> None:
    """Figures for Prometheus, in its text format."""
    gauges = gauges_of(await handler.services.gauges.read())
    handler.set_header("Cache-Control", "no-store")
    handler.set_header("Content-Type", METRICS)
    sees = handler.principal.sees if handler.principal is not None and handler.principal.tasks else None
    # A process's own counts mean nothing to a reader who cannot know which process answered.
    shared = handler.config.shares_port
    await handler.deliver(handler.finish(text_of(gauges) if shared else handler.context.metrics.text(gauges, sees)))
