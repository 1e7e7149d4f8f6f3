"""The table of routes, and the application and server made of it."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

import structlog
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import Router
from tornado.web import Application, RequestHandler

from fastlane.web.api.openapi import Document, OpenApiHandler
from fastlane.web.http.handler import Context, Handler, UnknownRoute
from fastlane.web.routes.actions import (
    PauseHandler,
    PausePoolHandler,
    ResumeHandler,
    ResumePoolHandler,
    RetryHandler,
    RunHandler,
    StopExecutionHandler,
    StopJobHandler,
    StopTaskHandler,
)
from fastlane.web.routes.handlers import ExecutionHandler, JobHandler, TaskHandler
from fastlane.web.routes.health import HealthHandler, LiveHandler, StatusHandler
from fastlane.web.routes.lists import ExecutionsHandler, JobExecutionsHandler, SearchHandler, TasksHandler, TicksHandler
from fastlane.web.routes.logs import LogsHandler, StderrHandler, StdoutHandler
from fastlane.web.routes.pages import AssetHandler, DocsHandler, Pages, RootHandler, StreamPageHandler
from fastlane.web.routes.tickets import TicketHandler
from fastlane.web.routes.websocket import SocketHandler
from fastlane.web.routes.why import WhyHandler
from fastlane.web.security.auth import authenticator_of
from fastlane.web.security.origins import RequestOrigins
from fastlane.web.server.connections import ConnectionLimit
from fastlane.web.server.deadlines import Deadlines, Server
from fastlane.web.server.in_flight import Held, InFlight
from fastlane.web.server.settings import Services, WebSettings

ROUTES: Mapping[str, type[Handler]] = {
    "/tasks": TasksHandler,
    "/search": SearchHandler,
    "/executions": ExecutionsHandler,
    "/tasks/{task_id}": TaskHandler,
    "/tasks/{task_id}/stop": StopTaskHandler,
    "/tasks/{task_id}/jobs/{job_id}": JobHandler,
    "/tasks/{task_id}/jobs/{job_id}/stop": StopJobHandler,
    "/tasks/{task_id}/jobs/{job_id}/retry": RetryHandler,
    "/tasks/{task_id}/jobs/{job_id}/run": RunHandler,
    "/tasks/{task_id}/jobs/{job_id}/pause": PauseHandler,
    "/tasks/{task_id}/jobs/{job_id}/resume": ResumeHandler,
    "/tasks/{task_id}/jobs/{job_id}/ticks": TicksHandler,
    "/tasks/{task_id}/jobs/{job_id}/stdout": StdoutHandler,
    "/tasks/{task_id}/jobs/{job_id}/stderr": StderrHandler,
    "/tasks/{task_id}/jobs/{job_id}/logs": LogsHandler,
    "/tasks/{task_id}/jobs/{job_id}/stream": StreamPageHandler,
    "/tasks/{task_id}/jobs/{job_id}/ws": SocketHandler,
    "/tasks/{task_id}/jobs/{job_id}/ws-ticket": TicketHandler,
    "/tasks/{task_id}/jobs/{job_id}/why": WhyHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions": JobExecutionsHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}": ExecutionHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/stop": StopExecutionHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/stdout": StdoutHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/stderr": StderrHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/logs": LogsHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/stream": StreamPageHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/ws": SocketHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/ws-ticket": TicketHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/why": WhyHandler,
    "/pools/{pool}/pause": PausePoolHandler,
    "/pools/{pool}/resume": ResumePoolHandler,
    "/livez": LiveHandler,
    "/healthcheck": HealthHandler,
    "/status": StatusHandler,
    "/openapi.json": OpenApiHandler,
    "/docs": DocsHandler,
    "/": RootHandler,
}
BESIDE: Mapping[str, type[Handler]] = {"/static/{file}": AssetHandler}
"""What is no part of the contract: only our pages refer to it."""

ANY_SIZE = 1 << 62
"""The handlers count bodies themselves, keep no more than ``max_body`` of one and answer with a problem; Tornado would only hang up."""

BUFFER = 512 * 1024

HEAD = 128 * 1024
"""So much of a request's head is read that one which is a little too long gets an answer; under more than that the connection is closed."""

