"""A job: what to run (a spec) and when (a schedule), the numbers by which its changes are ordered, and its status. A task, which groups
jobs, is here, too, and so are executions: one attempt at a tick each, the values that say how it started and ended, what its container
used, and whether a failed attempt is retried and when. All rules are pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from operator import attrgetter
from typing import Any, Self

from fastlane.errors import Changed, Fault
from fastlane.models.access import Requester
from fastlane.models.container import NO_CONTAINER, NO_RESOURCES, Container, Resources
from fastlane.models.cron import next_tick
from fastlane.models.failing import Failing
from fastlane.models.log import Head
from fastlane.models.log_commands import Outputs
from fastlane.models.notify import FAILURES, Mailbox, Webhook
from fastlane.models.parameter import Parameter, values_of
from fastlane.models.retention import NO_RETENTION, Retention
from fastlane.models.retry import FailureReason, OnOom, Remedy, RetryOn, backoff, is_retried
from fastlane.models.run_target import Everywhere, RunPlan, RunTarget
from fastlane.models.schedule import Overlap, Schedule, expiry
from fastlane.models.status import FINAL, Status
from fastlane.models.upstream import ChainState, Upstream

MAX_RUNS = 5
"""Due times of a cron that are shown in advance."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run and by which rules: an image reference, the arguments that replace its CMD (None: keep it), and its environment.

    In place of an image it may name a ``service`` of the swarm, whose container it runs as; ``image`` is then empty.

    Durations are in milliseconds, None for no limit: ``retry_delay`` before each further attempt (None: a growing delay), ``timeout`` of a
    run, ``expires_in`` after each due time. ``expiration`` is a moment. An execution waits while ``concurrency`` executions of its task run
    (0: it does not wait); with a ``concurrency_key``, executions of its pool with the same key. ``resources`` and ``container`` are the
    container's share of a node and its set-up. ``name`` is for people; jobs are found by their ``labels``. ``webhooks`` and the mailboxes
    of ``notify`` get a message when its executions end. ``retention``: rules for its history, where they are stricter than the server's.
    Without a success for ``expect_every`` it is late. ``parameters`` are values that a run may be given; ``arguments`` are those that this
    run was given (a job's own spec has none). ``annotations``: lines of its log such as ``::set-output`` mean something (see
    ``models.log_commands``). ``due_at``: the due time that a run stands for where it is not the moment at which it was due itself;
    ``backfill``: the backfill that it belongs to. ``retry_on``: which failures are tried again (None: see ``retry.RETRIED``);
    ``on_oom``: how much memory the next attempt has after one that ran out of it; ``remedy``: what an attempt does otherwise than the one
    before (a job's own spec has none). ``pause_after``: how many failed ticks in a row pause the job; ``notify_after``: how many it takes
    before anybody is notified of failures; 0: no rule. ``done_by``: the time of day by which a tick is to have succeeded; else the job
    is late. ``unique``: no equal job may wait beside it (``models.unique``). ``everywhere``: each tick runs on all targets of its pool
    (``models.everywhere``); ``target``: the one on which this execution runs, and no other (a job's own spec has none); ``plan``: what
    is still to be done for the other targets of its tick.
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
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    service: str | None = None
    annotations: bool = True
    due_at: int | None = None
    backfill: str | None = None
    retry_on: RetryOn | None = None
    on_oom: OnOom | None = None
    remedy: Remedy | None = None
    pause_after: int = 0
    notify_after: int = 0
    done_by: str | None = None
    unique: bool = False
    concurrency_key: str | None = None
    everywhere: Everywhere | None = None
    target: RunTarget | None = None
    plan: RunPlan | None = None

    @property
    def shown_image(self) -> str | None:
        """The image; None where the service decides it."""
        return self.image or None

    @property
    def values(self) -> Mapping[str, str]:
        """The values of its parameters, as ``SecretText`` where they are secret."""
        return values_of(self.parameters, self.arguments) if self.parameters else {}

    @property
    def variables(self) -> Mapping[str, str]:
        """All variables of its container but for fastlane's own: its environment, and its parameters."""
        return {**self.envs, **self.values} if self.parameters else self.envs

    def expires_at(self, due: int) -> int | None:
        """The moment after which the container of a tick with this due time must not start; None when there is none."""
        return expiry(due, self.expires_in, self.expiration)

    @property
    def is_expected(self) -> bool:
        """Whether it must succeed again and again, and is late otherwise."""
        return self.expect_every is not None or self.done_by is not None

    @property
    def counts_failures(self) -> bool:
        """Whether a rule of it needs to know how many ticks failed in a row."""
        return bool(self.pause_after or self.notify_after)

    def is_over(self, now: int) -> bool:
        """Whether its ``expiration`` has passed, so that no container of it may start any more."""
        return self.expiration is not None and now >= self.expiration


def never_in_time(spec: Spec, schedule: Schedule, now: int) -> Fault | None:
    """The fault of a job that would expire before it is first due, counted from ``now`` (milliseconds)."""
    first = schedule.first_tick(now)
    due = now if first is None else first
    if spec.expiration is not None and spec.expiration <= max(due, now):
        return Fault("expiration", "is before the job first starts, so it would never run; choose a later moment")
    if spec.expires_in is not None and due + spec.expires_in <= now:
        return Fault("expiresIn", "ended before now, counted from startAt, so it would never run; choose a longer one, or a later startAt")
    return None


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
class JobSource:
    """The service whose labels declare a job: its name, its swarm, its id, and the ``suffix`` of the labels (empty: none). ``version``: the
    service's, when its labels last changed the job. ``fault``: what is wrong with newer labels. ``gone``: why it declares the job no more;
    ``stop_sequence`` is then the number of the source's own stop (0: a person had stopped the job), and ``paused`` whether the job was
    paused at that time."""

    service: str
    swarm_id: str
    service_id: str
    suffix: str = ""
    version: int = 0
    fault: str | None = None
    gone: str | None = None
    stop_sequence: int = 0
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the store has it. Moments are in milliseconds.

    ``incarnation`` is random at its creation; the ids of its ticks and executions derive from it. ``sequence`` is the last number that the
    job gave out: each PUT, tick and stop takes the next one. ``stop_sequence`` is the number of the last stop (0: none), which covers every
    execution with a lower one; ``armed`` is the number of the last PUT (0: none since its creation). ``next_tick`` is the next due time,
    None when there is none; a paused job keeps its due time in ``held_tick`` instead. ``requested_by`` asked for it as it is now; None
    where that was not recorded. Executions with a sequence up to ``floor`` are being deleted, and never run if they are inserted late.
    ``check_at``: when to look whether it is late; ``late_since``: since when it is late (see ``delivery.watched``). ``source``: the service
    that declares it, and which alone may change its definition; None: it was posted. ``chain``: what it took in of jobs that it follows.
    ``failing``: how its last ticks ended, where a rule needs that. ``unique_key``: what no other job has at the same time (see
    ``models.unique``); None: nothing.
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
    source: JobSource | None = None
    chain: ChainState | None = None
    failing: Failing | None = None
    unique_key: str | None = None

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

    @property
    def is_declared(self) -> bool:
        """Whether a service declares it now."""
        return self.source is not None and self.source.gone is None

    @property
    def is_late(self) -> bool:
        """Whether it has not succeeded in time, by its ``expect_every`` or ``done_by``. One that was stopped is not late."""
        return self.late_since is not None and not self.stopped

    def next_tick_to_come(self, now: int) -> int | None:
        """The due time of its next tick, unless nothing could start then any more, by its ``expiration``. ``now`` in milliseconds."""
        due = self.next_tick
        return None if due is None or self.spec.is_over(max(due, now)) else due

    def next_run(self, now: int) -> int | None:
        """The due time of its next tick to come that is not on a date which its schedule skips."""
        due = self.schedule.unskipped_from(self.next_tick_to_come(now))
        return None if due is None or self.spec.is_over(max(due, now)) else due

    @property
    def skipping(self) -> str:
        """For people: that due times before its next run are skipped; empty when none is."""
        due = self.next_tick
        dates = None if due is None else self.schedule.skipped_at(due)
        if dates is not None:
            return f", because due times on dates of its skipDates ({dates}) are skipped"
        unknown = None if due is None else self.schedule.unknown_at(due)
        return "" if unknown is None else f", so it is skipped: skipDates names the {unknown}"


def next_runs(spec: Spec, schedule: Schedule, first: int | None) -> tuple[int, ...]:
    """The due times from the first on (None: there is none): of a cron the next five before its ``expiration``, one of any other
    schedule."""
    if schedule.cron is None or first is None:
        return () if first is None else (first,)
    found: list[int] = []
    moment = schedule.unskipped_from(first)
    while moment is not None and not spec.is_over(moment) and len(found) < MAX_RUNS:
        found.append(moment)
        moment = schedule.unskipped_from(next_tick(schedule.cron, moment))
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
    """The execution that stands for the job has not ended (``models.job.standing``)."""
    MANUAL = "manual"
    """It runs only when somebody asks for that."""
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
    ((Fact.MANUAL, Fact.NEVER_RAN), "idle"),
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
    return next(said or str(latest) for needed, said in STATUS_RULE if all(_FACTS[fact](job, latest, now) for fact in needed))


_FACTS: Mapping[Fact, Callable[[Job, Status | None, int], bool]] = {
    Fact.PAUSED: lambda job, *_: job.paused,
    Fact.UNDER_WAY: lambda _, latest, __: latest is not None and not latest.final,
    Fact.ENDED: lambda _, latest, __: latest is not None and latest.final,
    Fact.MANUAL: lambda job, *_: job.schedule.is_manual,
    Fact.STOPPED: lambda job, *_: job.stopped,
    Fact.CRON: lambda job, *_: job.schedule.cron is not None,
    Fact.NEVER_RAN: lambda _, latest, __: latest is None,
    Fact.TO_COME: lambda job, _, now: job.next_tick_to_come(now) is not None,
}
"""Whether each fact is true. A status asks for few of them: the one of a new job follows from the first two."""


def depends_on_latest(job: Job, now: int = 0) -> bool:
    """Whether the status of a job without an execution under way depends on how its last one ended."""
    return len({job_status(job, ended, now) for ended in (None, *FINAL)}) > 1


MAX_TASK_ID_BYTES = 255
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Task:
    """A task as it is listed. Moments are in milliseconds. ``by_status``: how many of its jobs have which stored status, where the store
    has read that, too."""

    id: str
    created_at: int
    modified_at: int
    jobs_count: int
    by_status: Mapping[str, int] | None = field(default=None, compare=False)


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


@dataclass(frozen=True, slots=True)
class Usage:
    """The most memory that was seen (bytes, without what the kernel can drop at once), processor time (milliseconds), and the bytes read
    from and written to block devices; None where the engine does not say."""

    memory_peak: int
    cpu_ms: int
    read_bytes: int | None = None
    written_bytes: int | None = None

    def then(self, later: "Usage") -> "Usage":
        """What was used until a later sample: its memory is what was used at that time, the rest are sums since the start."""
        return Usage(
            max(self.memory_peak, later.memory_peak),
            max(self.cpu_ms, later.cpu_ms),
            _more(self.read_bytes, later.read_bytes),
            _more(self.written_bytes, later.written_bytes),
        )


def _more(before: int | None, later: int | None) -> int | None:
    return before if later is None else max(later, before or 0)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an execution failed, with the words of the engine or registry that said so."""

    reason: FailureReason
    message: str


@dataclass(frozen=True, slots=True)
class ServiceVersion:
    """The service as whose container an execution runs, as it was read: its id, and its version, which each change of it raises."""

    id: str
    version: int


@dataclass(frozen=True, slots=True)
class Execution:
    """One attempt at a tick, as the store has it. Moments are in milliseconds.

    ``epoch`` is raised at each take-over and fences its owner's writes. ``sequence`` is the number of its tick within the job. ``host`` is
    where it was placed; ``service_id`` (of the swarm ``swarm_id``) is bound once, for good. ``engine_task_id`` is the Swarm task that was
    first seen for the service. ``settled`` and ``cleaned`` say what has been done after it ended. ``requested_by`` asked for its
    tick; None where that was not recorded. ``image_reference`` is the image that was submitted (a name with a digest, or a local image's
    id); an attempt after the first has it from the start. ``incarnation`` is its job's, empty in rows from before executions had one.
    ``waits`` is the rule by which it waits until other executions of its job have ended; None once it does not. ``usage`` is what its
    container used, None where that was not measured. ``node``: the name of the swarm's node on which its container started, None where
    that is not known. ``service_version``: the service of its spec as it was read before it was bound. ``outputs``: what its log set, once
    it has ended; None: nothing. ``upstream``: the ends of other jobs that its tick follows, None for a tick that follows none.
    """

    id: str
    task_id: str
    job_id: str
    tick_id: str
    attempt: int
    sequence: int
    spec: Spec
    scheduled_for: int
    created_at: int
    status: Status = Status.ENQUEUED
    epoch: int = 0
    pool: str | None = None
    host: str | None = None
    placed_at: int | None = None
    image_digest: str | None = None
    swarm_id: str | None = None
    service_id: str | None = None
    bound_at: int | None = None
    engine_task_id: str | None = None
    container_id: str | None = None
    stop_requested_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    exit_code: int | None = None
    failure: Failure | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    truncated: bool = False
    settled: bool = False
    cleaned: bool = False
    op: str = ""
    expires_at: int | None = None
    requested_by: Requester | None = None
    image_reference: str | None = None
    incarnation: str = ""
    waits: Overlap | None = None
    usage: Usage | None = None
    node: str | None = None
    service_version: ServiceVersion | None = None
    outputs: Outputs | None = None
    upstream: Upstream | None = None

    @property
    def shown_image(self) -> str | None:
        """The image: the one of its spec, or what its service had. None while that is not known."""
        return self.spec.image or self.image_reference

    @property
    def subject(self) -> str:
        """What it runs, in words: its image, or its service's."""
        return f"the image {self.spec.image}" if self.spec.service is None else f"the image of the service {self.spec.service}"

    def belongs_to(self, job: Job | JobBounds) -> bool:
        """Whether it is part of the job that is now stored under its ``job_id``. Otherwise, or without a job, it must never run: a process
        that slept while the job was deleted has inserted it."""
        bounds = job if isinstance(job, JobBounds) else job.bounds
        return bounds.include(self.incarnation, self.sequence)

    def changed(self, values: Mapping[str, Any]) -> "Execution":
        """The execution with these values. ``dataclasses.replace`` takes more than twice as long (measured), and each change needs it."""
        changed = list(_VALUES(self))
        for name, value in values.items():
            changed[_PLACES[name]] = value
        return Execution(*changed)

    @property
    def names(self) -> dict[str, str]:
        """The ids that each line of the log about it carries."""
        return {"task_id": self.task_id, "job_id": self.job_id, "execution_id": self.id}

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop and has not ended yet."""
        return self.stop_requested_at is not None and not self.status.final

    @property
    def is_waiting(self) -> bool:
        """Whether it waits until other executions of its job have ended."""
        return self.waits is not None and self.status is Status.ENQUEUED

    @property
    def has_started(self) -> bool:
        """Whether its container was seen running, or must have run."""
        return self.started_at is not None


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """The jobs of a task in short: how many have which stored status, how many are late, the first moment at which one of them runs next
    (milliseconds), and the execution of the task that was due last."""

    by_status: Mapping[str, int] = field(default_factory=dict)
    late: int = 0
    next_run: int | None = None
    latest: Execution | None = None


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that failed: the failure that ended last, and how many of its executions failed."""

    last: Execution
    failures: int


def by_standing(executions: Iterable[Execution], job: Job | JobBounds) -> list[Execution]:
    """A job's executions in the order in which they may give it its status: the newest under way that belongs to it (one that waits for
    others only when there are no others), the others under way, and then the newest that has ended."""
    found = [execution for execution in executions if execution.status.final or execution.belongs_to(job)]
    return sorted(found, key=lambda one: (not one.status.final, not one.is_waiting, one.sequence, one.attempt), reverse=True)


def standing(executions: Iterable[Execution], job: Job | JobBounds) -> Execution | None:
    """Which of a job's executions gives it its status: the first ``by_standing``."""
    return next(iter(by_standing(executions, job)), None)


def status_of(job: Job, executions: Iterable[Execution]) -> str:
    """The job's status as it is stored, when these are its executions."""
    one = standing(executions, job)
    return job_status(job, None if one is None else one.status)


_PLACES = {field.name: place for place, field in enumerate(fields(Execution))}
_VALUES = attrgetter(*_PLACES)


@dataclass(frozen=True, slots=True)
class LateJob:
    """The fields of a late job that a list of them shows. ``late_since`` and ``expect_every`` are in milliseconds. ``done_by``: by when it
    must have succeeded, if it has no ``expect_every``."""

    id: str
    task_id: str
    late_since: int
    expect_every: int | None
    name: str | None = None
    done_by: str | None = None


@dataclass(frozen=True, slots=True)
class RunningContainer:
    """The fields of an execution that a list of running containers shows. ``epoch``: of its owner."""

    execution_id: str
    task_id: str
    job_id: str
    host: str | None
    container_id: str | None
    image: str | None
    service: str | None = None
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Started:
    """What is known of an execution once its container was seen running. ``started_at`` is in milliseconds. ``node``: the name of its
    node, None where that is not known."""

    engine_task_id: str
    container_id: str | None
    started_at: int
    node: str | None = None

    def values(self) -> Mapping[str, Any]:
        """The values by the names of ``Execution``'s fields."""
        return {
            "engine_task_id": self.engine_task_id,
            "container_id": self.container_id,
            "started_at": self.started_at,
            "node": self.node,
        }


@dataclass(frozen=True, slots=True)
class Ending:
    """How an execution ended: its final status, and what the engine and the log say about it.

    ``exit_code`` is None when the container gave none. ``started`` is set when the start was not known before: the container was too
    short-lived to be seen running.
    """

    status: Status
    finished_at: int
    exit_code: int | None = None
    failure: Failure | None = None
    started: Started | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    truncated: bool = False
    usage: Usage | None = None
    outputs: Outputs | None = None

    def values(self) -> Mapping[str, Any]:
        """The values by the names of ``Execution``'s fields."""
        return {
            **(self.started.values() if self.started else {}),
            "status": self.status,
            "finished_at": self.finished_at,
            "exit_code": self.exit_code,
            "failure": self.failure,
            "stdout_bytes": self.stdout_bytes,
            "stderr_bytes": self.stderr_bytes,
            "truncated": self.truncated,
            **({"usage": self.usage} if self.usage else {}),
            **({"outputs": self.outputs} if self.outputs else {}),
        }

    def with_log(self, head: Head, *, lost: bool, usage: Usage | None = None) -> Self:
        """The ending with the sizes of its stored log, and with what was used. ``lost``: the engine no longer had the log, so some of it
        may be missing."""
        truncated = self.truncated or head.truncated or lost
        return replace(self, stdout_bytes=head.stdout, stderr_bytes=head.stderr, truncated=truncated, usage=usage)


def retry_due(execution: Execution) -> int | None:
    """When the attempt after a final execution is due (milliseconds); None after the last one, or when the next would expire first."""
    if execution.status is not Status.FAILED or execution.stop_requested_at is not None or execution.finished_at is None:
        return None
    reason, spec = execution.failure.reason if execution.failure else None, execution.spec
    if execution.attempt > spec.retries or not is_retried(spec.retry_on, reason, execution.exit_code):
        return None
    delay = backoff(execution.tick_id, execution.attempt) if spec.retry_delay is None else spec.retry_delay
    due = execution.finished_at + delay
    return None if execution.expires_at is not None and due >= execution.expires_at else due


def tick_failed(execution: Execution) -> bool | None:
    """Whether its tick failed; None when that is not known, since another attempt follows, or the tick counts neither way, since it was
    stopped."""
    if execution.status is Status.DONE:
        return False
    return True if execution.status in FAILURES and retry_due(execution) is None else None


def is_under_way(latest: Execution) -> bool:
    """Whether a job's latest execution is in progress, or the attempt after it is still to be created."""
    return not latest.status.final or (not latest.settled and retry_due(latest) is not None)
