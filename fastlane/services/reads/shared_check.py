"""A check that many may ask for at once, and that is made at most once in a while."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class SharedCheck(Generic[Answer]):
    """The answer of ``check``, which counts for ``valid`` seconds, or for ``share`` times as long as it took if that is longer. Those who
    ask while a check is under way wait for it, so that no number of callers makes more work. ``check`` ends in bounded time and raises
    nothing."""

    def __init__(self, check: Callable[[], Awaitable[Answer]], valid: float, *, share: float = 0) -> None:
        self._check = check
        self._valid = valid
        self._share = share
        self._lock = asyncio.Lock()
        self._last: tuple[float, Answer] | None = None

    async def answer(self) -> Answer:
        """The last answer, or a new one when that is too old."""
        async with self._lock:
            now = asyncio.get_running_loop().time
            if self._last is None or now() >= self._last[0]:
                self._last = None  # what a cancelled check leaves
                began = now()
                answer = await self._check()
                self._last = (now() + max(self._valid, self._share * (now() - began)), answer)
            return self._last[1]
