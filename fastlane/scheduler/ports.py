"""The values that the parts of a worker share: the ports that they work on, and the worker's settings. ``app`` builds both."""

from collections.abc import Callable
from dataclasses import dataclass, field

from fastlane.calendars import CalendarBook
from fastlane.clock import Clock
from fastlane.directory import CurrentPools
from fastlane.executors.port import Executor
from fastlane.metrics import Metrics
from fastlane.models.log import Hint
from fastlane.notify.port import Notifier
from fastlane.queue.executions import QueueMessages, Stopper
from fastlane.queue.port import Queue
from fastlane.scheduler.leases import MAX_EXECUTIONS
from fastlane.scheduler.pruner import RetentionRules
from fastlane.scheduler.verdict import Limits
from fastlane.storage.base import Store
from fastlane.streams.pump import no_hints
from fastlane.tracing.port import Recorder


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one worker. ``owner``: its id, under which it holds leases. ``clock``: shows Redis's time. ``pools``: those in force,
    which may change. ``publish``: sends a hint to the followers of a log. ``recorder``: takes the spans of executions, if they are
    recorded."""

    owner: str
    store: Store
    queue: Queue
    executor: Executor
    clock: Clock
    pools: CurrentPools
    notifier: Notifier
    metrics: Metrics = field(default_factory=Metrics)
    publish: Callable[[Hint], None] = no_hints
    recorder: Recorder | None = None

    def book(self) -> CalendarBook:
        """The calendars of the settings and the store."""
        return CalendarBook(self.store.calendars, self.pools.calendars)

    def stopper(self) -> Stopper:
        """What stops executions."""
        return Stopper(self.store, self.clock, QueueMessages(self.queue, self.clock))


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker needs of the settings. ``lease``, ``renew`` and ``reconcile`` in seconds, ``log_cap`` in bytes.
    ``max_executions``: how many it holds before it starts no more. ``unused_images_after``: seconds; None: images stay.
    ``usage_every``: the longest time in seconds between two samples of what a container uses; 0: takes none. ``retention``: how long
    history stays. ``reads_labels``: whether a ``sources.labels`` runs beside it. ``receipt_keys``: with which it seals what ended.
    ``archive_after``: seconds after which a log moves to the archive, if there is one."""

    limits: Limits
    lease: float
    renew: float
    log_cap: int
    reconcile: float = 30.0
    max_executions: int = MAX_EXECUTIONS
    unused_images_after: float | None = None
    usage_every: float = 0.0
    retention: RetentionRules = field(default_factory=RetentionRules)
    reads_labels: bool = False
    receipt_keys: tuple[str, ...] = field(default=(), repr=False)
    archive_after: float = 86_400.0
