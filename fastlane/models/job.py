"""A job: what to run (a spec) and when (a schedule), the numbers by which its changes are ordered, and its status. A task, which groups
jobs, is here, too."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fastlane.errors import Changed
from fastlane.models.access import Requester
from fastlane.models.container import NO_CONTAINER, NO_RESOURCES, Container, Resources
from fastlane.models.cron import next_tick
from fastlane.models.notify import Mailbox, Webhook
from fastlane.models.retention import NO_RETENTION, Retention
from fastlane.models.schedule import Schedule, expiry
from fastlane.models.status import FINAL, Status

MAX_RUNS = 5
"""Due times of a cron that are shown in advance."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run and by which rules: an image reference, the arguments that replace its CMD (None: keep it), and its environment.

    Durations are in milliseconds, None for no limit: ``retry_delay`` before each further attempt (None: a growing delay), ``timeout`` of a
    run, ``expires_in`` after each due time. ``expiration`` is a moment. An execution waits while ``concurrency`` executions of its task run
    (0: it does not wait). ``resources`` and ``container`` are the container's share of a node and its set-up. ``name`` is for people; jobs
    are found by their ``labels``. ``webhooks`` and the mailboxes of ``notify`` get a message when its executions end. ``retention``: rules
    for its history, where they are stricter than the server's. Without a success for ``expect_every`` it is late.
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
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    webhooks: tuple[Webhook, ...] = ()
    notify: tuple[Mailbox, ...] = ()
    retention: Retention = NO_RETENTION
    expect_every: int | None = None

    def expires_at(self, due: int) -> int | None:
        """The moment after which the container of a tick with this due time must not start; None when there is none."""
        return expiry(due, self.expires_in, self.expiration)

    def is_over(self, now: int) -> bool:
        """Whether its ``expiration`` has passed, so that no container of it may start any more."""
        return self.expiration is not None and now >= self.expiration


@dataclass(frozen=True, slots=True)
class JobBounds:
    """What a stored job says of which of its executions may start: the same fields as the job's."""

    incarnation: str
    floor: int
    stop_sequence: int

    def stops(self, sequence: int) -> bool:
        """Whether the job's last stop covers an execution with this sequence."""
        return self.stop_sequence > sequence

    def include(self, incarnation: str, sequence: int) -> bool:
        """Whether an execution with this incarnation (empty: from before executions had one) and sequence is part of the job."""
        return incarnation in ("", self.incarnation) and sequence > self.floor


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the store has it. Moments are in milliseconds.

    ``incarnation`` is random at its creation; the ids of its ticks and executions derive from it. ``sequence`` is the last number that the
    job gave out: each PUT, tick and stop takes the next one. ``stop_sequence`` is the number of the last stop (0: none), which covers every
    execution with a lower one; ``armed`` is the number of the last PUT (0: none since its creation). ``next_tick`` is the next due time,
    None when there is none; a paused job keeps its due time in ``held_tick`` instead. ``requested_by`` asked for it as it is now; None
    where that was not recorded. Executions with a sequence up to ``floor`` are being deleted, and never run if they are inserted late.
    ``check_at``: when to look whether it is late; ``late_since``: since when it is late (see ``delivery.watched``).
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
    check_at: int | None = None
    late_since: int | None = None

    def stops(self, sequence: int) -> bool:
        """Whether the job's last stop covers an execution with this sequence."""
        return self.bounds.stops(sequence)

    @property
    def bounds(self) -> JobBounds:
        """Which of its executions may start."""
        return JobBounds(self.incarnation, self.floor, self.stop_sequence)

    @property
    def version(self) -> str:
        """Another text after each change by a request: PUT, PATCH, pause, resume, stop, and a deletion under the same id."""
        return job_version(self.incarnation, self.revision, self.stop_sequence)

    @property
    def stopped(self) -> bool:
        """Whether it was stopped after its last PUT. A run by hand after that leaves it stopped."""
        return self.stop_sequence > self.armed

    @property
    def paused(self) -> bool:
        """Whether its next tick is held."""
        return self.held_tick is not None

    def next_run(self, now: int) -> int | None:
        """The due time of its next tick, unless nothing could start then any more, by its ``expiration``. ``now`` in milliseconds."""
        due = self.next_tick
        return None if due is None or self.spec.is_over(max(due, now)) else due


