"""What one process counts of its work, in Prometheus's types.

Labels are bounded: routes, pools, statuses and reasons, never a job or a caller. ``tasks`` has the figures that name tasks.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, partial
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from fastlane import __version__
from fastlane.metrics.log_events import LOG_EVENTS
from fastlane.metrics.tasks import Sees, TaskFigures

disable_created_metrics()  # type: ignore[no-untyped-call]  # of each counter, the time of its first count: twice the text, and Prometheus drops it

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
LAG_EVERY = 1.0
"""Seconds between two measurements of the event loop."""
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LATENESS_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300, 1800, 7200)
DURATION_BUCKETS = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)
REMEMBERED_LABELS = 4096
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Repair(StrEnum):
    """What the reconciler put right."""

    ENTRY = "entry"
    STOP = "stop"
    SETTLEMENT = "settlement"
    SERVICE = "service"
    LANE = "lane"


PRUNED = ("jobs", "executions", "ticks", "logs", "deliveries", "hours", "events")
"""What retention removes."""

Repaired = Callable[[Repair, int], None]
"""Counts so many repairs."""


def uncounted(_repair: Repair, _count: int) -> None:
    """Counts no repair."""


@dataclass(frozen=True, slots=True)
class GaugeValues:
    """A gauge that is read when it is asked for: its values by those of its labels."""

    name: str
    help: str
    labels: tuple[str, ...]
    values: Sequence[tuple[tuple[str, ...], float]]


class Metrics:
    """The counters of one process. ``text`` is what Prometheus reads; ``tasks``: of how many tasks there are figures at most."""

    def __init__(self, tasks: int = 0) -> None:
        self.tasks = TaskFigures(tasks)
        self._registry = registry = CollectorRegistry()
        counter, histogram = partial(Counter, registry=registry), partial(Histogram, registry=registry)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        registry.register(LOG_EVENTS)
        Info("fastlane_build", "Always 1; the label is fastlane's version.", registry=registry).info({"version": __version__})

        words = "Answered requests, by route as the API's description names it."
        requests = counter("fastlane_http_requests", words, ("method", "route", "status"))
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
        self._log_bytes = counter("fastlane_log_bytes", "Bytes of the logs of executions that this worker has settled.", ("stream",))
        words = "What the reconciler of this worker put right; docs/metrics.md says what each kind is."
        self._repairs = counter("fastlane_repairs", words, ("kind",))
        for kind in Repair:
            self._repairs.labels(kind.value)
        words = "What this worker removed because it was too old or too much, by kind; docs/metrics.md says what each is."
        self._pruned = counter("fastlane_pruned", words, ("kind",))
        self.pruned(dict.fromkeys(PRUNED, 0))
        self._rebuilds = counter("fastlane_queue_rebuilds", "How often this worker rebuilt the queue from the store.")
        words = "Attempts of this worker to deliver a message about a job, by what carries it and what came of it."
        self._deliveries = counter("fastlane_delivery_attempts", words, ("kind", "outcome"))
        for carrier, outcome in product(("webhook", "mail"), ("delivered", "failed", "held")):
            self._deliveries.labels(carrier, outcome)
        words = "How much later than it should the event loop came back from a sleep."
        self._lag = histogram("fastlane_event_loop_lag_seconds", words, buckets=LAG_BUCKETS)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered. ``route``: empty when there is none."""
        self._request_counter(method if method in METHODS else "other", route or "none", str(status)).inc()
        self._request_histogram(route or "none").observe(seconds)

    def enqueued(self, pool: str | None) -> None:
        """A job was accepted, for a task of this pool (None: of no pool)."""
        self._enqueued_counter(pool or "").inc()

    def claimed(self, pool: str | None, lateness: float) -> None:
        """An execution was claimed so many seconds after it was due."""
        self._lateness.labels(pool or "").observe(max(0.0, lateness))

    def ended(self, pool: str | None, status: str, reason: str | None, seconds: float | None, stdout: int, stderr: int) -> None:
        """An execution has ended, with a log of so many bytes. ``seconds``: from its start to its end; None: it never started."""
        self._ended.labels(pool or "", status, reason or "").inc()
        if seconds is not None:
            self._durations.labels(pool or "", status).observe(max(0.0, seconds))
        self._log_bytes.labels("stdout").inc(stdout)
        self._log_bytes.labels("stderr").inc(stderr)

    def repaired(self, kind: Repair, count: int) -> None:
        """The reconciler put so many of this kind right."""
        self._repairs.labels(kind.value).inc(count)

    def pruned(self, counts: Mapping[str, int]) -> None:
        """Retention removed so many of each kind."""
        for kind, count in counts.items():
            self._pruned.labels(kind).inc(count)

    def rebuilt(self) -> None:
        """The queue was rebuilt."""
        self._rebuilds.inc()

    def delivery_tried(self, kind: str, outcome: str) -> None:
        """An attempt of a delivery is over."""
        self._deliveries.labels(kind, outcome).inc()

    async def measure_loop(self) -> None:
        """Measures how late the event loop is, forever."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(LAG_EVERY)
            self._lag.observe(max(0.0, loop.time() - before - LAG_EVERY))

    def text(self, gauges: Sequence[GaugeValues] = (), sees: Sees | None = None) -> bytes:
        """All of it, and these gauges, in Prometheus's text format; of single tasks only those that the reader sees (None: all)."""
        own: bytes = generate_latest(self._registry)
        tasks = CollectorRegistry()
        tasks.register(self.tasks.seen_by(sees))
        return own + bytes(generate_latest(tasks)) + text_of(gauges)


def text_of(gauges: Sequence[GaugeValues]) -> bytes:
    """These gauges in Prometheus's text format."""
    moment = CollectorRegistry()
    moment.register(_Moment(gauges))
    return bytes(generate_latest(moment))


class _Moment(Collector):
    """Gauges with the values of this moment."""

    def __init__(self, gauges: Sequence[GaugeValues]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """See prometheus_client."""
        for gauge in self._gauges:
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
            for labels, value in gauge.values:
                family.add_metric(labels, value)
            yield family
