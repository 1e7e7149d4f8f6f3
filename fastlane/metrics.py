"""The metrics of one process: counters, gauges and figures by task, in Prometheus's types and text format.

Labels are bounded: routes, pools, statuses and reasons, never a job or a caller. ``tasks`` has the figures that name tasks.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, partial
from itertools import product
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Metric, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from fastlane import __version__

LOG_EVENTS = Counter(
    "fastlane_log_events",
    "Lines of this process's log, by event and level; docs/events.md says what each event means.",
    ("event", "level"),
    registry=None,
)
"""The counter of log lines: one for the process, as it has one log."""


def count(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor, to stand after ``add_log_level``."""
    LOG_EVENTS.labels(event["event"], event["level"]).inc()
    return event


OTHERS = ""
"""The label of all tasks beyond the bound."""

Sees = Callable[[str], bool]
"""Whether the reader may see a task."""


@dataclass
class TaskUsage:
    """The sums over a task's measured executions; ``memory_peak`` is from the last one."""

    measured: int = 0
    cpu_seconds: float = 0.0
    memory_peak: int = 0
    read_bytes: int = 0
    written_bytes: int = 0


class TaskFigures:
    """The figures of the first ``most`` tasks that were measured, and one sum for all others."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: dict[str, TaskUsage] = {}

    def measured(self, task_id: str, *, cpu_seconds: float, memory_peak: int, read_bytes: int, written_bytes: int) -> None:
        """Adds the usage of an ended execution of this task."""
        if self._most == 0:
            return
        named = task_id if task_id in self._tasks or len(self._tasks) - (OTHERS in self._tasks) < self._most else OTHERS
        usage = self._tasks.setdefault(named, TaskUsage())
        usage.measured += 1
        usage.cpu_seconds += cpu_seconds
        usage.memory_peak = memory_peak
        usage.read_bytes += read_bytes
        usage.written_bytes += written_bytes

    def seen_by(self, sees: Sees | None) -> Collector:
        """The figures of the tasks that a reader may see (None: all, and the sum of the others)."""
        return _Seen({task: usage for task, usage in self._tasks.items() if sees is None or (task != OTHERS and sees(task))})


class _Seen(Collector):
    """A collector of the present figures."""

    def __init__(self, tasks: dict[str, TaskUsage]) -> None:
        self._tasks = tasks

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        kinds: tuple[tuple[Metric, Callable[[TaskUsage], float]], ...] = (
            (_counter("fastlane_task_measured", "Settled executions of a task that were measured."), lambda usage: usage.measured),
            (_counter("fastlane_task_cpu_seconds", "Processor seconds of measured executions."), lambda usage: usage.cpu_seconds),
            (_counter("fastlane_task_read_bytes", "Bytes that measured executions read from disks."), lambda usage: usage.read_bytes),
            (
                _counter("fastlane_task_written_bytes", "Bytes that measured executions wrote to disks."),
                lambda usage: usage.written_bytes,
            ),
            (_gauge("fastlane_task_memory_peak_bytes", "The memory peak of the last measured execution."), lambda usage: usage.memory_peak),
        )
        for family, value_of in kinds:
            suffix = "_total" if family.type == "counter" else ""
            for task, usage in self._tasks.items():
                family.add_sample(family.name + suffix, {"task": task}, value_of(usage))
            yield family


def _counter(name: str, words: str) -> Metric:
    return CounterMetricFamily(name, words, labels=("task",))


def _gauge(name: str, words: str) -> Metric:
    return GaugeMetricFamily(name, words, labels=("task",))


disable_created_metrics()  # type: ignore[no-untyped-call]  # of each counter, the time of its first count: twice the text, and Prometheus drops it

UNAVAILABLE = 503
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
HEALTH_ROUTES = frozenset({"/", "/healthcheck", "/readyz"})
"""Routes whose 503 is their answer, and refuses nothing."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})
RULED_EVENTS = (("retention.logs_over_limit", "warning"),)
"""Lines of the log, with their level, that alert rules count, so that the first one is seen as an increase."""
LAG_EVERY = 1.0
"""Seconds between two measurements of the event loop."""
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LATENESS_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300, 1800, 7200)
DURATION_BUCKETS = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)
REMEMBERED_LABELS = 4096
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class StorePart(StrEnum):
    """The parts of a worker's work that need the store: what it has claimed, and its rounds of repair."""

    CLAIMED = "claimed"
    ROUNDS = "rounds"


class Repair(StrEnum):
    """The kinds of repairs that the reconciler makes."""

    ENTRY = "entry"
    STOP = "stop"
    SETTLEMENT = "settlement"
    SERVICE = "service"
    LANE = "lane"


class ArchiveOutcome(StrEnum):
    """What came of a log that the archiver worked on."""

    MOVED = "moved"
    REMOVED = "removed"
    FAILED = "failed"


