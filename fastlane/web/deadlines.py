"""How long a client may take: to send its next request, and that one's body. One look at all connections every few seconds finds who is
late; a timer for each request costs more than most requests' own work."""

import asyncio

from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPMessageDelegate

IDLE = 300.0
"""Seconds in which a request's header must have come, from the end of the one before."""
LOOK = 5.0
"""Seconds between two looks; so much later than its deadline a connection is closed at most."""


class Deadlines:
    """The connections that have something to send, and until when. What is late is closed."""

    def __init__(self) -> None:
        self._until: dict[object, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._until)

    def set(self, connection: object, seconds: float) -> None:
        """The client has so long from now; instead of what was said before."""
        loop = asyncio.get_running_loop()
        self._until[connection] = loop.time() + seconds
        if self._timer is None:
            self._timer = loop.call_later(LOOK, self._look)

    def clear(self, connection: object) -> None:
        """It has sent what it had to, or is gone."""
        self._until.pop(connection, None)

    def close(self) -> None:
        """Looks no more."""
        self._until.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in [one for one, until in self._until.items() if until <= now]:
            self.clear(connection)
            if isinstance(connection, HTTP1ServerConnection):
                connection.stream.close()
        self._timer = loop.call_later(LOOK, self._look) if self._until else None


class Server(HTTPServer):
    """Tornado's server, with its timer for each request's header replaced by ``Deadlines``."""

    _deadlines: Deadlines

    def watch(self, deadlines: Deadlines) -> None:
        """By these the connections are timed; to be called before it listens."""
        self._deadlines = deadlines
        self.conn_params.header_timeout = None

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """A connection waits for its next request."""
        self._deadlines.set(server_conn, IDLE)
        return super().start_request(server_conn, request_conn)

    def on_close(self, server_conn: object) -> None:
        """It is closed."""
        self._deadlines.clear(server_conn)
        super().on_close(server_conn)
