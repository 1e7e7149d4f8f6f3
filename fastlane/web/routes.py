"""The table of routes, and the application and server made of it."""

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import structlog
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher, Rule
from tornado.web import Application, RequestHandler

from fastlane.web.addresses import Addresses
from fastlane.web.handler import Context, Handler, Held, InFlight, UnknownRoute
from fastlane.web.handlers import ExecutionHandler, JobHandler, StopExecutionHandler, StopJobHandler, TaskHandler, TicksHandler
from fastlane.web.logs import LogsHandler, StderrHandler, StdoutHandler
from fastlane.web.operations import HealthHandler, LiveHandler, StatusHandler
from fastlane.web.settings import Services, WebSettings

ROUTES: Mapping[str, type[Handler]] = {
    "/tasks/{task_id}": TaskHandler,
    "/tasks/{task_id}/jobs/{job_id}": JobHandler,
    "/tasks/{task_id}/jobs/{job_id}/stop": StopJobHandler,
    "/tasks/{task_id}/jobs/{job_id}/ticks": TicksHandler,
    "/tasks/{task_id}/jobs/{job_id}/stdout": StdoutHandler,
    "/tasks/{task_id}/jobs/{job_id}/stderr": StderrHandler,
    "/tasks/{task_id}/jobs/{job_id}/logs": LogsHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}": ExecutionHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/stop": StopExecutionHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/stdout": StdoutHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/stderr": StderrHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/logs": LogsHandler,
    "/livez": LiveHandler,
    "/healthcheck": HealthHandler,
    "/status": StatusHandler,
    "/": HealthHandler,
}

ANY_SIZE = 1 << 62
"""The handlers count bodies themselves, keep no more than ``max_body`` of one and answer with a problem; Tornado would only hang up."""

BUFFER = 512 * 1024
IDLE_SECONDS = 300

log = structlog.get_logger()


class Path(Matcher):
    """Matches a route as the table writes it: repeated slashes count as one, a last one as none, and ``/task`` is ``/tasks``.

    The parts between the slashes are percent-decoded by the handler, after that, so ``%2F`` is not a separator.
    """

    def __init__(self, route: str) -> None:
        parts = [_pattern(part) for part in route.split("/") if part]
        self._regex = re.compile("".join(f"/+{part}" for part in parts) + "/*")

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """The path's parts, percent-encoded throughout: raw bytes of UTF-8, as curl sends them, mean the same as encoded ones."""
        match = self._regex.fullmatch(request.path)
        if match is None:
            return None
        return {"path_kwargs": {name: quote(value, safe="%", encoding="latin-1").encode() for name, value in match.groupdict().items()}}


def application(services: Services, settings: WebSettings) -> Application:
    """The application of all routes. ``http_server`` serves it."""
    context = Context(services, settings, Addresses(settings), InFlight(), Held())
    rules: list[Any] = [Rule(Path(route), handler) for route, handler in ROUTES.items()]
    return Application(rules, default_handler_class=UnknownRoute, log_function=_log_request, context=context)


def http_server(app: Application) -> HTTPServer:
    """A server of this application that listens nowhere yet. Forwarded headers are the handlers' business, which know whom to trust."""
    return HTTPServer(
        app,
        max_body_size=ANY_SIZE,
        max_buffer_size=BUFFER,
        idle_connection_timeout=IDLE_SECONDS,
    )


async def close_server(server: HTTPServer, app: Application, grace: float) -> None:
    """Takes no new connection, lets what is being answered end for ``grace`` seconds, then closes the rest, in as long again at most."""
    server.stop()
    await app.settings["context"].in_flight.ended(grace)
    with suppress(TimeoutError):  # a connection ends only once all that its client had sent ahead was looked at
        async with asyncio.timeout(grace):
            await server.close_all_connections()


def _pattern(part: str) -> str:
    if part.startswith("{"):
        return f"(?P<{part[1:-1]}>[^/]+)"
    return "tasks?" if part == "tasks" else re.escape(part)


def _log_request(handler: RequestHandler) -> None:
    request = handler.request
    duration = round(request.request_time() * 1000, 1)
    log.debug("http.answered", method=request.method, path=request.path, status=handler.get_status(), duration_ms=duration)
