"""Checks everything that a job needs: the store, the queue, a worker, and a usable host for each pool."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from fastlane.errors import FastlaneError
from fastlane.models.placement.pool import Pool
from fastlane.queue.base import Report, TimedQueue, WorkerReports
from fastlane.storage.base import Store

DEADLINE = 1.5
"""Seconds that one part may take to answer; all parts are asked at the same time."""


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


class Health:
    """Asks all parts at the same time, and answers within two seconds even when a part hangs."""

    def __init__(self, store: Store, queue: TimedQueue, reports: WorkerReports, pools: Sequence[Pool]) -> None:
        self._store = store
        self._queue = queue
        self._reports = reports
        self._pools = tuple(pools)

    async def check(self) -> HealthReport:
        """Checks all parts."""
        store, redis, reports = await asyncio.gather(_fault(self._store.check()), _fault(self._queue.check()), _alive(self._reports))
        errors = [HealthProblem(source, words) for source, words in (("store", store), ("redis", redis)) if words]
        if not reports:
            errors.append(HealthProblem("workers", "no worker is alive; start one with `fastlane worker`"))
        docker = [HealthProblem("docker", words) for pool in self._pools if (words := pool_fault(pool, reports))]
        return HealthReport(redis is None, store is None, not docker, bool(reports), (*errors, *docker))


def pool_fault(pool: Pool, reports: Sequence[Report]) -> str | None:
    """Why no execution of this pool can start, according to the workers; None when one can."""
    seen = [host for report in reports for host in report.hosts if host.name in pool.hosts]
    if any(host.usable for host in seen):
        return None
    if not seen:
        return f"pool {pool.name!r}: no worker is alive that sees its hosts ({', '.join(pool.hosts)})"
    reasons = {host.name: host.reason or "is not usable" for host in seen}
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
