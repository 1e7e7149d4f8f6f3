"""Pauses and resumes pools, or all dispatch.

Nothing is dispatched to a paused pool; what runs there goes on, and what expires there ends.
"""

import structlog

from fastlane.errors import NotFound, QueueDown
from fastlane.models.access import Requester
from fastlane.models.event import Event, EventKind
from fastlane.models.pool import HOLDS, REQUESTED, pool_for
from fastlane.services.parts import Service
from fastlane.services.results import DispatchPaused, PoolPaused

log = structlog.get_logger()


class Pools(Service):
    """Pauses and resumes pools, or all of them: the store remembers which are paused, and the queue enforces it."""

    def hard_timeout(self, task_id: str) -> float | None:
        """The longest that an execution of the task may run, in seconds, where its pool has a limit of its own."""
        pool = pool_for(self._pools, task_id)
        return None if pool is None else pool.hard_timeout

    async def pause(self, name: str, by: Requester | None = None) -> PoolPaused:
        """Pauses a pool: nothing of it is claimed from the answer on. Safe to repeat. Raises NotFound for an unknown pool, and QueueDown;
        the pause may be stored by then, and takes effect once the queue is back."""
        if not await self._set_paused(name, by, paused=True):
            raise QueueDown(f"the pause of pool {name!r} is stored, but the queue does not answer: it takes effect once the queue does")
        return PoolPaused(name, True)

    async def resume(self, name: str, by: Requester | None = None) -> PoolPaused:
        """Dispatches to the pool again, as soon as the queue answers; safe to repeat. Raises NotFound for an unknown pool."""
        await self._set_paused(name, by, paused=False)
        return PoolPaused(name, False)

    async def pause_all(self, by: Requester | None = None) -> DispatchPaused:
        """Pauses all dispatch, as ``pause`` does a pool."""
        await self._outbox.check()
        await self._tell(EventKind.DISPATCH_PAUSED, by)
        pauses = await self._store.pause_pool(REQUESTED, True)
        log.info("dispatch.paused", revision=pauses.revision)
        if not await self._outbox.pause(pauses):
            raise QueueDown("the pause of all dispatch is stored, but the queue does not answer: it takes effect once the queue does")
        return DispatchPaused(True)

    async def resume_all(self, by: Requester | None = None) -> DispatchPaused:
        """Ends the pause of all dispatch, whatever it was for; paused pools stay paused. Safe to repeat."""
        await self._outbox.check()
        await self._tell(EventKind.DISPATCH_RESUMED, by)
        for hold in sorted(HOLDS):
            pauses = await self._store.pause_pool(hold, False)
        log.info("dispatch.resumed", revision=pauses.revision)
        await self._outbox.pause(pauses)
        return DispatchPaused(False)

    async def _tell(self, kind: EventKind, by: Requester | None, pool: str | None = None) -> None:
        """Records who asks for it, before it is done."""
        await self._store.add_events([Event.now(kind, self._clock.now(), by, pool=pool)])

    async def _set_paused(self, name: str, by: Requester | None, *, paused: bool) -> bool:
        """Whether the queue knows of it already."""
        if name not in {pool.name for pool in self._pools}:
            known = ", ".join(sorted(pool.name for pool in self._pools))
            raise NotFound(f"there is no pool {name!r}; the pools are: {known}")
        await self._outbox.check()
        await self._tell(EventKind.POOL_PAUSED if paused else EventKind.POOL_RESUMED, by, name)
        pauses = await self._store.pause_pool(name, paused)
        log.info("pool.paused" if paused else "pool.resumed", pool=name, revision=pauses.revision)
        return await self._outbox.pause(pauses)