def next_runs(spec: Spec, schedule: Schedule, first: int | None) -> tuple[int, ...]:
    """The due times from the first on (None: there is none): of a cron the next five before its ``expiration``, one of any other
    schedule."""
    if schedule.cron is None or first is None:
        return () if first is None else (first,)
    found: list[int] = []
    moment: int | None = first
    while moment is not None and not spec.is_over(moment) and len(found) < MAX_RUNS:
        found.append(moment)
        moment = next_tick(schedule.cron, moment)
    return tuple(found)


def job_version(incarnation: str, revision: int, stop_sequence: int) -> str:
    """The version of a job with these values."""
    return f"{incarnation}.{revision}.{stop_sequence}"


@dataclass(frozen=True, slots=True)
class ExpectedVersions:
    """The versions of a job that a request may change; ``ANY`` among them stands for all."""

    versions: frozenset[str]

    def check(self, job_id: str, current: str | None) -> None:
        """Raises Changed when the job's current version is not one of these; None: the job does not exist."""
        if current is None:
            raise Changed(f"there is no job {job_id} yet, so it has none of the versions in If-Match; leave If-Match out to create it")
        if ANY not in self.versions and current not in self.versions:
            raise Changed(f"job {job_id} has changed since you read it; GET it again, and make your change to what it is now")


ANY = "*"


class Fact(StrEnum):
    """What a job's status follows from, beside the status of the execution that stands for it."""

    PAUSED = "paused"
    UNDER_WAY = "under way"
    """The execution that stands for the job has not ended (``models.execution.standing``)."""
    STOPPED = "stopped"
    CRON = "cron"
    ENDED = "ended"
    """The execution that stands for the job has ended."""
    NEVER_RAN = "never ran"
    """No execution stands for the job. Its tick came too late to make one, or has not come."""
    TO_COME = "to come"
    """A tick is to come, and something can start then."""


STATUS_RULE: tuple[tuple[tuple[Fact, ...], str | None], ...] = (
    ((Fact.PAUSED,), "paused"),
    ((Fact.UNDER_WAY,), None),
    ((Fact.STOPPED, Fact.CRON), "stopped"),
    ((Fact.STOPPED, Fact.NEVER_RAN), "stopped"),
    ((Fact.TO_COME,), "scheduled"),
    ((Fact.CRON,), "expired"),
    ((Fact.ENDED,), None),
    ((), "expired"),
)
"""The rule for a job's status in the API: the first line of which all facts are true says it; None stands for the status of the execution
that is under way or has ended. A cron without a run to come has expired, whatever ran before. SQLite's triggers are made from this table:
see ``storage.sqlite.schema`` before you change it."""


def job_status(job: Job, latest: Status | None, now: int = 0) -> str:
    """A job's status in the API, by ``STATUS_RULE``.

    ``latest`` is the status of its execution under way or else of its last one, None when it has none. ``now`` in milliseconds; without
    it, a tick to come counts as if it were not late, as in the status that is stored.
    """
    facts = {
        Fact.PAUSED: job.paused,
        Fact.UNDER_WAY: latest is not None and not latest.final,
        Fact.ENDED: latest is not None and latest.final,
        Fact.STOPPED: job.stopped,
        Fact.CRON: job.schedule.cron is not None,
        Fact.NEVER_RAN: latest is None,
        Fact.TO_COME: job.next_run(now) is not None,
    }
    return next(said or str(latest) for needed, said in STATUS_RULE if all(facts[fact] for fact in needed))


def depends_on_latest(job: Job, now: int = 0) -> bool:
    """Whether the status of a job without an execution under way depends on how its last one ended."""
    return len({job_status(job, ended, now) for ended in (None, *FINAL)}) > 1


MAX_TASK_ID_BYTES = 255
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Task:
    """A task as it is listed. Moments are in milliseconds."""

    id: str
    created_at: int
    modified_at: int
    jobs_count: int


def task_id_fault(task_id: str) -> str | None:
    """Why a text cannot be a task's id; None when it can."""
    if not task_id:
        return "a task id must not be empty"
    if task_id in {".", ".."}:
        return 'a task id must not be "." or ".."'
    if "/" in task_id:
        return 'a task id must not contain "/"'
    if CONTROL.search(task_id):
        return "a task id must not contain control characters"
    if SURROGATE.search(task_id):
        return "a task id must be valid Unicode"
    if len(task_id.encode()) > MAX_TASK_ID_BYTES:
        return f"a task id must have at most {MAX_TASK_ID_BYTES} bytes"
    return None
