"""A limit on open connections. Without one, connections would take every file descriptor that the process may have: then the store and the
queue fail too, and the event loop does nothing but try to accept."""

import asyncio
import weakref

import structlog
from tornado.iostream import IOStream

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
