"""What a worker knows of the others: the reports of those that are alive, and when it last saw each.

Workers may have other settings while they are replaced one after another. So a worker must not decide about what another one knows and it
does not; not even when that one is away for a moment, because it may be starting again.
"""

from collections.abc import Callable
from dataclasses import replace

from fastlane.clock import Clock
from fastlane.queue.base import Report, WorkerReports

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
