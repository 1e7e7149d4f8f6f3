"""The Tornado application, and the HTTP server that serves it. ``PathRouter`` hands a request to its handler; ``LimitedHTTPServer`` and
``ConnectionLimit`` bound the connections; ``bound`` makes the sockets, and ``close_server`` ends the server in order. ``measured`` also
serves ``/metrics`` on a port of its own, mainly for a worker, which serves no other HTTP."""

import asyncio
import logging
import socket
import weakref
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit

import structlog
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPMessageDelegate, HTTPServerRequest
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets
from tornado.routing import Router
from tornado.web import Application, RequestHandler

from fastlane.config.settings import Settings
from fastlane.errors import FastlaneError
from fastlane.metrics import Metrics
from fastlane.models.event import EventKind
from fastlane.services.assembly import Services
from fastlane.tracing.port import Recorder
from fastlane.web.api.contract import METRICS
from fastlane.web.handler import NOWHERE, AppContext, Handler, Traffic
from fastlane.web.http.connection import ClientDeadlines, HeldMemory
from fastlane.web.http.problems import Problem
from fastlane.web.openapi import ApiDocument
from fastlane.web.routes import ALL_ROUTES, ROUTES
from fastlane.web.routing import PathRoutes, RouteNode
from fastlane.web.security.auth import Authenticator, RequestRates, make_authenticator
from fastlane.web.security.origins import Networks, RequestOrigins, read_address
from fastlane.web.static_files import StaticFiles

SWEEP_EVERY = 1.0
"""Seconds, at least, between two sweeps for closed connections, and between two log lines."""

log = structlog.get_logger()


class ConnectionLimit:
    """Allows ``most`` connections at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: weakref.WeakSet[IOStream] = weakref.WeakSet()
        self._swept = float("-inf")

    def acquire(self, stream: IOStream) -> bool:
        """Counts a new connection until it is closed; False when the limit is reached."""
        if len(self._open) >= self._most:
            self._sweep()
        if len(self._open) >= self._most:
            return False
        self._open.add(stream)
        return True

    def release(self, stream: IOStream) -> None:
        """Stops counting a connection. (Tornado does not report most closed connections, so they are swept when the limit is reached.)"""
        self._open.discard(stream)

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._swept + SWEEP_EVERY:
            return
        self._swept = now
        self._open = weakref.WeakSet(stream for stream in self._open if not stream.closed())
        if len(self._open) >= self._most:
            log.warning("http.full", connections=self._most)


HEADER_DEADLINE = 300.0
"""Seconds from the end of one request in which the next one's header must arrive."""


class LimitedHTTPServer(HTTPServer):
    """An ``HTTPServer`` that uses ``ClientDeadlines`` in place of Tornado's timer for each header. Call ``limit`` before it listens."""

    _client_deadlines: ClientDeadlines
    _connection_limit: ConnectionLimit
    _memory: HeldMemory
    _owner_of: Callable[[str], str | None]

    def limit(self, most: int, deadlines: ClientDeadlines, memory: HeldMemory, owner_of: Callable[[str], str | None]) -> None:
        """Sets the limits, of which ``most`` is for connections. ``owner_of`` tells whose a connection from an address is, as in
        ``HeldMemory``."""
        self._connection_limit = ConnectionLimit(most)
        self._client_deadlines = deadlines
        self._memory = memory
        self._owner_of = owner_of
        self.conn_params.header_timeout = None

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Takes a new connection. At the limit, it closes a connection that only waits for its client's next request; if there is none, it
        closes the new one."""
        while not self._connection_limit.acquire(stream):
            closed = self._client_deadlines.close_longest_waiting()
            if closed is None:
                stream.close()
                return
            self._connection_limit.release(closed)
        self._memory.watch(stream, self._owner_of(str(address[0])))
        super().handle_stream(stream, address)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Sets the deadline for the next request of a connection."""
        self._client_deadlines.set(server_conn, HEADER_DEADLINE, for_head=True)
        return super().start_request(server_conn, request_conn)

    def on_close(self, server_conn: object) -> None:
        """Clears the deadline of a closed connection."""
        self._client_deadlines.clear(server_conn)
        super().on_close(server_conn)


