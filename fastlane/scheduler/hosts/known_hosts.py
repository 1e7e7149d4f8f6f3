"""Which workers know a host: their settings differ while a host is being added or removed, one worker after another.

A worker that cannot ask a host must not decide about what runs there, as long as another live worker can. A host that no live worker has
known for as long as one may be away is forgotten: nothing there can be removed.
"""

from collections.abc import Callable, Sequence

from fastlane.clock import Clock
from fastlane.errors import QueueDown
from fastlane.models.execution import Execution
from fastlane.models.placement.host import HostView
from fastlane.queue.base import Report
from fastlane.scheduler.known_workers import KnownWorkers


class KnownHosts:
    """What a worker can tell of its own hosts and of those of the others. ``patience``: for how many seconds a host may be away."""

    def __init__(self, workers: KnownWorkers, views: Callable[[], Sequence[HostView]], clock: Clock, patience: float) -> None:
        self._workers = workers
        self._views = views
        self._clock = clock
        self._patience = round(patience * 1000)

    async def is_elsewhere(self, execution: Execution) -> bool:
        """Whether another live worker can ask the host on which this execution was placed, and this worker cannot. (Its settings may lack
        the pool, too, so it must not decide about an execution without a service either.) Raises QueueDown."""
        if execution.host is None or self._is_here(execution):
            return False
        return any(_knows(report, execution) for report in await self._workers.current())

    async def is_forgotten(self, execution: Execution) -> bool:
        """Whether no live worker has been able to ask its host for a host's patience, as far as this worker has seen the others."""
        if self._is_here(execution):
            return False
        try:
            await self._workers.current()
        except QueueDown:
            return False
        seen = self._workers.last_seen(lambda report: _knows(report, execution))
        return self._clock.now() - seen >= self._patience

    def _is_here(self, execution: Execution) -> bool:
        return any(view.has(execution.host, execution.swarm_id) and not view.is_given_up for view in self._views())


def _knows(report: Report, execution: Execution) -> bool:
    return any(view.has(execution.host, execution.swarm_id) and not view.is_given_up for view in report.hosts)


async def nowhere_else(_execution: Execution) -> bool:
    """No other worker can ask the host."""
    return False


async def never_forgotten(_execution: Execution) -> bool:
    """The host may still come back."""
    return False
