"""What a worker knows of the others: the reports of those that are alive, and when it last saw each.

Workers may have other settings while they are replaced one after another. So a worker must not decide about what another one knows and it
does not; not even when that one is away for a moment, because it may be starting again.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from fastlane.clock import Clock
from fastlane.errors import QueueDown
from fastlane.models.execution import Execution
from fastlane.models.host import HostView
from fastlane.queue.port import Report, WorkerReports

FRESH = 500
"""Milliseconds for which the reports are not read again."""
UNBROKEN = 60_000
"""Milliseconds between two readings after which a worker does not know who was alive in between."""


async def always() -> bool:
    """Says yes: for who acts whatever the other workers do."""
    return True


class KnownWorkers:
    """The others as the worker ``worker`` sees them. It remembers each for ``memory`` seconds. Something has to ``look`` regularly."""

    def __init__(self, reports: WorkerReports, clock: Clock, worker: str, memory: float) -> None:
        self._reports = reports
        self._clock = clock
        self._worker = worker
        self._memory = round(memory * 1000)
        self._since = self._read_at = clock.now()
        self._current: tuple[Report, ...] | None = None
        self._seen: dict[str, tuple[Report, int]] = {}

    async def look(self) -> tuple[Report, ...]:
        """Reads the reports of the other live workers. Raises QueueDown."""
        reports = tuple(report for report in await self._reports.current() if report.worker != self._worker)
        now = self._clock.now()
        if self._current is None or not 0 <= now - self._read_at <= UNBROKEN:
            self._since = now
        self._current, self._read_at = reports, now
        self._seen |= {report.worker: (replace(report, notes=()), now) for report in reports}
        self._seen = {worker: (report, at) for worker, (report, at) in self._seen.items() if now - at < self._memory}
        return reports

    async def current(self) -> tuple[Report, ...]:
        """The reports of the other live workers, as they were half a second ago or later. Raises QueueDown."""
        if self._current is None or not 0 <= self._clock.now() - self._read_at < FRESH:
            return await self.look()
        return self._current

    async def is_least(self) -> bool:
        """Whether this worker has the least id of those that are alive: what one of them does for all, it does. Raises QueueDown."""
        return all(self._worker < report.worker for report in await self.current())

    def last_seen(self, fits: Callable[[Report], bool]) -> int:
        """When a worker whose report fits was last seen alive (milliseconds). At the earliest when this worker began to see the others: at
        its first look (its clock may have been wrong before), or after an outage."""
        return max([self._since, *(at for report, at in self._seen.values() if fits(report))])


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
