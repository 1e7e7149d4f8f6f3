"""The quotas of a pool on what waits: looked at before something is added to it.

A look and what is added after it are two steps, so several that come at once may exceed a quota by their number. Nothing that was accepted
is ever dropped for a quota.
"""

from collections.abc import Sequence

from fastlane.errors import TooMany
from fastlane.models.pool import Pool, pool_for, waiting_refusal
from fastlane.queue.port import TimedQueue
from fastlane.storage.base import ExecutionStore

ADVICE = "send it again when some have started, or ask the operator for a higher limit"


class WaitingQuotas:
    """Asks the queue and the store how much waits, for pools that have a quota. ``pools`` may change meanwhile."""

    def __init__(self, queue: TimedQueue, store: ExecutionStore, pools: Sequence[Pool]) -> None:
        self._queue = queue
        self._store = store
        self._pools = pools

    async def check(self, task_id: str) -> None:
        """Raises TooMany when no further execution of the task may wait. Raises QueueDown and StoreDown."""
        refusal = await self.refusal(task_id)
        if refusal is not None:
            raise TooMany(f"{refusal}; {ADVICE}")

    async def refusal(self, task_id: str) -> str | None:
        """Why no further execution of the task may wait; None when one may."""
        pool = pool_for(self._pools, task_id)
        if pool is None or (pool.max_waiting is None and pool.max_waiting_of_task is None):
            return None
        of_pool = of_task = 0
        if pool.max_waiting is not None:
            lane = (await self._queue.counts([pool.name])).get(pool.name)
            of_pool = 0 if lane is None else lane.ready + lane.timed + lane.blocked
        if pool.max_waiting_of_task is not None:
            of_task = await self._store.waiting_of(task_id, pool.max_waiting_of_task)
        return waiting_refusal(pool, of_pool, of_task)