log = structlog.get_logger()


@dataclass(slots=True)
class RouteNode:
    """Where a path may go on from: by a fixed word, or by a part with a name. ``handler``: whose paths end here, if any do."""

    handler: type[Handler] | None = None
    words: "dict[str, RouteNode]" = field(default_factory=dict)
    name: str = ""
    named: "RouteNode | None" = None

    def add(self, route: str, handler: type[Handler]) -> None:
        """A route as the table writes it. Two routes name the part that they have at the same place alike."""
        at = self
        for part in filter(None, route.split("/")):
            if part.startswith("{"):
                at.name, at.named = part[1:-1], at.named or RouteNode()
                at = at.named
            else:
                at = at.words.setdefault(part, RouteNode())
        at.handler = handler

    def find(self, path: str) -> tuple[type[Handler], dict[str, str]]:
        """The handler of a path (its bytes as Latin-1), and its named parts, percent-decoded: ``%2F`` is no separator. Repeated slashes
        count as one, a last one as none."""
        at, parts = self, dict[str, str]()
        for part in filter(None, path.split("/")):
            if part in at.words:
                at = at.words[part]
            elif at.named is not None:
                parts[at.name] = _decoded(part)
                at = at.named
            else:
                return UnknownRoute, {}
        return (at.handler, parts) if at.handler is not None else (UnknownRoute, {})


class PathRouter(Router):
    """Leads each request to its handler; ``/task`` is ``/tasks``."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._root = RouteNode()
        for route, handler in {**ROUTES, **BESIDE}.items():
            self._root.add(route, handler)
        self._root.words["task"] = self._root.words["tasks"]

    def find_handler(self, request: HTTPServerRequest, **_options: object) -> HTTPMessageDelegate:
        """The handler, and the parts of the path that it takes."""
        handler, parts = self._root.find(request.path) if request.path[:1] in ("", "/") else (UnknownRoute, {})
        return self._app.get_handler_delegate(request, handler, {"path": parts})


def application(services: Services, settings: WebSettings) -> Application:
    """What all handlers share. ``http_server`` serves the routes."""
    context = Context(
        services, settings, RequestOrigins(settings), authenticator_of(settings.users, settings.tokens), InFlight(), Held(), Deadlines()
    )
    return Application(log_function=_log_request, context=context, document=Document(ROUTES, settings), pages=Pages())


def http_server(app: Application, most_connections: int) -> HTTPServer:
    """A server of this application that listens nowhere yet. Forwarded headers are the handlers' business, which know whom to trust."""
    server = Server(PathRouter(app), max_body_size=ANY_SIZE, max_buffer_size=BUFFER, max_header_size=HEAD)
    server.watch(app.settings["context"].deadlines, ConnectionLimit(most_connections))
    return server


async def close_server(server: HTTPServer, app: Application, grace: float) -> None:
    """Takes no new connection, ends followers of logs, lets what is being answered end for ``grace`` seconds, then closes the rest, in as
    long again at most."""
    server.stop()
    app.settings["context"].services.followers.close()
    app.settings["context"].services.endings.close()
    await app.settings["context"].in_flight.ended(grace)
    with suppress(TimeoutError):  # a connection ends only once all that its client had sent ahead was looked at
        async with asyncio.timeout(grace):
            await server.close_all_connections()
    app.settings["context"].deadlines.close()
    if app.settings["context"].gate is not None:
        app.settings["context"].gate.close()


def _decoded(part: str) -> str:
    """Raw bytes of UTF-8, as curl sends them, mean the same as encoded ones; what is not UTF-8 becomes surrogates."""
    return part if part.isascii() and "%" not in part else unquote_to_bytes(part.encode("latin-1")).decode(errors="surrogateescape")


def _log_request(handler: RequestHandler) -> None:
    if not log.is_enabled_for(logging.DEBUG):
        return
    request = handler.request
    duration = round(request.request_time() * 1000, 1)
    log.debug("http.answered", method=request.method, path=request.path, status=handler.get_status(), duration_ms=duration)
