"""Answers requests while a server starts. Its store has not opened yet, which takes long when the store is away or has to be brought up to
date.

Requests of the first seconds wait, as most stores have opened by then. Afterwards ``/livez`` is 200, ``/metrics`` gives the figures of the
process, and every other path, ``/readyz`` included, is a 503 that says what the server is waiting for. All are counted like later answers,
so that an alert on refused requests fires for a start that takes too long.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ssl import SSLContext

from tornado.web import Application, RequestHandler, stream_request_body

from fastlane import __version__
from fastlane.config.settings import Settings
from fastlane.metrics import Metrics
from fastlane.services.startup import StartProgress
from fastlane.web.api.actions import PROBLEM
from fastlane.web.api.server import ALIVE
from fastlane.web.handler import BODY_DEADLINE, NO_CONTEXT, WRITE_DEADLINE
from fastlane.web.http.connection import ClientDeadlines, HeldMemory
from fastlane.web.http.problems import RETRY_AFTER, Problem, encode_json
from fastlane.web.security.origins import RequestOrigins
from fastlane.web.server import UNLIMITED, LimitedHTTPServer, make_router, metrics_route

QUICK = 2.0
"""Seconds for which requests wait."""


@asynccontextmanager
async def answering_meanwhile(
    sockets: Sequence[socket.socket],
    settings: Settings,
    metrics: Metrics,
    progress: StartProgress,
    most_connections: int,
    tls: SSLContext | None,
) -> AsyncIterator[None]:
    """Answers on these sockets until the context ends, if that takes long; they stay open."""
    deadlines = ClientDeadlines()
    shared = {"progress": progress, "deadlines": deadlines}
    application = Application([metrics_route(metrics, settings, ".*"), (".*/livez/?", _Alive, shared), (".*", _Starting, shared)])
    router = make_router(application, settings)

    def count(handler: RequestHandler) -> None:
        request, (resource, _) = handler.request, router.locate(handler.request)
        metrics.answered(request.method or "", resource.label if resource else "", handler.get_status(), request.request_time())

    application.settings["log_function"] = count
    server = LimitedHTTPServer(application, ssl_options=tls, max_body_size=UNLIMITED)
    server.limit(most_connections, deadlines, HeldMemory(), RequestOrigins(settings).owner_of_connection)
    quick = asyncio.get_running_loop().call_later(QUICK, lambda: server.add_sockets([sock.dup() for sock in sockets]))
    try:
        yield
    finally:
        quick.cancel()
        server.stop()
        await server.close_all_connections()
        deadlines.close()


@stream_request_body
class _Starting(RequestHandler):
    """Answers after the whole body has arrived, as an earlier answer would close the connection while the client still sends."""

    def initialize(self, *, progress: StartProgress, deadlines: ClientDeadlines) -> None:
        self._progress = progress
        self._deadlines = deadlines

    def set_default_headers(self) -> None:
        """The headers of every answer. A connection that is kept open would end with this server."""
        self.set_header("X-Fastlane-Version", __version__)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Connection", "close")

    def prepare(self) -> None:
        """Sets the deadline for the body."""
        self._deadlines.set(self.request.server_connection, BODY_DEADLINE)

    def on_finish(self) -> None:
        """Gives the client a minute to take the answer."""
        self._deadlines.set(self.request.server_connection, WRITE_DEADLINE)

    def data_received(self, chunk: bytes) -> None:
        """Drops the body."""

    async def _refuse(self) -> None:
        words = f"fastlane is starting and waits for {self._progress.waits_for or 'its last parts'}; send this again in a few seconds"
        self.set_header("Retry-After", str(RETRY_AFTER))
        self.set_header("Content-Type", "application/problem+json")
        self.set_status(503)
        await self.finish(encode_json(PROBLEM.serialize(Problem(503, words), NO_CONTEXT)))

    get = head = post = put = patch = delete = options = _refuse


class _Alive(_Starting):
    async def _alive(self) -> None:
        self.set_header("Content-Type", "application/json")
        await self.finish(encode_json(ALIVE.serialize(None, NO_CONTEXT)))

    get = head = _alive