LATE, RECOVERED = LATE_CHANGES = ("late", "recovered")
"""What may happen to a job that is expected to succeed every so often."""

PRUNED = ("jobs", "executions", "ticks", "logs", "deliveries", "hours", "events")
"""What retention removes."""


@dataclass(frozen=True, slots=True)
class GaugeValues:
    """A gauge that is read on request: its values, each with the values of its labels."""

    name: str
    help: str
    labels: tuple[str, ...]
    values: Sequence[tuple[tuple[str, ...], float]]


class Metrics:
    """The counters of one process. ``text`` writes them for Prometheus; ``tasks``: how many tasks get figures of their own at most."""

    def __init__(self, tasks: int = 0) -> None:
        self.tasks = TaskFigures(tasks)
        self._registry = registry = CollectorRegistry()
        counter, histogram = partial(Counter, registry=registry), partial(Histogram, registry=registry)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        registry.register(LOG_EVENTS)
        for event, level in RULED_EVENTS:
            LOG_EVENTS.labels(event, level)
        Info("fastlane_build", "Always 1; the label is fastlane's version.", registry=registry).info({"version": __version__})

        words = "Answered requests, by route as the API's description names it."
        requests = counter("fastlane_http_requests", words, ("method", "route", "status"))
        words = "Requests that were answered with a 503, by whether they read or write; requests for the health checks are not counted."
        self._refused = counter("fastlane_refused_requests", words, ("kind",))
        for kind in ("read", "write"):
            self._refused.labels(kind)
        words = "Time from a request's head to the end of its answer; a log that is followed takes as long as it is followed."
        request_seconds = histogram("fastlane_http_request_seconds", words, ("route",), buckets=REQUEST_BUCKETS)
        enqueued = counter("fastlane_enqueued", "Accepted requests for a job, by the pool of its task.", ("pool",))
        # ``labels`` joins and locks; each request would do so three times for the few labels that there are.
        remembered = lru_cache(maxsize=REMEMBERED_LABELS)
        self._request_counter = remembered(requests.labels)
        self._request_histogram = remembered(request_seconds.labels)
        self._enqueued_counter = remembered(enqueued.labels)
        words = "Time from the moment at which an execution was due to its claim by this worker."
        self._lateness = histogram("fastlane_lateness_seconds", words, ("pool",), buckets=LATENESS_BUCKETS)
        words = "Executions that this worker has settled, by their final status and the reason of a failure."
        self._ended = counter("fastlane_executions_ended", words, ("pool", "status", "reason"))
        words = "Time from the start of a container to its end."
        self._durations = histogram("fastlane_execution_seconds", words, ("pool", "status"), buckets=DURATION_BUCKETS)
        words = "Jobs that this process found late by their expectEvery, and late ones that it saw recover."
        self._late_jobs = counter("fastlane_late_jobs", words, ("change",))
        for change in LATE_CHANGES:
            self._late_jobs.labels(change)
        self._log_bytes = counter("fastlane_log_bytes", "Bytes of the logs of executions that this worker has settled.", ("stream",))
        words = "How often the store failed work of this worker, which then tries it again, by what it was at."
        self._store_failures = counter("fastlane_worker_store_failures", words, ("part",))
        for part in StorePart:
            self._store_failures.labels(part.value)
        words = "What the reconciler of this worker put right; docs/metrics.md says what each kind is."
        self._repairs = counter("fastlane_repairs", words, ("kind",))
        for kind in Repair:
            self._repairs.labels(kind.value)
        words = "What this worker removed because it was too old or too much, by kind; docs/metrics.md says what each is."
        self._pruned = counter("fastlane_pruned", words, ("kind",))
        self.pruned(dict.fromkeys(PRUNED, 0))
        words = "How late retention is on this worker; docs/metrics.md says how that is reckoned."
        self._lag_of_retention = Gauge("fastlane_retention_lag_seconds", words, registry=registry)
        words = "Logs that this worker moved to the archive or removed there, and failures at either; docs/metrics.md says more."
        self._archived = counter("fastlane_archived_logs", words, ("outcome",))
        for result in ArchiveOutcome:
            self._archived.labels(result.value)
        words = "How late the archive of old logs is on this worker; docs/metrics.md says how that is reckoned."
        self._lag_of_archive = Gauge("fastlane_archive_lag_seconds", words, registry=registry)
        self._rebuilds = counter("fastlane_queue_rebuilds", "How often this worker rebuilt the queue from the store.")
        words = "Attempts of this worker to deliver a message about a job, by what carries it and what came of it."
        self._deliveries = counter("fastlane_delivery_attempts", words, ("kind", "outcome"))
        for carrier, outcome in product(("webhook", "mail"), ("delivered", "failed", "held")):
            self._deliveries.labels(carrier, outcome)
        words = "How much later than it should the event loop came back from a sleep."
        self._lag = histogram("fastlane_event_loop_lag_seconds", words, buckets=LAG_BUCKETS)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts an answered request. ``route``: empty when there is none."""
        self._request_counter(method if method in METHODS else "other", route or "none", str(status)).inc()
        self._request_histogram(route or "none").observe(seconds)
        if status == UNAVAILABLE and route not in HEALTH_ROUTES:
            self._refused.labels("read" if method in READING else "write").inc()

    def enqueued(self, pool: str | None) -> None:
        """Counts an accepted job, for a task of this pool (None: no pool)."""
        self._enqueued_counter(pool or "").inc()

    def claimed(self, pool: str | None, lateness: float) -> None:
        """Counts an execution that was claimed ``seconds`` after it was due."""
        self._lateness.labels(pool or "").observe(max(0.0, lateness))

    def expect_ends(self, pools: Iterable[str], ends: Iterable[tuple[str, str]]) -> None:
        """Begins to count executions of these pools that end with these statuses and reasons (empty: none), so that the first of them is
        seen as an increase."""
        for pool, (status, reason) in product(pools, ends):
            self._ended.labels(pool, status, reason)

    def ended(self, pool: str | None, status: str, reason: str | None, seconds: float | None, stdout: int, stderr: int) -> None:
        """Counts an execution that has ended. ``seconds``: from its start to its end; None: it never started."""
        self._ended.labels(pool or "", status, reason or "").inc()
        if seconds is not None:
            self._durations.labels(pool or "", status).observe(max(0.0, seconds))
        self._log_bytes.labels("stdout").inc(stdout)
        self._log_bytes.labels("stderr").inc(stderr)

    def store_failed(self, part: StorePart) -> None:
        """Counts work of a worker that the store failed."""
        self._store_failures.labels(part.value).inc()

    def lateness_changed(self, change: str) -> None:
        """Counts a job that became late or has recovered, one of ``LATE_CHANGES``."""
        self._late_jobs.labels(change).inc()

    def repaired(self, kind: Repair, count: int) -> None:
        """Counts a repair by the reconciler."""
        self._repairs.labels(kind.value).inc(count)

    def pruned(self, counts: Mapping[str, int]) -> None:
        """Adds the numbers of things that retention removed, by kind."""
        for kind, count in counts.items():
            self._pruned.labels(kind).inc(count)

    def retention_lagged(self, seconds: float) -> None:
        """Notes how late retention is."""
        self._lag_of_retention.set(seconds)

    def archived(self, outcome: "ArchiveOutcome") -> None:
        """Counts a log that the archiver worked on."""
        self._archived.labels(outcome.value).inc()

    def archive_lagged(self, seconds: float) -> None:
        """Notes how late the archive of old logs is."""
        self._lag_of_archive.set(seconds)

    def rebuilt(self) -> None:
        """Counts a rebuild of the queue."""
        self._rebuilds.inc()

    def delivery_tried(self, kind: str, outcome: str) -> None:
        """Counts a finished attempt of a delivery."""
        self._deliveries.labels(kind, outcome).inc()

    def show_compared(self, compared: Callable[[], Mapping[str, int]]) -> None:
        """Shows from now on when the labels of each swarm were compared with its jobs, in milliseconds by the swarm's id."""
        self._registry.register(_Compared(compared))

    async def measure_loop(self) -> None:
        """Measures how late the event loop is, forever."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(LAG_EVERY)
            self._lag.observe(max(0.0, loop.time() - before - LAG_EVERY))

    def text(self, gauges: Sequence[GaugeValues] = (), sees: Sees | None = None) -> bytes:
        """All counters and these gauges in Prometheus's text format. Single tasks are left out unless the reader may see them (None:
        all)."""
        own: bytes = generate_latest(self._registry)
        tasks = CollectorRegistry()
        tasks.register(self.tasks.seen_by(sees))
        return own + bytes(generate_latest(tasks)) + text_of(gauges)


class _Compared(Collector):
    """A collector of when the labels of swarms were compared with their jobs."""

    def __init__(self, compared: Callable[[], Mapping[str, int]]) -> None:
        self._compared = compared

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """See prometheus_client."""
        words = "When this worker last compared the labels of a swarm's services with their jobs, or began to try."
        family = GaugeMetricFamily("fastlane_labels_compared_timestamp_seconds", words, labels=("swarm",))
        for swarm_id, moment in self._compared().items():
            family.add_metric((swarm_id,), moment / 1000)
        yield family


def text_of(gauges: Sequence[GaugeValues]) -> bytes:
    """These gauges in Prometheus's text format."""
    moment = CollectorRegistry()
    moment.register(_Moment(gauges))
    return bytes(generate_latest(moment))


class _Moment(Collector):
    """A collector of gauges with their present values."""

    def __init__(self, gauges: Sequence[GaugeValues]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """See prometheus_client."""
        for gauge in self._gauges:
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
            for labels, value in gauge.values:
                family.add_metric(labels, value)
            yield family
