"""The services in tests: built by ``fastlane.app``, over a hub that carries nothing; and each of their methods by name."""

from collections.abc import Callable
from typing import Any

from fastlane import app
from fastlane.clock import Clock
from fastlane.config.settings import Settings
from fastlane.models.pool import Pool
from fastlane.services.assembly import Services
from fastlane.streams.reader import OnHint

METHODS = {
    "enqueue": "submissions.enqueue",
    "put": "submissions.put",
    "edit": "edits.edit",
    "run": "manual_runs.run",
    "retry": "manual_runs.retry",
    "pause": "pauses.pause",
    "resume": "pauses.resume",
    "stop_job": "stops.stop_job",
    "stop_execution": "stops.stop_execution",
    "stop_task": "stops.stop_task",
    "delete_job": "deletions.delete_job",
    "delete_task": "deletions.delete_task",
    "pause_pool": "pools.pause",
    "resume_pool": "pools.resume",
}
"""What a client can ask for, and the service's method that does it."""


class SilentHub:
    """A hub that tells nobody anything."""

    def publish(self, hint: Any) -> None:
        return None

    def subscribe(self, execution_id: str, on_hint: OnHint) -> Callable[[], None]:
        return lambda: None


def services_of(store: Any, queue: Any, clock: Clock, pools: tuple[Pool, ...]) -> Services:
    """The services of a process to which nobody sends hints."""
    return app.make_services(Settings.defaults(pools=pools), store, queue, SilentHub(), clock)


def method(services: Services, verb: str) -> Callable[..., Any]:
    """The method that does what a client asks for by this verb."""
    service, name = METHODS[verb].split(".")
    return getattr(getattr(services, service), name)  # type: ignore[no-any-return]
