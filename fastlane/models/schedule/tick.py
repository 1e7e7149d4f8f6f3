"""A tick: one due time of a job. Its key names it within the job, and everything that it makes has an id derived from it."""

from dataclasses import dataclass
from enum import StrEnum

from fastlane.models.access import Requester
from fastlane.models.execution import Execution
from fastlane.models.ids import derived_id, new_id
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
    """A row of the tick ledger. ``due`` and ``created_at`` in milliseconds. A run of missed ticks is one row: ``due`` is the first of them,
    ``until`` the last, ``count`` how many (``at_least``: or more)."""

    id: str
    job_id: str
    key: str
    due: int
    created_at: int
    outcome: Outcome
    execution_id: str | None
    reason: str | None = None
    until: int | None = None
    count: int = 1
    at_least: bool = False


def once_key(schedule_revision: int) -> str:
    """The key of the only tick of a job that runs now or at a moment, under this revision of its schedule."""
    return f"a:{schedule_revision}"


def cron_key(due: int) -> str:
    """The key of a cron's tick that is due then (milliseconds)."""
    return f"c:{due}"


def hand_key(now: int) -> str:
    """A new key, for a tick that somebody asked for by hand at ``now`` (milliseconds)."""
    return f"r:{new_id(now)}"


def tick_id(incarnation: str, key: str) -> str:
    """A tick's id: the same for whoever derives it, never the same for a job that was deleted and made again."""
    return derived_id(incarnation, key)


def execution_id(tick_id: str, attempt: int) -> str:
    """The id of a tick's execution number ``attempt`` (1 is the first)."""
    return derived_id(tick_id, str(attempt))


def next_execution(before: Execution, *, due: int, now: int) -> Execution:
    """The attempt after ``before`` at the same tick, due then; it expires when the first one would have, and runs the very same image."""
    attempt = before.attempt + 1
    return Execution(
        id=execution_id(before.tick_id, attempt),
        task_id=before.task_id,
        job_id=before.job_id,
        tick_id=before.tick_id,
        attempt=attempt,
        sequence=before.sequence,
        spec=before.spec,
        scheduled_for=due,
        created_at=now,
        expires_at=before.expires_at,
        requested_by=before.requested_by,
        image_reference=before.image_reference,
        incarnation=before.incarnation,
    )


def make(job: Job, key: str, *, sequence: int, due: int, now: int, by: Requester | None = None) -> tuple[Tick, Execution]:
    """A tick of the job with this key and sequence, and its first execution. ``due`` and ``now`` in milliseconds. ``by``: who asked for
    this tick; None: who asked for the job."""
    id = tick_id(job.incarnation, key)
    execution = Execution(
        id=execution_id(id, 1),
        task_id=job.task_id,
        job_id=job.id,
        tick_id=id,
        attempt=1,
        sequence=sequence,
        spec=job.spec,
        scheduled_for=due,
        created_at=now,
        expires_at=job.spec.expires_at(due),
        requested_by=by or job.requested_by,
        incarnation=job.incarnation,
    )
    return Tick(id, job.id, key, due, now, Outcome.STARTED, execution.id), execution


def unstarted(
    job: Job,
    key: str,
    outcome: Outcome,
    *,
    due: int,
    now: int,
    reason: str | None,
    until: int | None = None,
    count: int = 1,
    at_least: bool = False,
) -> Tick:
    """The row of a tick of the job that makes no execution, or of a run of them: see ``Tick``."""
    return Tick(tick_id(job.incarnation, key), job.id, key, due, now, outcome, None, reason, until, count, at_least)
