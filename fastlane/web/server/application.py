"""The application and its HTTP server."""

import asyncio
import logging
from contextlib import suppress

import structlog
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from fastlane.services.assembly import Services
from fastlane.web.api.openapi import Document
from fastlane.web.http.handler import Context
from fastlane.web.routes.pages import Pages
from fastlane.web.routes.table import ROUTES, UNDOCUMENTED
from fastlane.web.security.auth import authenticator_of
from fastlane.web.security.origins import RequestOrigins
from fastlane.web.server.connections import ConnectionLimit
from fastlane.web.server.deadlines import Deadlines, Server
from fastlane.web.server.in_flight import Held, InFlight
from fastlane.web.server.router import PathRouter
from fastlane.web.server.settings import WebSettings

ANY_SIZE = 1 << 62
"""The handlers count bodies themselves, keep no more than ``max_body`` of one and answer with a problem; Tornado would only hang up."""

BUFFER = 512 * 1024

HEAD = 128 * 1024
"""So much of a request's head is read that one which is a little too long gets an answer; under more than that the connection is closed."""

log = structlog.get_logger()


def application(services: Services, settings: WebSettings) -> Application:
    """What all handlers share. ``http_server`` serves the routes."""
    context = Context(
        services, settings, RequestOrigins(settings), authenticator_of(settings.users, settings.tokens), InFlight(), Held(), Deadlines()
    )
    return Application(log_function=_log_request, context=context, document=Document(ROUTES, settings), pages=Pages())


def http_server(app: Application, most_connections: int) -> HTTPServer:
    """A server of this application that listens nowhere yet. Forwarded headers are the handlers' business, which know whom to trust."""
    server = Server(PathRouter(app, {**ROUTES, **UNDOCUMENTED}), max_body_size=ANY_SIZE, max_buffer_size=BUFFER, max_header_size=HEAD)
    server.watch(app.settings["context"].deadlines, ConnectionLimit(most_connections))
    return server


async def close_server(server: HTTPServer, app: Application, grace: float) -> None:
    """Takes no new connection, ends followers of logs, lets what is being answered end for ``grace`` seconds, then closes the rest, in as
    long again at most."""
    server.stop()
    app.settings["context"].services.followers.close()
    app.settings["context"].services.completion.close()
    await app.settings["context"].in_flight.ended(grace)
    with suppress(TimeoutError):  # a connection ends only once all that its client had sent ahead was looked at
        async with asyncio.timeout(grace):
            await server.close_all_connections()
    app.settings["context"].deadlines.close()
    if app.settings["context"].gate is not None:
        app.settings["context"].gate.close()


def _log_request(handler: RequestHandler) -> None:
    if not log.is_enabled_for(logging.DEBUG):
        return
    request = handler.request
    duration = round(request.request_time() * 1000, 1)
    log.debug("http.answered", method=request.method, path=request.path, status=handler.get_status(), duration_ms=duration)
