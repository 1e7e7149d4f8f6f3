"""The parts that all services of one process share, and the base of every service."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastlane.calendars import CalendarBook
from fastlane.clock import Clock
from fastlane.directory import CurrentPools, Directory
from fastlane.models.job import Job
from fastlane.queue.port import Queue
from fastlane.services.outbox import QueueOutbox
from fastlane.storage.base import Store
from fastlane.streams.reader import Hub

DescribeChange = Callable[[Job, Job], Mapping[str, Any]]
"""What an event says of a change of a job, from the job before and after it, without secrets. It knows how answers show a job."""


@dataclass(frozen=True, slots=True)
class ServiceParts:
    """What the services of one process are built from."""

    store: Store
    queue: Queue
    hub: Hub
    clock: Clock
    directory: Directory
    outbox: QueueOutbox
    describe_change: DescribeChange
    calendars: CalendarBook

    @property
    def pools(self) -> CurrentPools:
        """The pools in force now."""
        return self.directory.pools


class Service:
    """Gives a service the shared parts under names of its own. A service keeps no other state unless its class says so."""

    def __init__(self, parts: ServiceParts) -> None:
        self._store = parts.store
        self._queue = parts.queue
        self._reports = parts.queue.reports
        self._clock = parts.clock
        self._directory = parts.directory
        self._pools = parts.pools
        self._outbox = parts.outbox
        self._calendars = parts.calendars
