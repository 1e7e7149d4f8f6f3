"""Which pools other workers have: their settings differ while a pool is being added, changed or removed, one worker after another.

What no pool of this worker takes may have a pool of another one. It fails only when no such worker has been alive for a while.
"""

import re

from fastlane.models.execution import Execution
from fastlane.queue.base import Report
from fastlane.scheduler.known_workers import KnownWorkers


class KnownPools:
    """What a worker can tell of the pools of the others. ``patience``: for how many seconds an execution waits for one that takes it."""

    def __init__(self, workers: KnownWorkers, patience: float) -> None:
        self._workers = workers
        self._patience = round(patience * 1000)

    async def taker(self, task_id: str) -> str | None:
        """The pool in which another live worker takes the task; None when none does. Raises QueueDown."""
        return next((name for report in await self._workers.current() if (name := _pool_of(report, task_id))), None)

    def awaited_until(self, execution: Execution) -> int:
        """The moment (milliseconds) until which the execution waits for a worker that takes its task: a patience after it was due, after it
        was placed on a host, and after such a worker was last seen."""
        seen = self._workers.last_seen(lambda report: _pool_of(report, execution.task_id) is not None)
        placed = (execution.placed_at or 0) if execution.host is not None else 0
        return max(seen, execution.scheduled_for, placed) + self._patience


def _pool_of(report: Report, task_id: str) -> str | None:
    return next((name for name, match in report.pools or () if re.match(match, task_id)), None)
