"""Parts of fastlane as they are when no setting is set, for tests and benchmarks that need one of them alone; made by ``fastlane.app``."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fastlane import app
from fastlane.clock import Clock, SystemClock
from fastlane.config.settings import Settings
from fastlane.directory import CurrentPools
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.executors.swarm.hosts import HostRules
from fastlane.executors.swarm.registries import Registries
from fastlane.models.host import Endpoint, HostView
from fastlane.models.job import Execution
from fastlane.models.pool import Pool, endpoints_of
from fastlane.notify.port import Notifier
from fastlane.scheduler.ports import Ports, WorkerSettings
from fastlane.scheduler.verdict import Limits


def default(name: str) -> Any:
    """The value of a setting that nobody set."""
    return getattr(Settings.defaults(), name)


def default_limits(**changes: float) -> Limits:
    """The limits, with these changes."""
    return replace(app.worker_settings(Settings.defaults()).limits, **changes)


def default_worker(limits: Limits | None = None, **changes: float) -> WorkerSettings:
    """A worker's settings, with these changes."""
    made = app.worker_settings(Settings.defaults())
    return replace(made, limits=limits or made.limits, **changes)


def ports_of(store: Any, queue: Any, clock: Any, *, executor: Any = None, pools: Sequence[Pool] = (), owner: str = "me") -> Ports:
    """The ports of a worker. What a test does not use may be None."""
    return Ports(owner, store, queue, executor, clock, CurrentPools.of(pools), default_notifier())


class WithGeneration:
    """A queue with this in place of its generation."""

    def __init__(self, queue: Any, generation: Any) -> None:
        self._queue = queue
        self.generation = generation

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


class Views:
    """The hosts of a worker that is alone, as ``views`` returns them; none is lost."""

    def __init__(self, views: Callable[[], Sequence[HostView]] = tuple) -> None:
        self.views = views

    def lost(self, _execution: Execution, *, node_down: bool = False) -> None:
        return None

    async def is_elsewhere(self, _execution: Execution) -> bool:
        return False

    async def is_forgotten(self, _execution: Execution) -> bool:
        return False


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
