"""How many connections a server has at once. Without a bound they would take every file that the process may have open: then the store and
the queue fail too, and the loop does nothing but try to accept."""

import asyncio
import weakref

import structlog
from tornado.iostream import IOStream

EVERY = 1.0
"""Seconds, at least, between two looks for connections that are closed, and between two lines in the log."""

log = structlog.get_logger()


class ConnectionLimit:
    """Has room for ``most`` connections at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside: weakref.WeakSet[IOStream] = weakref.WeakSet()
        self._looked = float("-inf")

    def let_in(self, stream: IOStream) -> bool:
        """Whether there is room for one more; it counts until it is closed."""
        if len(self._inside) >= self._most:
            self._look()
        if len(self._inside) >= self._most:
            return False
        self._inside.add(stream)
        return True

    def leave(self, stream: IOStream) -> None:
        """One is closed. (Of most nobody says so: they are looked for when there is no room.)"""
        self._inside.discard(stream)

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._looked + EVERY:
            return
        self._looked = now
        self._inside = weakref.WeakSet(stream for stream in self._inside if not stream.closed())
        if len(self._inside) >= self._most:
            log.warning("http.full", connections=self._most)
