"""The real queue, with its time in the test's hands; and many clients of it at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastlane.queue.port import Lane, Lease
from fastlane.queue.redis.queue import RedisQueue
from tests.support.factories import NOW
from tests.support.waiting import PATIENCE


class ClockedQueue(RedisQueue):
    """A queue for which it is ``NOW``, until ``at`` says that it is another moment (milliseconds)."""

    def __init__(self, url: str, installation: str, *, deadline: float = PATIENCE) -> None:
        super().__init__(url, installation, deadline=deadline, time=lambda: self._now)
        self._now = NOW

    def at(self, now: int) -> "ClockedQueue":
        """This queue, for which it is that moment from here on."""
        self._now = now
        return self


@asynccontextmanager
async def clocked_queues(url: str, installation: str, count: int = 8) -> AsyncIterator[list[ClockedQueue]]:
    """So many clients of one queue, of generation 1."""
    queues = [ClockedQueue(url, installation) for _ in range(count)]
    async with AsyncExitStack() as stack:
        for queue in queues:
            await queue.open()
            stack.push_async_callback(queue.close)
        await queues[0].generation.set_generation("1")
        yield queues


async def everyone(queues: Sequence[ClockedQueue], act: Callable[[int, ClockedQueue], Awaitable[Any]]) -> list[Any]:
    """What each client's ``act(number, queue)`` returned, all at once."""
    async with asyncio.timeout(2 * PATIENCE):
        return await asyncio.gather(*(act(number, queue) for number, queue in enumerate(queues)))


async def claim_all(queue: ClockedQueue, *lanes: Lane, owner: str = "me", now: int = NOW, lease: int = 10_000) -> list[Lease]:
    """All that can be leased, claim after claim."""
    got: list[Lease] = []
    while leases := (await queue.at(now).claim("1", owner, lanes, 256, lease=lease)).leases:
        got += leases
    return got
