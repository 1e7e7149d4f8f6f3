"""Parts of fastlane as they are when no setting is set, for tests and benchmarks that build them by hand."""

from collections.abc import Sequence
from typing import Any

from fastlane.clock import SystemClock
from fastlane.config.settings import SETTINGS
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.models.placement.pool import Pool
from fastlane.scheduler.limits import Limits
from fastlane.scheduler.worker import WorkerSettings


def default(name: str) -> Any:
    """The value of a setting that nobody set."""
    setting = next(setting for setting in SETTINGS if setting.name == name)
    return setting.type.read(setting.default)


def default_limits(**changes: float) -> Limits:
    """The limits, with these changes."""
    named = {name: default(name) for name in ("pending_deadline", "pull_deadline", "host_lost_after")}
    return Limits(**{"timeout": default("hard_timeout"), **named, **changes})


def default_worker(pools: tuple[Pool, ...], limits: Limits | None = None, **changes: float) -> WorkerSettings:
    """A worker's settings, with these changes."""
    named = {"lease": default("lease"), "renew": default("renew"), "log_cap": default("max_log_bytes")}
    return WorkerSettings(pools, limits or default_limits(), **{**named, **changes})


def default_executor(hosts: Sequence[str], installation: str, **options: Any) -> SwarmExecutor:
    """The executor of Docker Swarm, with these options."""
    named = {"max_fails": default("breaker_max_fails"), "reset": default("breaker_reset")}
    return SwarmExecutor(hosts, installation, SystemClock(), **{**named, **options})
