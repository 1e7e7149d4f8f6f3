"""A semaphore for each key, so that one key that hangs leaves room for the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class _Entry:
    def __init__(self, most: int) -> None:
        self.semaphore = asyncio.Semaphore(most)
        self.users = 0


class KeyedSemaphore:
    """Admits ``most`` users of each key at once; others wait, in order, for at most ``patience`` seconds."""

    def __init__(self, most: int, patience: float) -> None:
        self._most = most
        self._patience = patience
        self._entries: dict[str, _Entry] = {}

    @property
    def keys(self) -> frozenset[str]:
        """The keys that are in use or waited for."""
        return frozenset(self._entries)

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """Holds one of the key's places. Raises TimeoutError when none becomes free in time."""
        entry = self._entries.setdefault(key, _Entry(self._most))
        entry.users += 1
        try:
            async with asyncio.timeout(self._patience):
                await entry.semaphore.acquire()
            try:
                yield
            finally:
                entry.semaphore.release()
        finally:
            entry.users -= 1
            if not entry.users:
                del self._entries[key]
