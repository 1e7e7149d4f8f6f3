"""What is under way in this process: the requests that are being answered, and the memory that their bodies take."""

import asyncio
from contextlib import suppress


class InFlight:
    """The requests that are being answered."""

    def __init__(self) -> None:
        self._handlers: set[object] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, handler: object) -> None:
        """One more."""
        self._handlers.add(handler)
        self._idle.clear()

    def discard(self, handler: object) -> None:
        """It is answered, or nobody waits for its answer any more."""
        self._handlers.discard(handler)
        if not self._handlers:
            self._idle.set()

    async def ended(self, seconds: float) -> None:
        """Returns when there is none, or after that many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()


class Held:
    """How much memory the bodies under way take, in bytes."""

    def __init__(self) -> None:
        self.size = 0
