"""Checks everything that a job needs: the store, the queue, a worker, and a usable host for each pool.

The checks of the store and the queue write to them, so each process makes them at most once a second, however many callers ask.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace

from fastlane.errors import FastlaneError
from fastlane.models.placement.pool import Pool
from fastlane.queue.base import Report, TimedQueue, WorkerReports
from fastlane.services.reads.shared_check import SharedCheck
from fastlane.storage.base import Store

DEADLINE = 1.5
"""Seconds that one part may take to answer; all parts are asked at the same time."""

VALID, REPORTS_VALID = 1.0, 0.1
"""Seconds for which a check of the store or the queue counts, and a read of the workers' reports, which is cheap."""

UNTOLD = "log in to see what is wrong"
"""In place of a message, for callers who may not read it."""


@dataclass(frozen=True, slots=True)
class HealthProblem:
    """What is wrong with one part."""

    source: str
    message: str


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Which parts are healthy. ``docker``: every pool has a usable host. ``workers``: at least one is alive."""

    redis: bool
    store: bool
    docker: bool
    workers: bool
    errors: tuple[HealthProblem, ...]

    @property
    def healthy(self) -> bool:
        """Whether all parts are."""
        return self.redis and self.store and self.docker and self.workers

    def without_messages(self) -> "HealthReport":
        """The same for callers who have not logged in: which parts are down, and nothing about hosts, pools or causes."""
        sources = dict.fromkeys(problem.source for problem in self.errors)
        return replace(self, errors=tuple(HealthProblem(source, UNTOLD) for source in sources))


class Health:
    """Asks all parts at the same time, and answers within two seconds even when a part hangs. Answers are up to a second old."""

    def __init__(self, store: Store, queue: TimedQueue, reports: WorkerReports, pools: Sequence[Pool]) -> None:
        self._store = SharedCheck(lambda: _fault(store.check()), VALID)
        self._queue = SharedCheck(lambda: _fault(queue.check()), VALID)
        self._reports = SharedCheck(lambda: _alive(reports), REPORTS_VALID)
        self._pools = pools

    async def is_ready(self) -> bool:
        """Whether this process can take requests: whether the store answers. Requests are read, and stored, without everything else."""
        return await self._store.answer() is None

    async def check(self) -> HealthReport:
        """Checks all parts."""
        store, redis, reports = await asyncio.gather(self._store.answer(), self._queue.answer(), self._reports.answer())
        errors = [HealthProblem(source, words) for source, words in (("store", store), ("redis", redis)) if words]
        if not reports:
            errors.append(HealthProblem("workers", "no worker is alive; start one with `fastlane worker`"))
        docker = [HealthProblem("docker", words) for pool in self._pools if (words := pool_fault(pool, reports))]
        return HealthReport(redis is None, store is None, not docker, bool(reports), (*errors, *docker))


def pool_fault(pool: Pool, reports: Sequence[Report]) -> str | None:
    """Why no execution of this pool can start, according to the workers; None when one can."""
    seen = [host for report in reports for host in report.hosts if host.name in pool.hosts]
    if any(host.fault is None for host in seen):
        return None
    if not pool.hosts:
        return f"pool {pool.name!r} has no host yet; register one with POST /hosts"
    if not seen:
        return f"pool {pool.name!r}: no worker is alive that sees its hosts ({', '.join(pool.hosts)})"
    reasons = {host.name: host.fault for host in seen}
    return f"pool {pool.name!r} has no usable host: " + "; ".join(f"{name} {reason}" for name, reason in sorted(reasons.items()))


async def _fault(answer: Awaitable[None]) -> str | None:
    try:
        async with asyncio.timeout(DEADLINE):
            await answer
    except TimeoutError:
        return f"did not answer within {DEADLINE} s"
    except FastlaneError as error:
        return str(error)
    return None


async def _alive(reports: WorkerReports) -> Sequence[Report]:
    """The workers' reports; none when the queue does not answer, which its own check reports."""
    try:
        async with asyncio.timeout(DEADLINE):
            return await reports.current()
    except (TimeoutError, FastlaneError):
        return ()