class PathRouter(Router):
    """Routes requests to an application's handlers. ``/task`` is an alias of ``/tasks``. ``prefix`` is the path of ``public_url``: requests
    may come with it or without it, since some proxies remove it and others do not."""

    def __init__(self, app: Application, resources: Mapping[str, PathRoutes], prefix: str = "") -> None:
        self._app = app
        self._prefix = prefix
        self._root = RouteNode()
        for path, resource in resources.items():
            self._root.add(path, resource)
        self._root.literals["task"] = self._root.literals["tasks"]

    def locate(self, request: HTTPServerRequest) -> tuple[PathRoutes | None, dict[str, str]]:
        """The routes at a request's path, from which it removes the prefix, and the path's parameters."""
        resource, parameters = self._root.find(request.path) if request.path[:1] in ("", "/") else (None, {})
        if resource is None and self._prefix and f"{request.path}/".startswith(f"{self._prefix}/"):
            request.path = request.path.removeprefix(self._prefix)
            resource, parameters = self._root.find(request.path)
        return resource, parameters

    def find_handler(self, request: HTTPServerRequest, **_options: object) -> HTTPMessageDelegate:
        """See Tornado."""
        resource, parameters = self.locate(request)
        if resource is None:
            given = {"resource": NOWHERE, "path": {}, "near": self._root.near(request.path)}
            return self._app.get_handler_delegate(request, Handler, given)
        return self._app.get_handler_delegate(request, resource.handler or Handler, {"resource": resource, "path": parameters})


UNLIMITED = 1 << 62
"""Handlers limit bodies themselves and answer with a problem; Tornado would only close the connection."""
READ_BUFFER = 512 * 1024
READ_CHUNK = 16 * 1024
"""Bytes that are read at once. Tornado makes a buffer of zeros of that size for each read, and a small request takes two reads."""
MAX_HEAD = 128 * 1024
"""Bytes of a request's head that are read, so that one which is only a little too long gets an answer. For a longer one the connection is
closed."""


def make_application(services: Services, settings: Settings, metrics: Metrics, recorder: Recorder | None = None) -> Application:
    """The application, which counts its requests in ``metrics``, and gives their spans to the ``recorder``. ``make_server`` serves it."""
    context = AppContext(
        services=services,
        settings=settings,
        origins=RequestOrigins(settings),
        authenticator=make_authenticator(settings.users, settings.tokens, partial(services.access_events.refused, EventKind.LOGIN_REFUSED)),
        traffic=Traffic(RequestRates(settings.request_rate)),
        metrics=metrics,
        recorder=recorder,
    )
    document, files = ApiDocument(ROUTES, settings), StaticFiles()
    return Application(log_function=_log_request, context=context, document=document, static_files=files, routes=ALL_ROUTES)


def make_router(app: Application, settings: Settings) -> PathRouter:
    """The router of all routes, which may begin with the path of ``public_url``."""
    return PathRouter(app, ALL_ROUTES, urlsplit(settings.public_url).path if settings.public_url else "")


def make_server(app: Application, most_connections: int, tls: SSLContext | None = None) -> HTTPServer:
    """A server of this application that does not listen yet; with ``tls`` it serves HTTPS only. It ignores forwarded headers: handlers read
    them, and know which to trust."""
    router = make_router(app, context_of(app).settings)
    limits = {"max_body_size": UNLIMITED, "max_buffer_size": READ_BUFFER, "max_header_size": MAX_HEAD, "chunk_size": READ_CHUNK}
    server = LimitedHTTPServer(router, ssl_options=tls, **limits)
    context = context_of(app)
    server.limit(most_connections, context.traffic.deadlines, context.traffic.memory, context.origins.owner_of_connection)
    return server


async def close_server(server: HTTPServer, app: Application, grace: float) -> None:
    """Stops accepting connections, ends followers of logs, gives requests under way ``grace`` seconds to end and then closes all
    connections, which may take as long again. Before that, it answers for another ``stop_wait`` seconds while ``/readyz`` says 503."""
    context = context_of(app)
    context.traffic.stopping.set()
    if context.settings.stop_wait:
        log.info("api.stopping", seconds=context.settings.stop_wait)
        await asyncio.sleep(context.settings.stop_wait)
    server.stop()
    context.services.followers.close()
    context.services.completion.close()
    context.services.event_feeds.close()
    context.services.search_feeds.close()
    context.services.usage_feeds.close()
    await context.traffic.active_requests.wait_until_idle(grace)
    with suppress(TimeoutError):  # Tornado reads all that a client has sent before it closes its connection.
        async with asyncio.timeout(grace):
            await server.close_all_connections()
    context.traffic.deadlines.close()
    context.traffic.heartbeats.close()
    if context.authenticator is not None:
        context.authenticator.close()


