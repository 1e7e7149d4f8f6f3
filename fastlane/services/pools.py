"""Pausing pools: nothing is dispatched to a paused one. What runs there goes on, what expires there ends."""

import structlog

from fastlane.errors import NotFound, QueueDown
from fastlane.services.jobs.changes import JobChanges
from fastlane.services.jobs.results import PoolPaused

log = structlog.get_logger()


class Pools(JobChanges):
    """Holds and releases pools. The store keeps which are held; the queue sees to it."""

    async def pause_pool(self, name: str) -> PoolPaused:
        """From the answer on nothing of the pool is claimed; safe to repeat. Raises NotFound for an unknown pool, and QueueDown also when
        the store has the pause and the queue does not know of it yet: it will soon after its return, and a repeat tells."""
        if not await self._hold(name, paused=True):
            raise QueueDown(f"the pause of pool {name!r} is stored, but the queue does not answer: it holds once that does")
        return PoolPaused(name, True)

    async def resume_pool(self, name: str) -> PoolPaused:
        """The pool is dispatched to again, at once when the queue answers; safe to repeat. Raises NotFound for an unknown pool."""
        await self._hold(name, paused=False)
        return PoolPaused(name, False)

    async def _hold(self, name: str, *, paused: bool) -> bool:
        """Whether the queue knows of it."""
        if name not in {pool.name for pool in self._pools}:
            known = ", ".join(sorted(pool.name for pool in self._pools))
            raise NotFound(f"there is no pool {name!r}; the pools are: {known}")
        await self._handover.ready()
        pauses = await self._store.pause_pool(name, paused)
        log.info("pool.paused" if paused else "pool.resumed", pool=name, revision=pauses.revision)
        return await self._handover.pause(pauses)
