"""Which workers know a host: their settings differ while a host is being added or removed, one worker after another.

A worker that cannot ask a host must not decide about what runs there, as long as another live worker can. A host that no live worker has
known for as long as one may be away is forgotten: nothing there can be removed.
"""

from fastlane.clock import Clock
from fastlane.errors import QueueDown
from fastlane.executors.base import Executor
from fastlane.models.execution import Execution
from fastlane.queue.base import Report, WorkerReports

FRESH = 500
"""Milliseconds for which the workers' reports are not read again."""


class KnownHosts:
    """What the worker ``worker`` can tell of its own hosts and of those of the others. ``patience``: for how many seconds a host may be
    away."""

    def __init__(self, reports: WorkerReports, executor: Executor, clock: Clock, worker: str, patience: float) -> None:
        self._reports = reports
        self._executor = executor
        self._clock = clock
        self._worker = worker
        self._patience = round(patience * 1000)
        self._read: tuple[int, tuple[Report, ...]] | None = None
        self._unknown_since: dict[str, int] = {}

    async def is_elsewhere(self, execution: Execution) -> bool:
        """Whether another live worker can ask the host on which this execution was placed, and this worker cannot. (Its settings may lack
        the pool, too, so it must not decide about an execution without a service either.) Raises QueueDown."""
        if execution.host is None or self._is_here(execution):
            return False
        return any(_knows(report, execution) for report in await self._others())

    async def is_forgotten(self, execution: Execution) -> bool:
        """Whether no live worker has been able to ask its host since this worker first noticed that, a host's patience ago."""
        host = execution.host or ""
        try:
            known = self._is_here(execution) or await self.is_elsewhere(execution)
        except QueueDown:
            known = True
        if known:
            self._unknown_since.pop(host, None)
            return False
        now = self._clock.now()
        return now - self._unknown_since.setdefault(host, now) >= self._patience

    def _is_here(self, execution: Execution) -> bool:
        return any(_is_of(view.name, view.swarm_id, execution) for view in self._executor.hosts())

    async def _others(self) -> tuple[Report, ...]:
        now = self._clock.now()
        if self._read is None or not 0 <= now - self._read[0] < FRESH:
            self._read = (now, tuple(await self._reports.current()))
        return tuple(report for report in self._read[1] if report.worker != self._worker)


def _knows(report: Report, execution: Execution) -> bool:
    return any(_is_of(view.name, view.swarm_id, execution) for view in report.hosts)


def _is_of(name: str, swarm_id: str | None, execution: Execution) -> bool:
    """Whether this host can be asked about the execution's service: it is its host, or a manager of its swarm."""
    return name == execution.host or (swarm_id is not None and swarm_id == execution.swarm_id)


async def nowhere_else(_execution: Execution) -> bool:
    """No other worker can ask the host."""
    return False


async def never_forgotten(_execution: Execution) -> bool:
    """The host may still come back."""
    return False
