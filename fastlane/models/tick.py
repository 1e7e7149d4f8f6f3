"""A tick: one due time of a job. Its key names it within the job, and everything that it makes has an id derived from it."""

from dataclasses import dataclass
from enum import StrEnum

from fastlane.models.execution import Execution
from fastlane.models.ids import derived_id
from fastlane.models.job import Job


class Outcome(StrEnum):
    """What became of a tick: its execution was made, or why none started."""

    STARTED = "started"
    SKIPPED = "skipped"
    MISSED = "missed"
    EXPIRED = "expired"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Tick:
    """A row of the tick ledger. ``due`` and ``created_at`` in milliseconds."""

    id: str
    job_id: str
    key: str
    due: int
    created_at: int
    outcome: Outcome
    execution_id: str | None
    reason: str | None = None


def once_key(schedule_revision: int) -> str:
    """The key of the only tick of a job that runs now or at a moment, under this revision of its schedule."""
    return f"a:{schedule_revision}"


def tick_id(incarnation: str, key: str) -> str:
    """A tick's id: the same for whoever derives it, never the same for a job that was deleted and made again."""
    return derived_id(incarnation, key)


def execution_id(incarnation: str, key: str, attempt: int) -> str:
    """The id of a tick's execution number ``attempt`` (1 is the first)."""
    return derived_id(incarnation, f"{key}:{attempt}")


def make(job: Job, key: str, *, sequence: int, due: int, now: int) -> tuple[Tick, Execution]:
    """A tick of the job with this key and sequence, and its first execution. ``due`` and ``now`` in milliseconds."""
    execution = Execution(
        id=execution_id(job.incarnation, key, 1),
        task_id=job.task_id,
        job_id=job.id,
        tick_id=tick_id(job.incarnation, key),
        attempt=1,
        sequence=sequence,
        spec=job.spec,
        scheduled_for=due,
        created_at=now,
    )
    return Tick(execution.tick_id, job.id, key, due, now, Outcome.STARTED, execution.id), execution
