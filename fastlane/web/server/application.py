"""The Tornado application, the server that serves it, and how that server closes."""

import asyncio
import logging
from contextlib import suppress
from functools import partial
from ssl import SSLContext
from urllib.parse import urlsplit

import structlog
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from fastlane.metrics.metrics import Metrics
from fastlane.models.event import EventKind
from fastlane.services.assembly import Services
from fastlane.tracing.base import Recorder
from fastlane.web.handler.context import AppContext
from fastlane.web.handler.handler import Handler
from fastlane.web.http.active_requests import ActiveRequests
from fastlane.web.http.body import BodyMemory
from fastlane.web.http.deadlines import ClientDeadlines
from fastlane.web.http.heartbeats import PING_EVERY, Heartbeats
from fastlane.web.http.static_files import StaticFiles
from fastlane.web.openapi.document import Document
from fastlane.web.routes.table import ROUTES, UNDOCUMENTED
from fastlane.web.security.auth import make_authenticator
from fastlane.web.security.origins import RequestOrigins
from fastlane.web.security.rates import RequestRates
from fastlane.web.server.connections import ConnectionLimit
from fastlane.web.server.http_server import LimitedHTTPServer
from fastlane.web.server.router import PathRouter
from fastlane.web.settings import WebSettings

UNLIMITED = 1 << 62
"""Handlers limit bodies themselves and answer with a problem; Tornado would only close the connection."""
READ_BUFFER = 512 * 1024
READ_CHUNK = 16 * 1024
"""Bytes that are read at once. Tornado makes a buffer of zeros of that size for each read, and a small request takes two."""
MAX_HEAD = 128 * 1024
"""Bytes of a request's head that are read, so that one which is only a little too long gets an answer. For a longer one the connection is
closed."""

log = structlog.get_logger()


def make_application(services: Services, settings: WebSettings, metrics: Metrics, recorder: Recorder | None = None) -> Application:
    """The application, which counts its requests in ``metrics``, and gives their spans to the ``recorder``. ``make_server`` serves it."""
    context = AppContext(
        services=services,
        settings=settings,
        origins=RequestOrigins(settings),
        authenticator=make_authenticator(settings.users, settings.tokens, partial(services.access_events.refused, EventKind.LOGIN_REFUSED)),
        active_requests=ActiveRequests(),
        body_memory=BodyMemory(),
        deadlines=ClientDeadlines(),
        metrics=metrics,
        recorder=recorder,
        rates=RequestRates(settings.request_rate),
        heartbeats=Heartbeats(PING_EVERY),
    )
    return Application(log_function=_log_request, context=context, document=Document(ROUTES, settings), static_files=StaticFiles())


def make_server(app: Application, most_connections: int, tls: SSLContext | None = None) -> HTTPServer:
    """A server of this application that does not listen yet; with ``tls`` it serves HTTPS only. It ignores forwarded headers: handlers read
    them, and know which to trust."""
    public_url = context_of(app).settings.public_url
    router = PathRouter(app, ROUTES, urlsplit(public_url).path if public_url else "", own=UNDOCUMENTED)
    limits = {"max_body_size": UNLIMITED, "max_buffer_size": READ_BUFFER, "max_header_size": MAX_HEAD, "chunk_size": READ_CHUNK}
    server = LimitedHTTPServer(router, ssl_options=tls, **limits)
    server.limit(ConnectionLimit(most_connections), context_of(app).deadlines)
    return server


async def close_server(server: HTTPServer, app: Application, grace: float) -> None:
    """Stops accepting connections, ends followers of logs, gives requests under way ``grace`` seconds to end and then closes all
    connections, which may take as long again."""
    context = context_of(app)
    server.stop()
    context.services.followers.close()
    context.services.completion.close()
    context.services.event_feeds.close()
    await context.active_requests.wait_until_idle(grace)
    with suppress(TimeoutError):  # Tornado reads all that a client has sent before it closes its connection.
        async with asyncio.timeout(grace):
            await server.close_all_connections()
    context.deadlines.close()
    context.heartbeats.close()
    if context.authenticator is not None:
        context.authenticator.close()


def context_of(app: Application) -> AppContext:
    """What an application's handlers share."""
    context = app.settings["context"]
    assert isinstance(context, AppContext)
    return context


def _log_request(handler: RequestHandler) -> None:
    request = handler.request
    if isinstance(handler, Handler):
        handler.context.metrics.answered(request.method or "", handler.route, handler.get_status(), request.request_time())
        if handler.context.recorder is not None:
            handler.trace.record(handler.context.recorder, request, handler.route, handler.get_status())
    if not log.is_enabled_for(logging.DEBUG):
        return
    duration = round(request.request_time() * 1000, 1)
    log.debug("http.answered", method=request.method, path=request.path, status=handler.get_status(), duration_ms=duration)
