"""What measures a process, and a server of its own for ``/metrics``, above all for a worker, which serves no other HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from fastlane.metrics import Metrics
from fastlane.web.api.contract import METRICS
from fastlane.web.http.problems import Problem
from fastlane.web.security.auth import Authenticator, make_authenticator
from fastlane.web.security.origins import Networks, read_address
from fastlane.web.server import addresses_of, bound
from fastlane.web.settings import WebSettings

MAX_HEAD = 16 * 1024

log = structlog.get_logger()


@asynccontextmanager
async def measured(metrics: Metrics, settings: WebSettings, port: int | None, address: str) -> AsyncIterator[int | None]:
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


def make_metrics_server(metrics: Metrics, settings: WebSettings) -> HTTPServer:
    """A server that does not listen yet. With users or tokens it asks for a login, except of the networks in ``metrics_allow``."""
    shared = {
        "metrics": metrics,
        "authenticator": make_authenticator(settings.users, settings.tokens),
        "networks": Networks(settings.metrics_allow),
    }
    application = Application([("/metrics", _MetricsHandler, shared)], log_function=lambda _handler: None)
    return HTTPServer(application, max_header_size=MAX_HEAD, max_body_size=0, idle_connection_timeout=60)


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
