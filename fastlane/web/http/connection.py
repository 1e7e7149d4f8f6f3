"""Keeps track of a server's requests and connections. ``ActiveRequests`` lets a closing server wait for the requests under way.
``RequestBody`` receives a body, within the memory that all bodies share (``BodyMemory``). ``ClientDeadlines`` closes connections whose
clients are too slow, and ``Heartbeats`` calls functions at regular intervals.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from tornado.http1connection import HTTP1ServerConnection
from tornado.iostream import IOStream


class ActiveRequests:
    """The requests under way, so that a server can wait for them before it closes."""

    def __init__(self) -> None:
        self._handlers: set[object] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._handlers)

    def add(self, handler: object) -> None:
        """Adds a request."""
        self._handlers.add(handler)
        self._idle.clear()

    def discard(self, handler: object) -> None:
        """Removes a request that is answered or abandoned."""
        self._handlers.discard(handler)
        if not self._handlers:
            self._idle.set()

    async def wait_until_idle(self, seconds: float) -> None:
        """Returns when no request is under way, or after that many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()


DRAIN_LIMIT = 64 * 1024 * 1024
"""Unread request bodies are drained up to this size, in bytes; then the connection is closed."""
UNCOUNTED = 16 * 1024
"""The first bytes of each body do not count against the shared memory, so an ordinary job, which is far smaller, is always accepted."""
MAX_MEMORY = 64 * 1024 * 1024
"""The memory, in bytes, that all bodies share."""


class BodyMemory:
    """The memory that the bodies of all requests under way share. ``used`` is in bytes."""

    def __init__(self) -> None:
        self.used = 0

    def reserve(self, size: int) -> bool:
        """Takes more memory; False when there is not enough left."""
        if self.used + size > MAX_MEMORY:
            return False
        self.used += size
        return True

    def release(self, size: int) -> None:
        """Gives memory back."""
        self.used -= size


class RequestBody:
    """Receives one request's body. With a ``limit`` (in bytes) it keeps the body; without one it only drains it.

    ``data`` is what was kept so far. ``out_of_memory`` says that a part is missing because other requests use the shared memory.
    """

    __slots__ = ("_limit", "_memory", "_received", "_reserved", "data", "out_of_memory")

    def __init__(self, memory: BodyMemory, limit: int | None) -> None:
        self._memory = memory
        self._limit = limit
        self._received = 0
        self._reserved = 0
        self.data = bytearray()
        self.out_of_memory = False

    @property
    def too_large(self) -> bool:
        """Whether more than the limit has arrived."""
        return self._limit is not None and self._received > self._limit

    @property
    def undrainable(self) -> bool:
        """Whether the body is larger than ``DRAIN_LIMIT``: the connection is then closed instead of drained."""
        return self._received > DRAIN_LIMIT

    def exceeds_limit(self, content_length: str) -> bool:
        """Whether a body announced with this Content-Length is larger than the limit."""
        is_number = content_length.isascii() and content_length.isdigit()
        return self._limit is not None and is_number and int(content_length[:20]) > self._limit

    def receive(self, chunk: bytes) -> None:
        """Counts a chunk, and keeps it if the limit and the shared memory allow."""
        self._received += len(chunk)
        if self._limit is not None and not self.too_large and self._reserve():
            self.data.extend(chunk)

    def release(self) -> None:
        """Gives the shared memory back. Safe to repeat."""
        self._memory.release(self._reserved)
        self._reserved = 0

    def _reserve(self) -> bool:
        if self.out_of_memory:
            return False
        more = max(0, self._received - UNCOUNTED) - self._reserved
        if more > 0 and not self._memory.reserve(more):
            self.out_of_memory = True
            return False
        self._reserved += max(0, more)
        return True


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
        """Gives the client this long from now. Replaces an earlier deadline. A closed connection gets none."""
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


PING_EVERY = 20.0
"""Seconds between pings of a WebSocket, or comments of an event stream, while nothing else is sent."""
AT_ONCE = 0.01
"""The part of the interval by which a beat may be late, so that beats that are due together need only one timer."""


class Heartbeats:
    """Calls each function every ``every`` seconds. Tests set ``every``."""

    def __init__(self, every: float) -> None:
        self.every = every
        self._due: dict[Callable[[], None], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, beat: Callable[[], None]) -> None:
        """Calls the function from now on; the first time after a whole interval."""
        self._due[beat] = asyncio.get_running_loop().time() + self.every
        self._set_timer()

    def stop(self, beat: Callable[[], None]) -> None:
        """Stops calling the function. Safe to repeat."""
        self._due.pop(beat, None)

    def close(self) -> None:
        """Stops calling all functions."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self) -> None:
        first = next(iter(self._due.values()), None)  # all have the same interval, so they are in the order of their times
        if self._timer is None and first is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(first, loop.time() + AT_ONCE * self.every), self._beat)

    def _beat(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for beat, due in list(self._due.items()):
            if due > now:
                break
            if self._due.pop(beat, None) is not None:  # it was not stopped by one before it
                self._due[beat] = now + self.every
                beat()
        self._set_timer()
