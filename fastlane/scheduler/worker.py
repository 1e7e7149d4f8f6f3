"""A worker: the loops of the scheduler, started and ended together."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from fastlane import __version__
from fastlane.clock import Clock, end_if_cancelled, first_of
from fastlane.config.settings import Settings
from fastlane.errors import QueueDown, TransientError
from fastlane.models.receipt import SealKeys
from fastlane.models.retention import Retention
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.queue.port import Report, rules_of
from fastlane.scheduler.archiver import Archiver
from fastlane.scheduler.backfiller import Backfiller
from fastlane.scheduler.cleaner import Cleaner, ImageKeeper, Leftovers
from fastlane.scheduler.deliverer import Deliverer, Lateness, channels_of, counted
from fastlane.scheduler.dispatcher import Dispatcher
from fastlane.scheduler.host_keeper import HostKeeper
from fastlane.scheduler.known_workers import KnownPools, KnownWorkers
from fastlane.scheduler.launcher import Launcher
from fastlane.scheduler.leases import Leases, oldest_notes, workers_needed
from fastlane.scheduler.ports import Ports, WorkerSettings
from fastlane.scheduler.pruner import Pruner, RetentionRules
from fastlane.scheduler.rebuilder import LaneKeeper, Rebuilder
from fastlane.scheduler.reconciler import Reconciler
from fastlane.scheduler.runner import Runner
from fastlane.scheduler.settler import Overlaps, Settler
from fastlane.scheduler.timer import Timer
from fastlane.scheduler.verdict import Limits
from fastlane.scheduler.watcher import Watcher
from fastlane.sealing import Sealer, Sealing

log = structlog.get_logger()

ANNOUNCE_EVERY = 1.0
ANNOUNCE_TTL = 5000
"""Milliseconds after which a worker without a new report counts as gone."""


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """The parts of one worker."""

    leases: Leases
    rebuilder: Rebuilder
    settler: Settler
    timer: Timer
    launcher: Launcher
    watcher: Watcher
    runner: Runner
    reconciler: Reconciler
    leftovers: Leftovers
    lanes: LaneKeeper
    hosts: HostKeeper
    images: ImageKeeper
    deliverer: Deliverer
    lateness: Lateness
    backfiller: Backfiller
    sealer: Sealer | None
    archiver: Archiver | None


def build_parts(ports: Ports, settings: WorkerSettings, on_hosts: Callable[[], None] = lambda: None) -> WorkerParts:
    """The parts of one worker, joined. It calls ``on_hosts`` when the hosts have changed. Close ``rebuilder``, ``leases`` and
    ``deliverer`` at the end."""
    settings = replace(settings, limits=replace(settings.limits, pools=ports.pools))
    limits = settings.limits
    leases = Leases(
        ports.queue,
        ports.clock,
        ports.owner,
        duration=settings.lease,
        every=settings.renew,
        max_executions=settings.max_executions,
    )
    leftovers, rebuilder = Leftovers(ports), Rebuilder(ports)
    workers = KnownWorkers(ports.queue.reports, ports.clock, ports.owner, max(limits.pending_deadline, limits.host_lost_after))
    hosts = HostKeeper(ports, workers, leftovers, limits.host_lost_after, on_hosts)
    known_pools = KnownPools(workers, limits.pending_deadline)

    async def store_is_known() -> bool:
        return leases.generation != ""  # before that, a restored store may not be on hold yet

    channels = counted(channels_of(ports.notifier, ports.store, ports.pools), ports.metrics)
    deliverer = Deliverer(ports.store, channels, ports.clock, ports.pools, store_is_known)
    lateness = Lateness(ports.store, ports.clock, ports.pools, deliverer, store_is_known, ports.metrics)
    overlaps = Overlaps(ports)
    settler = Settler(ports, overlaps, hosts, lateness, deliverer)
    timer = Timer(ports)
    images = ImageKeeper(ports, hosts, settings.unused_images_after)
    launcher = Launcher(ports, limits, hosts, leases, known_pools, overlaps, images)
    watcher = Watcher(ports, settings, hosts, launcher)
    runner = Runner(ports, hosts, leases, timer, launcher, watcher, settler)
    pruner = Pruner(ports.store, ports.clock, ports.pools, settings.retention, workers.share, ports.metrics)
    every = settings.reconcile * (0.75 + random.random() / 2)
    reconciler = Reconciler(ports, Cleaner(ports, settler), leftovers, rebuilder, pruner, workers.is_least, every)
    lanes = LaneKeeper(ports, workers, known_pools, every=settings.reconcile)
    keys, sealer = settings.receipt_keys, None
    if keys:
        sealer = Sealer(Sealing(ports.store, ports.clock, SealKeys(keys)), ports.clock, workers.is_least)
    archiver = None
    if ports.store.log_archive.objects is not None:
        archiver = Archiver(ports.store.log_archive, ports.clock, workers.is_least, settings.archive_after, ports.metrics)
    return WorkerParts(
        *(leases, rebuilder, settler, timer, launcher, watcher, runner),
        *(reconciler, leftovers, lanes, hosts, images, deliverer, lateness),
        backfiller=Backfiller(ports, workers.is_least),
        sealer=sealer,
        archiver=archiver,
    )


ENDS = tuple(
    (status.value, reason)
    for status in Status
    if status.final
    for reason in ([one.value for one in FailureReason] if status is Status.FAILED else [""])
)
"""The statuses in which executions end, each with its reasons."""


class Worker:
    """Runs executions: claims, starts, watches, settles and cleans them. Several share the work by leases. It reports how far the clock of
    the ``machine`` is off (by default, it is the clock of its ports)."""

    def __init__(self, ports: Ports, settings: WorkerSettings, machine: Clock | None = None) -> None:
        self.id = ports.owner
        self._reports = ports.queue.reports
        self._clock = ports.clock
        self._pools = ports.pools
        self._started_at = 0
        self._changed = asyncio.Event()
        self._workers_needed = workers_needed(ports.pools, settings.max_executions)
        self._parts = parts = build_parts(ports, settings, self._hosts_changed)
        self._dispatcher = Dispatcher(ports, parts.hosts, parts.leases, parts.rebuilder, parts.runner.run, self._queue_found, machine)
        parts.leases.subscribe(self._dispatcher.wake)
        ports.queue.subscribe(self._dispatcher.wake, parts.leases.hint_stop)
        ports.executor.subscribe(self._hosts_changed)
        self._metrics, self._reads_labels = ports.metrics, settings.reads_labels
        self._labels_unread: Callable[[], tuple[str, ...]] = tuple
        ports.pools.subscribe(self._expect_ends)
        self._expect_ends()

    def _expect_ends(self) -> None:
        self._metrics.expect_ends((pool.name for pool in self._pools), ENDS)

    def report_unread(self, labels_unread: Callable[[], tuple[str, ...]]) -> None:
        """Has its reports name the swarms whose services cannot be listed beside it."""
        self._labels_unread = labels_unread

    async def run(self) -> None:
        """Works until it is cancelled; then claims no more, releases its leases, and leaves containers running."""
        self._started_at = self._clock.now()
        self._parts.hosts.clear_all()
        log.info("worker.started", worker=self.id)
        if self._workers_needed > 1:
            log.warning(
                "worker.holds_less_than_max_running", executions=self._parts.leases.room.executions, workers_needed=self._workers_needed
            )
        try:
            async with asyncio.TaskGroup() as loops:
                for loop in self._loops():
                    loops.create_task(self._repeat(loop))
        finally:
            await self._parts.rebuilder.close()
            await self._parts.leases.close()
            await self._parts.deliverer.close()
            await self._leave()
            log.info("worker.stopped", worker=self.id)

    def _loops(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        parts = self._parts
        return (
            self._dispatcher.run,
            parts.leases.run,
            parts.watcher.run,
            parts.reconciler.run,
            parts.lanes.run,
            parts.hosts.run,
            parts.images.run,
            parts.deliverer.run,
            parts.lateness.run,
            parts.backfiller.run,
            *(() if parts.sealer is None else (parts.sealer.run,)),
            *(() if parts.archiver is None else (parts.archiver.run,)),
            self._announce,
        )

    async def _repeat(self, loop: Callable[[], Awaitable[None]]) -> None:
        """Runs a loop again and again: an unexpected fault is logged and does not end it."""
        while True:
            try:
                await loop()
            except Exception:
                log.exception("worker.loop_failed", loop=loop.__qualname__)
                end_if_cancelled()
            await self._clock.sleep(1.0)

    def _hosts_changed(self) -> None:
        self._parts.watcher.wake_lost()
        self._changed.set()
        self._dispatcher.wake()

    def _queue_found(self) -> None:
        """Begins to work with a queue that is new to this worker and matches the store."""
        self._changed.set()
        self._parts.deliverer.wake()

    async def _announce(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self._reports.announce(self._report(), ttl=ANNOUNCE_TTL)
            except QueueDown as error:
                log.debug("worker.not_announced", error=str(error))
            await first_of(self._clock, ANNOUNCE_EVERY, self._changed)

    async def _leave(self) -> None:
        """Withdraws this worker's report, so that the others know at once that it is gone, gives up its unfinished rebuild, and records in
        the queue how far the store has come."""
        with suppress(TransientError):
            await self._reports.announce(Report(self.id, self._started_at, ()), ttl=0)
        with suppress(TransientError):
            await self._parts.rebuilder.leave()

    def _report(self) -> Report:
        hosts, kept = tuple(self._parts.hosts.views()), oldest_notes(self._parts.leases.notes())
        room = max(0, self._parts.leases.room.executions)
        skew, pools, labels = self._dispatcher.clock_skew, self._pools, (self._reads_labels, self._labels_unread())
        return Report(self.id, self._started_at, hosts, kept, skew, room, rules_of(pools), pools.digest, __version__, *labels)


def worker_settings(settings: Settings) -> WorkerSettings:
    """The settings of a worker."""
    return WorkerSettings(
        limits=Limits(
            timeout=settings.hard_timeout,
            pending_deadline=settings.pending_deadline,
            pull_deadline=settings.pull_deadline,
            host_lost_after=settings.host_lost_after,
            redact_words=settings.redact_words,
        ),
        lease=settings.lease,
        renew=settings.renew,
        log_cap=settings.max_log_bytes,
        unused_images_after=settings.unused_images_after,
        usage_every=settings.usage_every,
        retention=retention_rules(settings),
        reads_labels=settings.service_labels,
        receipt_keys=settings.receipt_keys,
        archive_after=settings.archive_after,
    )


def retention_rules(settings: Settings) -> RetentionRules:
    """The settings' rules for old history."""
    rules = Retention(settings.keep_jobs, settings.keep_executions, settings.max_executions, settings.keep_logs)
    return RetentionRules(rules, settings.keep_deliveries, settings.keep_history, settings.keep_events, settings.max_total_log_bytes)
