"""Parts of fastlane as they are when no setting is set, for tests and benchmarks that need one of them alone; made by ``fastlane.app``."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fastlane import app
from fastlane.clock import Clock, SystemClock
from fastlane.config.settings import Settings
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.executors.swarm.hosts import HostRules
from fastlane.executors.swarm.registries import Registries
from fastlane.models.host import Endpoint
from fastlane.models.pool import Pool, endpoints_of
from fastlane.notify.port import Notifier
from fastlane.scheduler.verdict import Limits
from fastlane.scheduler.worker import WorkerSettings


def default(name: str) -> Any:
    """The value of a setting that nobody set."""
    return getattr(Settings.defaults(), name)


def default_limits(**changes: float) -> Limits:
    """The limits, with these changes."""
    return replace(app.worker_settings(Settings.defaults()).limits, **changes)


def default_worker(pools: tuple[Pool, ...], limits: Limits | None = None, **changes: float) -> WorkerSettings:
    """A worker's settings, with these changes."""
    made = app.worker_settings(Settings.defaults(pools=pools))
    return replace(made, limits=limits or made.limits, **changes)


def default_notifier() -> Notifier:
    """What sends notifications: to public addresses only."""
    return app.make_notifier(Settings.defaults())


def hosts_of(pools: Sequence[Pool]) -> tuple[str, ...]:
    """The address of every host of the pools, once, in order."""
    return tuple(endpoint.address for endpoint in endpoints_of(pools))


def default_executor(
    hosts: Sequence[str | Endpoint],
    installation: str,
    *,
    clock: Clock | None = None,
    registries: Registries | None = None,
    **options: Any,
) -> SwarmExecutor:
    """The executor of Docker Swarm, with these options for its hosts."""
    endpoints = [host if isinstance(host, Endpoint) else Endpoint(host) for host in hosts]
    return SwarmExecutor(endpoints, installation, clock or SystemClock(), default_rules(**options), registries)


def default_rules(**options: Any) -> HostRules:
    """How hosts are treated, with these options."""
    return HostRules(**{"max_fails": default("breaker_max_fails"), "reset": default("breaker_reset"), **options})
