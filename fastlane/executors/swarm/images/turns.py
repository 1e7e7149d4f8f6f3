"""Turns: at most so many at once do something about one name, so that one name that hangs leaves room for the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class _Gate:
    def __init__(self, most: int) -> None:
        self.semaphore = asyncio.Semaphore(most)
        self.users = 0


class Turns:
    """``most`` at once for each name; the others wait, in order, for ``patience`` seconds."""

    def __init__(self, most: int, patience: float) -> None:
        self._most = most
        self._patience = patience
        self._gates: dict[str, _Gate] = {}

    @property
    def names(self) -> frozenset[str]:
        """The names that somebody does something about, or waits to."""
        return frozenset(self._gates)

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """The time of one's turn. Raises TimeoutError when it does not come."""
        gate = self._gates.setdefault(name, _Gate(self._most))
        gate.users += 1
        try:
            async with asyncio.timeout(self._patience):
                await gate.semaphore.acquire()
            try:
                yield
            finally:
                gate.semaphore.release()
        finally:
            gate.users -= 1
            if not gate.users:
                del self._gates[name]
