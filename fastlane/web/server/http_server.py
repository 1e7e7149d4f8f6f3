"""Tornado's HTTP server with bounded connections, and with deadlines for its clients."""

from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPMessageDelegate
from tornado.iostream import IOStream

from fastlane.web.http.deadlines import ClientDeadlines
from fastlane.web.server.connections import ConnectionLimit

HEADER_DEADLINE = 300.0
"""Seconds from the end of one request in which the next one's header must arrive."""


class LimitedHTTPServer(HTTPServer):
    """An ``HTTPServer`` that uses ``ClientDeadlines`` in place of Tornado's timer for each header. Call ``limit`` before it listens."""

    _client_deadlines: ClientDeadlines
    _connection_limit: ConnectionLimit

    def limit(self, connections: ConnectionLimit, deadlines: ClientDeadlines) -> None:
        """Sets the limits."""
        self._connection_limit = connections
        self._client_deadlines = deadlines
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
        super().handle_stream(stream, address)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """A connection waits for its next request."""
        self._client_deadlines.set(server_conn, HEADER_DEADLINE)
        return super().start_request(server_conn, request_conn)

    def on_close(self, server_conn: object) -> None:
        """A connection is closed."""
        self._client_deadlines.clear(server_conn)
        super().on_close(server_conn)
