"""What a worker knows of the other workers: the reports of the live ones, and when it last saw each.

Workers may have other settings while they are replaced one after another. So a worker must not decide about a pool or host that only
another worker knows, even while the other is away for a moment, because it may be restarting.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from zlib import crc32

from fastlane.clock import Clock
from fastlane.models.host import HostView
from fastlane.models.job import Execution
from fastlane.queue.port import Report, WorkerReports

FRESH = 500
"""Milliseconds for which the reports are not read again."""
UNBROKEN = 60_000
"""Milliseconds between two readings after which a worker does not know who was alive in between."""


async def always() -> bool:
    """Says yes: the caller acts whatever the other workers do."""
    return True


@dataclass(frozen=True, slots=True)
class Share:
    """A worker's part of work that the live workers share: this worker's number, from 0, and the number of workers."""

    number: int = 0
    of: int = 1

    def has(self, id: str) -> bool:
        """Whether something with this id belongs to it."""
        return crc32(id.encode(errors="replace")) % self.of == self.number


async def alone() -> Share:
    """Returns all of the work: there are no other workers."""
    return Share()


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

    async def share(self) -> Share:
        """The part of the work for all workers that is this one's: its place among the live workers, by their ids. Raises QueueDown."""
        others = [report.worker for report in await self.current()]
        return Share(sum(worker < self._worker for worker in others), len(others) + 1)

    async def is_least(self) -> bool:
        """Whether this worker has the least id of all live workers. That worker does the work that one of them does for all. Raises
        QueueDown."""
        return (await self.share()).number == 0

    def last_seen(self, fits: Callable[[Report], bool]) -> int:
        """When a worker with a matching report was last seen alive (milliseconds). The result is never earlier than the time at which this
        worker began to see the others: its first look (its clock may have been wrong before), or the end of an outage."""
        return max([self._since, *(at for report, at in self._seen.values() if fits(report))])


class KnownPools:
    """What a worker knows of the pools of the others. ``patience``: for how many seconds an execution waits for one that takes it."""

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


class WorkerHosts(Protocol):
    """The hosts of this worker."""

    def views(self) -> Sequence[HostView]:
        """What is known of each host now, and whether it gets new work. As long as nothing changes, the answer is the same object."""

    def lost(self, execution: Execution, *, node_down: bool = False) -> str | None:
        """Why an execution is lost with its host, which was removed by force; None when it is not. ``node_down``: its node is down."""

    async def is_elsewhere(self, execution: Execution) -> bool:
        """Whether another live worker can ask the host on which this execution was placed, and this worker cannot."""

    async def is_forgotten(self, execution: Execution) -> bool:
        """Whether its host is gone for good."""


def knows_host(views: Sequence[HostView], execution: Execution) -> bool:
    """Whether a worker with these hosts can ask the host of the execution."""
    return any(view.has(execution.host, execution.swarm_id) and not view.is_given_up for view in views)
