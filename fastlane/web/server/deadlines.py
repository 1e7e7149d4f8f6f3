"""How long a client may take: to send its next request, and that one's body. One look at all connections every few seconds finds who is
late; a timer for each request costs more than most requests' own work."""

import asyncio
from typing import Any

from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPMessageDelegate
from tornado.iostream import IOStream

from fastlane.web.server.connections import ConnectionLimit

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

    def shed(self) -> IOStream | None:
        """Closes the connection that has waited for its client the longest, to make room; its stream. None when none waits."""
        while self._until:
            connection = next(iter(self._until))
            self.clear(connection)
            if isinstance(connection, HTTP1ServerConnection) and isinstance(connection.stream, IOStream):
                connection.stream.close()
                return connection.stream
        return None

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
    """Tornado's server, with its timer for each request's header replaced by ``Deadlines``, and no more connections than there is room."""

    _deadlines: Deadlines
    _room: ConnectionLimit

    def watch(self, deadlines: Deadlines, room: ConnectionLimit) -> None:
        """By these the connections are timed, and let in; to be called before it listens."""
        self._deadlines = deadlines
        self._room = room
        self.conn_params.header_timeout = None

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """A new connection. Where there is no room, another that only waits for its client's next request is closed for it; where there is
        none, it is turned away."""
        while not self._room.let_in(stream):
            idle = self._deadlines.shed()
            if idle is None:
                stream.close()
                return
            self._room.leave(idle)
        super().handle_stream(stream, address)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """A connection waits for its next request."""
        self._deadlines.set(server_conn, IDLE)
        return super().start_request(server_conn, request_conn)

    def on_close(self, server_conn: object) -> None:
        """It is closed."""
        self._deadlines.clear(server_conn)
        super().on_close(server_conn)
