"""How long a client may take to send its next request, to send that request's body, and to take its answer. One sweep of all connections
every few seconds finds those that are late; a timer for each request would cost more than most requests' own work."""

import asyncio

from tornado.http1connection import HTTP1ServerConnection
from tornado.iostream import IOStream

SWEEP_EVERY = 5.0
"""Seconds between two sweeps. A connection is closed at most this long after its deadline."""


class ClientDeadlines:
    """The connections that wait for their client, and until when. Late ones are closed."""

    def __init__(self) -> None:
        self._until: dict[object, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._until)

    def set(self, connection: object, seconds: float) -> None:
        """Gives the client this long from now. Replaces an earlier deadline. A closed connection waits for no one."""
        if isinstance(connection, HTTP1ServerConnection) and connection.stream.closed():
            return
        loop = asyncio.get_running_loop()
        self._until[connection] = loop.time() + seconds
        if self._timer is None:
            self._timer = loop.call_later(SWEEP_EVERY, self._sweep)

    def clear(self, connection: object) -> None:
        """Removes the deadline: it is the server's turn, or the client is gone."""
        self._until.pop(connection, None)

    def close_longest_waiting(self) -> IOStream | None:
        """Closes the connection that has waited longest for its client, and returns its stream. None when none waits."""
        while self._until:
            connection = next(iter(self._until))
            self.clear(connection)
            if isinstance(connection, HTTP1ServerConnection) and isinstance(connection.stream, IOStream):
                connection.stream.close()
                return connection.stream
        return None

    def close(self) -> None:
        """Stops sweeping."""
        self._until.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in [one for one, until in self._until.items() if until <= now]:
            self.clear(connection)
            if isinstance(connection, HTTP1ServerConnection):
                connection.stream.close()
        self._timer = loop.call_later(SWEEP_EVERY, self._sweep) if self._until else None
