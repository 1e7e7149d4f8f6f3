"""A job: what to run (a spec) and when (a schedule), and the numbers by which its changes are ordered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastlane.models.access import Requester
from fastlane.models.container.container import NO_CONTAINER, NO_RESOURCES, Container, Resources
from fastlane.models.schedule.schedule import Schedule, expiry
from fastlane.models.status import Status


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run: an image reference, the arguments that replace its CMD (None: its own), and its environment; and by which rules.

    Durations in milliseconds, None for none: ``retry_delay`` a fixed delay before each further attempt, ``timeout`` of running,
    ``expires_in`` after each due time; ``expiration`` is a moment. ``concurrency``: waits while so many of its task run (0: does not).
    ``resources`` and ``container``: how much of a node the container gets, and how it is set up.
    """

    image: str
    command: tuple[str, ...] | None = None
    envs: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    retries: int = 0
    retry_delay: int | None = None
    timeout: int | None = None
    expires_in: int | None = None
    expiration: int | None = None
    priority: int = 0
    concurrency: int = 0
    resources: Resources = NO_RESOURCES
    container: Container = NO_CONTAINER

    def expires_at(self, due: int) -> int | None:
        """The moment after which the container of a tick due then must not start; None when there is none."""
        return expiry(due, self.expires_in, self.expiration)

    def is_over(self, now: int) -> bool:
        """Whether its ``expiration`` has passed: no container of it may start any more, whatever it is started by."""
        return self.expiration is not None and now >= self.expiration


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the store has it. Moments in milliseconds.

    ``incarnation`` is random at its creation: the ids of its ticks and executions derive from it. ``sequence`` is the
    last number that the job gave out: each PUT, tick and stop takes the next. ``stop_sequence`` is the number of the
    last stop (0: none), which covers every execution with a lower one; ``armed`` that of the last PUT (0: it is as it was created).
    ``next_tick`` is due next, None when nothing is: also while the job is paused, when ``held_tick`` keeps it.
    ``requested_by``: who asked for it as it is now; None where that was not recorded. Executions with a sequence up to ``floor`` were given
    up to a deletion: what is left of them is removed, and what is inserted late never runs.
    """

    id: str
    task_id: str
    incarnation: str
    created_at: int
    modified_at: int
    spec: Spec
    schedule: Schedule
    revision: int = 1
    schedule_revision: int = 1
    sequence: int = 0
    stop_sequence: int = 0
    next_tick: int | None = None
    last_tick: int | None = None
    requested_by: Requester | None = None
    armed: int = 0
    held_tick: int | None = None
    floor: int = 0

    def stops(self, sequence: int) -> bool:
        """Whether the job's last stop covers an execution with this sequence."""
        return self.stop_sequence > sequence

    @property
    def stopped(self) -> bool:
        """Whether it was stopped since it was armed last. What is run by hand after that leaves it so."""
        return self.stop_sequence > self.armed

    @property
    def paused(self) -> bool:
        """Whether its schedule is held."""
        return self.held_tick is not None


def job_status(job: Job, latest: Status | None) -> str:
    """A job's status as the API tells it: paused; else the latest execution's while one is under way; else stopped (a cron that was
    stopped, or what never ran), scheduled, or how it ended.

    ``latest`` is the status of its execution under way, or else of its last one, None when it has none: if no tick is to come
    either, the last one came too late to make one.
    """
    if job.paused:
        return "paused"
    if latest is not None and not latest.final:
        return latest.value
    if job.stopped and (latest is None or job.schedule.cron is not None):
        return "stopped"
    if job.next_tick is not None:
        return "scheduled"
    return latest.value if latest is not None else Status.EXPIRED.value
