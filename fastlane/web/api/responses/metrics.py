"""The gauges of the installation, as Prometheus reads them."""

from collections.abc import Callable, Sequence

from fastlane.metrics.metrics import GaugeValues
from fastlane.models.notify.receiver import Receiver
from fastlane.services.reads.gauges import InstallationGauges, PoolGauges
from fastlane.services.reads.host_rows import HostRow

Values = Sequence[tuple[tuple[str, ...], float]]


def gauges_of(now: InstallationGauges) -> tuple[GaugeValues, ...]:
    """One for each figure; what could not be read has no value."""
    return (*_of_installation(now), *_of_pools(now), *_of_deliveries(now), *_of_hosts(now))


def _of_installation(now: InstallationGauges) -> tuple[GaugeValues, ...]:
    return (
        GaugeValues("fastlane_store_up", "Whether the store answers.", (), _one(now.store_seconds is not None)),
        GaugeValues("fastlane_queue_up", "Whether Redis answers.", (), _one(now.queue_seconds is not None)),
        GaugeValues("fastlane_store_read_seconds", "How long one small read of the store took just now.", (), _one(now.store_seconds)),
        GaugeValues("fastlane_queue_read_seconds", "How long one small read of the queue took just now.", (), _one(now.queue_seconds)),
        GaugeValues("fastlane_stored_log_bytes", "About how many bytes all stored logs take.", (), _one(now.log_bytes)),
        GaugeValues("fastlane_workers", "Workers that are alive.", (), _one(now.workers)),
        GaugeValues("fastlane_followers", "Logs that this process is sending to followers.", (), _one(now.followers)),
    )


def _of_pools(now: InstallationGauges) -> tuple[GaugeValues, ...]:
    return (
        GaugeValues(
            "fastlane_pool_executions",
            "Executions of a pool that wait for a slot (ready), their time (timed) or others of their task (blocked), or hold a slot.",
            ("pool", "state"),
            [value for pool in now.pools for value in _states(pool)],
        ),
        GaugeValues(
            "fastlane_pool_oldest_waiting_seconds",
            "For how long the execution that has waited longest for a slot of its pool has been due.",
            ("pool",),
            _by_pool(now, lambda row: None if row.oldest is None else row.oldest / 1000),
        ),
        GaugeValues(
            "fastlane_pool_slots",
            "How many executions of a pool may run at once.",
            ("pool",),
            _by_pool(now, lambda row: row.pool.max_running),
        ),
        GaugeValues("fastlane_pool_paused", "Whether a pool is paused.", ("pool",), _by_pool(now, lambda row: row.paused)),
    )


def _of_deliveries(now: InstallationGauges) -> tuple[GaugeValues, ...]:
    return (
        GaugeValues(
            "fastlane_delivery_overdue_seconds",
            "For how long the webhook or mail that has waited longest to be sent has been due; 0 when none is.",
            (),
            _one(None if now.overdue is None else now.overdue / 1000),
        ),
        GaugeValues(
            "fastlane_receivers_failing",
            "Receivers of webhooks whose last attempt failed, by whether sending to them is paused.",
            ("paused",),
            _receivers(now.receivers),
        ),
    )


def _of_hosts(now: InstallationGauges) -> tuple[GaugeValues, ...]:
    return (
        GaugeValues(
            "fastlane_host_usable",
            "Whether a host may get new work, as the workers see it.",
            ("pool", "host"),
            [((row.pool, row.name), float(row.fault is None and not row.drained and row.view is not None)) for row in now.hosts],
        ),
        GaugeValues(
            "fastlane_host_executions",
            "Executions on a host.",
            ("pool", "host"),
            [((row.pool, row.name), float(row.view.running)) for row in now.hosts if row.view is not None],
        ),
        GaugeValues(
            "fastlane_host_circuit", "1 for the state of a host's circuit breaker.", ("pool", "host", "state"), _circuits(now.hosts)
        ),
    )


def _one(value: float | None) -> Values:
    return () if value is None else [((), float(value))]


def _states(row: PoolGauges) -> Values:
    if row.lane is None:
        return ()
    states = {"ready": row.lane.ready, "timed": row.lane.timed, "blocked": row.lane.blocked, "running": row.lane.running}
    return [((row.pool.name, state), float(count)) for state, count in states.items()]


def _by_pool(now: InstallationGauges, value_of: Callable[[PoolGauges], float | None]) -> Values:
    return [((row.pool.name,), float(value)) for row in now.pools if (value := value_of(row)) is not None]


def _receivers(failing: Sequence[Receiver] | None) -> Values:
    paused = sum(receiver.is_paused for receiver in failing or ())
    return () if failing is None else [(("true",), float(paused)), (("false",), float(len(failing) - paused))]


def _circuits(hosts: Sequence[HostRow]) -> Values:
    return [((row.pool, row.name, row.view.circuit), 1.0) for row in hosts if row.view is not None]