def context_of(app: Application) -> AppContext:
    """The values that an application's handlers share."""
    context = app.settings["context"]
    assert isinstance(context, AppContext)
    return context


def _log_request(handler: RequestHandler) -> None:
    request = handler.request
    if isinstance(handler, Handler):
        handler.context.metrics.answered(request.method or "", handler.resource.label, handler.get_status(), request.request_time())
        if handler.context.recorder is not None:
            handler.trace.record(handler.context.recorder, request, handler.resource.label, handler.get_status())
    if not log.is_enabled_for(logging.DEBUG):
        return
    duration = round(request.request_time() * 1000, 1)
    log.debug("http.answered", method=request.method, path=request.path, status=handler.get_status(), duration_ms=duration)


def bound(port: int, address: str, option: str) -> list[socket.socket]:
    """Sockets that listen on an address and a port. Raises FastlaneError, which names the option that chooses another port."""
    try:
        return bind_sockets(port, address)
    except OSError as error:
        raise FastlaneError(
            f"cannot listen on {address}:{port}: {error.strerror or error}; stop what uses it, or choose another {option}"
        ) from None


def addresses_of(sockets: Sequence[socket.socket]) -> list[str]:
    """The address and port of each socket."""
    return [":".join(map(str, sock.getsockname()[:2])) for sock in sockets]


METRICS_HEAD = 16 * 1024
"""Bytes of the head of a request to the server of metrics."""
METRICS_CONNECTIONS = 64
"""Connections to the server of metrics at once. They are among the files that are left for other things than requests."""


@asynccontextmanager
async def measured(metrics: Metrics, settings: Settings, port: int | None, address: str) -> AsyncIterator[int | None]:
    """Measures the event loop until the context ends. With a ``port``, also serves the metrics there; yields the port in use. Raises
    FastlaneError when it cannot listen there."""
    task = asyncio.create_task(metrics.measure_loop(), name="measure the event loop")
    server, sockets = None, list[socket.socket]()
    try:
        if port is not None:
            sockets = bound(port, address, "metrics_port")
            server = make_metrics_server(metrics, settings)
            server.add_sockets(sockets)
            log.info("metrics.listening", addresses=addresses_of(sockets))
        yield sockets[0].getsockname()[1] if sockets else None
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if server is not None:
            server.stop()
            await server.close_all_connections()


def make_metrics_server(metrics: Metrics, settings: Settings) -> HTTPServer:
    """A server of ``/metrics`` that does not listen yet. With users or tokens it asks for a login, except from the networks in
    ``metrics_allow``."""
    application = Application([metrics_route(metrics, settings)], log_function=lambda _handler: None)
    server = LimitedHTTPServer(application, max_header_size=METRICS_HEAD, max_body_size=0, idle_connection_timeout=60)
    server.limit(METRICS_CONNECTIONS, ClientDeadlines(), HeldMemory(), RequestOrigins(settings).owner_of_connection)
    return server


def metrics_route(metrics: Metrics, settings: Settings, prefix: str = "") -> tuple[str, type[RequestHandler], dict[str, Any]]:
    """The route of a process's figures, for Tornado. ``prefix``: a regular expression."""
    authenticator = make_authenticator(settings.users, settings.tokens)
    shared = {"metrics": metrics, "authenticator": authenticator, "networks": Networks(settings.metrics_allow)}
    return f"{prefix}/metrics", _MetricsHandler, shared


class _MetricsHandler(RequestHandler):
    def initialize(self, *, metrics: Metrics, authenticator: Authenticator | None, networks: Networks) -> None:
        self._metrics = metrics
        self._authenticator = authenticator
        self._networks = networks

    async def get(self) -> None:
        """The figures of this process."""
        self.set_header("Cache-Control", "no-store")
        address, principal = self.request.remote_ip or "", None
        if self._authenticator is not None and read_address(address) not in self._networks:
            try:
                header = self.request.headers.get("Authorization", "")
                principal = self._authenticator.cached(header) or await self._authenticator.authenticate(header, address)
            except Problem as problem:
                for name, value in problem.headers.items():
                    self.set_header(name, value)
                self.set_status(problem.status)
                self.set_header("Content-Type", "text/plain; charset=utf-8")
                await self.finish(f"{problem.detail}\n")
                return
        self.set_header("Content-Type", METRICS)
        await self.finish(self._metrics.text(sees=principal.sees if principal is not None and principal.tasks else None))
