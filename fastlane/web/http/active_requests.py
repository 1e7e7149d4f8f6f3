"""The requests that this process is answering."""

import asyncio
from contextlib import suppress


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
