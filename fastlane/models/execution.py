"""An execution: one attempt at a tick, the values that say how it started and ended, and what its container used."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from operator import attrgetter
from typing import Any, Self

from fastlane.models.access import Requester
from fastlane.models.job import Job, JobBounds, Spec, job_status
from fastlane.models.log import Head
from fastlane.models.schedule import Overlap
from fastlane.models.status import Status


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


class FailureReason(StrEnum):
    """Why an execution failed."""

    EXIT = "exit"
    OOM = "oom"
    KILLED = "killed"
    IMAGE = "image"
    REJECTED = "rejected"
    UNSCHEDULABLE = "unschedulable"
    HOST_LOST = "host-lost"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an execution failed, with the words of the engine or registry that said so."""

    reason: FailureReason
    message: str


@dataclass(frozen=True, slots=True)
class Execution:
    """One attempt at a tick, as the store has it. Moments are in milliseconds.

    ``epoch`` is raised at each take-over and fences its owner's writes. ``sequence`` is the number of its tick within the job. ``host`` is
    where it was placed; ``service_id`` (of the swarm ``swarm_id``) is bound once, for good. ``engine_task_id`` is the Swarm task that was
    first seen for the service. ``settled`` and ``cleaned`` say what has been done after it ended. ``requested_by`` asked for its
    tick; None where that was not recorded. ``image_reference`` is the image that was submitted (a name with a digest, or a local image's
    id); an attempt after the first has it from the start. ``incarnation`` is its job's, empty in rows from before executions had one.
    ``waits`` is the rule by which it waits until other executions of its job have ended; None once it does not. ``usage`` is what its
    container used, None where that was not measured.
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


def standing(executions: Iterable[Execution], job: Job | JobBounds) -> Execution | None:
    """Which of a job's executions gives it its status: the newest under way that belongs to it (one that waits for others only when there
    are no others), or else the newest that has ended."""
    found = [execution for execution in executions if execution.status.final or execution.belongs_to(job)]
    return max(found, key=lambda one: (not one.status.final, not one.is_waiting, one.sequence, one.attempt), default=None)


def status_of(job: Job, executions: Iterable[Execution]) -> str:
    """The job's status as it is stored, when these are its executions."""
    one = standing(executions, job)
    return job_status(job, None if one is None else one.status)


_PLACES = {field.name: place for place, field in enumerate(fields(Execution))}
_VALUES = attrgetter(*_PLACES)


@dataclass(frozen=True, slots=True)
class RunningContainer:
    """The fields of an execution that a list of running containers shows."""

    execution_id: str
    task_id: str
    job_id: str
    host: str | None
    container_id: str | None
    image: str


@dataclass(frozen=True, slots=True)
class Started:
    """What is known of an execution once its container was seen running. ``started_at`` is in milliseconds."""

    engine_task_id: str
    container_id: str | None
    started_at: int

    def values(self) -> Mapping[str, Any]:
        """The values by the names of ``Execution``'s fields."""
        return {
            "engine_task_id": self.engine_task_id,
            "container_id": self.container_id,
            "started_at": self.started_at,
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
        }

    def with_log(self, head: Head, *, lost: bool) -> Self:
        """The ending with the sizes of its stored log. ``lost``: the engine no longer had the log, so some of it may be missing."""
        return replace(self, stdout_bytes=head.stdout, stderr_bytes=head.stderr, truncated=head.truncated or lost)
