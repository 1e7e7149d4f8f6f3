"""A worker: the loops of the scheduler, started and ended together."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import uuid4

import structlog

from fastlane.clock import Clock, first_of
from fastlane.config.settings import Settings
from fastlane.directory import CurrentPools
from fastlane.errors import QueueDown, TransientError
from fastlane.executors.port import Executor
from fastlane.metrics import Metrics
from fastlane.models.execution import Execution
from fastlane.models.log import Hint
from fastlane.models.pool import Pool
from fastlane.models.retention import Retention
from fastlane.notify.port import Notifier
from fastlane.queue.port import QueueGeneration, Report, TimedQueue, WorkerReports, rules_of
from fastlane.scheduler import assignment
from fastlane.scheduler.assignment import MAX_EXECUTIONS, workers_needed
from fastlane.scheduler.channels import carriers_of, counted
from fastlane.scheduler.cleaner import ImageKeeper
from fastlane.scheduler.deliverer import Deliverer
from fastlane.scheduler.dispatcher import Dispatcher
from fastlane.scheduler.host_keeper import HostEvents, HostKeeper
from fastlane.scheduler.known_workers import KnownHosts, KnownPools, KnownWorkers
from fastlane.scheduler.lateness import Lateness
from fastlane.scheduler.launcher import Launcher
from fastlane.scheduler.leases import Leases
from fastlane.scheduler.pruner import Pruner, RetentionRules
from fastlane.scheduler.rebuilder import LaneKeeper, Rebuilder
from fastlane.scheduler.reconciler import Reconciler
from fastlane.scheduler.runner import Runner
from fastlane.scheduler.settler import Overlaps, Settler
from fastlane.scheduler.timer import Timer
from fastlane.scheduler.verdict import Limits
from fastlane.scheduler.watcher import Watcher
from fastlane.storage.base import Store
from fastlane.streams.pump import no_hints
from fastlane.tracing.port import Recorder

log = structlog.get_logger()

ANNOUNCE_EVERY = 1.0
ANNOUNCE_TTL = 5000
"""Milliseconds after which a worker without a new report counts as gone."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker needs of the settings. ``lease``, ``renew`` and ``reconcile`` in seconds, ``log_cap`` in bytes;
    ``max_executions``: how many it holds before it starts no more; ``unused_images_after``: seconds, None: images stay;
    ``usage_every``: seconds between two samples of what a container uses, at most, 0: none is taken; ``retention``: what becomes of old
    history."""

    pools: Sequence[Pool]
    limits: Limits
    lease: float
    renew: float
    log_cap: int
    reconcile: float = 30.0
    max_executions: int = MAX_EXECUTIONS
    unused_images_after: float | None = None
    usage_every: float = 0.0
    retention: RetentionRules = field(default_factory=RetentionRules)


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """What a worker does its work with."""

    leases: Leases
    rebuilder: Rebuilder
    settler: Settler
    timer: Timer
    launcher: Launcher
    watcher: Watcher
    runner: Runner
    reconciler: Reconciler
    lanes: LaneKeeper
    hosts: HostKeeper
    images: ImageKeeper
    deliverer: Deliverer
    lateness: Lateness


def build_parts(
    worker_id: str,
    store: Store,
    queue: TimedQueue,
    generation: QueueGeneration,
    reports: WorkerReports,
    executor: Executor,
    clock: Clock,
    settings: WorkerSettings,
    notifier: Notifier,
    publish: Callable[[Hint], None] = no_hints,
    on_hosts: Callable[[], None] = lambda: None,
    metrics: Metrics | None = None,
    recorder: Recorder | None = None,
) -> WorkerParts:
    """The parts of one worker, joined. Close ``rebuilder``, ``leases`` and ``deliverer`` at the end."""
    pools, limits, metrics = CurrentPools.of(settings.pools), settings.limits, metrics or Metrics()
    hosts = HostKeeper(store, executor, pools, clock, on_hosts, HostEvents(store, clock, worker_id))
    leases = Leases(queue, clock, worker_id, duration=settings.lease, every=settings.renew, max_executions=settings.max_executions)
    known_workers = KnownWorkers(reports, clock, worker_id, max(limits.pending_deadline, limits.host_lost_after))
    known_hosts = KnownHosts(known_workers, hosts.views, clock, limits.host_lost_after)
    known_pools = KnownPools(known_workers, limits.pending_deadline)
    overlaps = Overlaps(store, queue, clock, pools)

    async def is_forgotten(execution: Execution) -> bool:
        return hosts.lost(execution, node_down=True) is not None or await known_hosts.is_forgotten(execution)

    async def store_is_known() -> bool:
        return leases.generation != ""  # before that, a restored store may not be on hold yet

    deliverer = Deliverer(store, counted(carriers_of(notifier, store, pools), metrics.delivery_tried), clock, store_is_known)
    lateness = Lateness(store, clock, pools, deliverer.wake, store_is_known)
    settler = Settler(
        store,
        queue,
        executor,
        clock,
        pools,
        overlaps=overlaps,
        is_forgotten=is_forgotten,
        lateness=lateness,
        on_deliveries=deliverer.wake,
    )
    timer = Timer(store, queue, clock, worker_id, pools)
    images = ImageKeeper(store, executor, hosts.views, clock, settings.unused_images_after)
    launcher = Launcher(
        store, queue, executor, hosts.views, clock, leases, pools, known_pools, overlaps, images, limits, recorder is not None
    )
    watcher = Watcher(
        store,
        executor,
        clock,
        limits,
        activate=launcher.activate,
        log_cap=settings.log_cap,
        usage_every=settings.usage_every,
        publish=publish,
        is_elsewhere=known_hosts.is_elsewhere,
        lost=hosts.lost,
    )
    rebuilder = Rebuilder(store, queue, generation, clock, worker_id, pools, metrics.rebuilt)
    runner = Runner(store, queue, clock, leases, timer, launcher, watcher, settler, known_hosts, metrics, recorder)
    every = settings.reconcile * (0.75 + random.random() / 2)
    pruner = Pruner(store, clock, pools, settings.retention, known_workers.is_least, metrics.pruned)
    parts = {"first": rebuilder.audit, "prune": pruner.prune}
    reconciler = Reconciler(store, queue, executor, clock, settler, pools, every=every, **parts, repaired=metrics.repaired)
    hosts.clear_with(partial(reconciler.clear, lost=hosts.lost))
    lanes = LaneKeeper(store, queue, known_workers, known_pools, clock, pools, every=settings.reconcile, repaired=metrics.repaired)
    return WorkerParts(leases, rebuilder, settler, timer, launcher, watcher, runner, reconciler, lanes, hosts, images, deliverer, lateness)


class Worker:
    """Runs executions: claims, starts, watches, settles and cleans them. Several share the work by leases. It goes by ``clock``, which is
    to show Redis's time, and reports how far the ``machine``'s is off (by default, both are one). It counts its work in ``metrics``, and
    gives the spans of executions to the ``recorder``."""

    def __init__(
        self,
        store: Store,
        queue: TimedQueue,
        generation: QueueGeneration,
        reports: WorkerReports,
        executor: Executor,
        clock: Clock,
        settings: WorkerSettings,
        notifier: Notifier,
        publish: Callable[[Hint], None] = no_hints,
        machine: Clock | None = None,
        metrics: Metrics | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.id = uuid4().hex[:12]
        self._reports = reports
        self._executor = executor
        self._clock = clock
        self._started_at = 0
        self._changed = asyncio.Event()
        self._workers_needed = workers_needed(settings.pools, settings.max_executions)
        parts = build_parts(
            self.id, store, queue, generation, reports, executor, clock, settings, notifier, publish, self._hosts_changed, metrics, recorder
        )
        self._pools, self._hosts = CurrentPools.of(settings.pools), parts.hosts
        self._leases, self._rebuilder, self._watcher, self._reconciler = parts.leases, parts.rebuilder, parts.watcher, parts.reconciler
        self._dispatcher = Dispatcher(
            queue,
            parts.hosts.views,
            clock,
            machine or clock,
            parts.leases,
            settings.pools,
            parts.rebuilder,
            parts.runner.run,
            self._queue_found,
        )
        self._leases.subscribe(self._dispatcher.wake)
        self._lanes, self._images, self._deliverer, self._lateness = parts.lanes, parts.images, parts.deliverer, parts.lateness
        queue.subscribe(self._dispatcher.wake, self._leases.hint_stop)
        executor.subscribe(self._hosts_changed)

    async def run(self) -> None:
        """Works until it is cancelled; then claims no more, releases its leases, and leaves containers running."""
        self._started_at = self._clock.now()
        self._hosts.clear_all()
        log.info("worker.started", worker=self.id)
        if self._workers_needed > 1:
            log.warning("worker.holds_less_than_max_running", executions=self._leases.room.executions, workers_needed=self._workers_needed)
        try:
            async with asyncio.TaskGroup() as loops:
                for loop in self._loops():
                    loops.create_task(self._repeat(loop))
        finally:
            await self._rebuilder.close()
            await self._leases.close()
            await self._deliverer.close()
            await self._leave()
            log.info("worker.stopped", worker=self.id)

    def _loops(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        return (
            self._dispatcher.run,
            self._leases.run,
            self._watcher.run,
            self._reconciler.run,
            self._lanes.run,
            self._hosts.run,
            self._images.run,
            self._deliverer.run,
            self._lateness.run,
            self._announce,
        )

    async def _repeat(self, loop: Callable[[], Awaitable[None]]) -> None:
        """Runs a loop again and again: an unexpected fault is logged and does not end it."""
        while True:
            try:
                await loop()
            except Exception:
                log.exception("worker.loop_failed", loop=loop.__qualname__)
            await self._clock.sleep(1.0)

    def _hosts_changed(self) -> None:
        self._watcher.wake_lost()
        self._changed.set()
        self._dispatcher.wake()

    def _queue_found(self) -> None:
        """The queue is one that this worker has not worked with yet, and matches the store."""
        self._changed.set()
        self._deliverer.wake()

    async def _announce(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self._reports.announce(self._report(), ttl=ANNOUNCE_TTL)
            except QueueDown as error:
                log.debug("worker.not_announced", error=str(error))
            await first_of(self._clock, ANNOUNCE_EVERY, self._changed)

    async def _leave(self) -> None:
        """Lets the others know at once that this worker serves its pools no more and rebuilds no queue, and the queue how far the store has
        come."""
        with suppress(TransientError):
            await self._reports.announce(Report(self.id, self._started_at, ()), ttl=0)
        with suppress(TransientError):
            await self._rebuilder.leave()

    def _report(self) -> Report:
        hosts, kept = tuple(self._hosts.views()), assignment.oldest(self._leases.notes())
        room = max(0, self._leases.room.executions)
        return Report(self.id, self._started_at, hosts, kept, self._dispatcher.clock_skew, room, rules_of(self._pools), self._pools.digest)


def worker_settings(settings: Settings) -> WorkerSettings:
    """The settings of a worker."""
    return WorkerSettings(
        pools=settings.pools,
        limits=Limits(
            timeout=settings.hard_timeout,
            pools=settings.pools,
            pending_deadline=settings.pending_deadline,
            pull_deadline=settings.pull_deadline,
            host_lost_after=settings.host_lost_after,
        ),
        lease=settings.lease,
        renew=settings.renew,
        log_cap=settings.max_log_bytes,
        unused_images_after=settings.unused_images_after,
        usage_every=settings.usage_every,
        retention=retention_rules(settings),
    )


def retention_rules(settings: Settings) -> RetentionRules:
    """What the settings say of old history."""
    rules = Retention(settings.keep_jobs, settings.keep_executions, settings.max_executions, settings.keep_logs)
    return RetentionRules(rules, settings.keep_deliveries, settings.keep_history, settings.keep_events, settings.max_total_log_bytes)


def in_force(made: WorkerSettings, pools: CurrentPools) -> WorkerSettings:
    """The settings of a worker that goes by these pools, whatever they come to be."""
    return replace(made, pools=pools, limits=replace(made.limits, pools=pools))
