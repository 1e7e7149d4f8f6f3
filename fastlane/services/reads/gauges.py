"""Reads what Prometheus is told of the whole installation: what waits and runs in each pool, how the hosts and the receivers of webhooks
are, and how long the store and the queue take to answer."""

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fastlane.clock import Clock
from fastlane.errors import FastlaneError
from fastlane.models.notify.receiver import Receiver
from fastlane.models.placement.pool import Pauses, Pool
from fastlane.queue.base import LaneCounts, TimedQueue, WorkerReports
from fastlane.services.reads.host_rows import HostRow, host_rows
from fastlane.storage.base import DeliveryStore, PoolStore, RetentionStore
from fastlane.streams.followers import Followers

DEADLINE = 2.0
"""Seconds that the store and the queue may take. Prometheus gives up after ten."""

MOST_RECEIVERS = 1_000
"""Receivers that fail which are counted at most."""

Answer = TypeVar("Answer")


class GaugeStore(PoolStore, DeliveryStore, Protocol):
    """What is needed of the store."""

    @property
    def retention(self) -> RetentionStore:
        """What knows how much there is."""


@dataclass(frozen=True, slots=True)
class PoolGauges:
    """A pool now. ``lane``, and ``oldest`` (for how many milliseconds what has waited longest for a slot has been due): None when the queue
    does not say; ``paused``: None when the store does not."""

    pool: Pool
    lane: LaneCounts | None
    oldest: int | None
    paused: bool | None


@dataclass(frozen=True, slots=True)
class InstallationGauges:
    """The installation now. ``store_seconds`` and ``queue_seconds``: how long one small read took; None: it failed. ``overdue``: for how
    many milliseconds the delivery that has waited longest has been due, ``receivers``: those that fail, ``log_bytes``: about how many all
    stored logs take; None when the store does not say."""

    pools: tuple[PoolGauges, ...]
    hosts: tuple[HostRow, ...]
    workers: int
    followers: int
    overdue: int | None
    receivers: Sequence[Receiver] | None
    log_bytes: int | None
    store_seconds: float | None
    queue_seconds: float | None


class GaugeReader:
    """Never raises: what cannot be read is None, or missing."""

    def __init__(
        self, store: GaugeStore, queue: TimedQueue, reports: WorkerReports, pools: Sequence[Pool], followers: Followers, clock: Clock
    ) -> None:
        self._store = store
        self._clock = clock
        self._queue = queue
        self._reports = reports
        self._pools = pools
        self._followers = followers

    async def read(self) -> InstallationGauges:
        """The installation as it is now."""
        names, now = [pool.name for pool in self._pools], self._clock.now()
        of_queue = asyncio.gather(
            _timed(self._queue.counts(names)), _timed(self._queue.oldest_waiting(names)), _timed(self._reports.current())
        )
        of_store = asyncio.gather(
            _timed(self._store.paused_pools()),
            _timed(self._store.deliveries_due(now, 1)),
            _timed(self._store.failing_receivers(MOST_RECEIVERS)),
            _timed(self._store.retention.log_bytes()),
        )
        queue_answers, store_answers = await asyncio.gather(of_queue, of_store)
        (lanes, queue_seconds), (oldest, _), (reports, _) = queue_answers
        (pauses, store_seconds), (due, _), (receivers, _), (log_bytes, _) = store_answers
        return InstallationGauges(
            pools=tuple(_pool_gauges(pool, lanes or {}, oldest or {}, pauses) for pool in self._pools),
            hosts=() if reports is None else host_rows(self._pools, reports),
            workers=len(reports or ()),
            followers=len(self._followers),
            overdue=None if due is None else max((now - delivery.due for delivery in due if delivery.due is not None), default=0),
            receivers=receivers,
            log_bytes=log_bytes,
            store_seconds=store_seconds,
            queue_seconds=queue_seconds,
        )


async def _timed(answer: Awaitable[Answer]) -> tuple[Answer | None, float | None]:
    """The answer and the seconds that it took; twice None when it failed."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(DEADLINE):
            found = await answer
    except (FastlaneError, TimeoutError):
        return None, None
    return found, time.monotonic() - began


def _pool_gauges(pool: Pool, lanes: Mapping[str, LaneCounts], oldest: Mapping[str, int], pauses: Pauses | None) -> PoolGauges:
    return PoolGauges(pool, lanes.get(pool.name), oldest.get(pool.name), None if pauses is None else pool.name in pauses.names)
