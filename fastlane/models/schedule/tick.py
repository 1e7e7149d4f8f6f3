"""A tick: one due time of a job. Its key identifies it within the job; the ids of everything it creates derive from it."""

from dataclasses import dataclass
from enum import StrEnum

from fastlane.models.access import Requester
from fastlane.models.execution import Execution
from fastlane.models.ids import derived_id, new_id
from fastlane.models.job import Job
from fastlane.models.schedule.schedule import Overlap


class Outcome(StrEnum):
    """What became of a tick: it created its execution, which waited for an earlier one to end (``queued``), perhaps because that was to be
    stopped first (``replaced``); or the reason why it created none."""

    STARTED = "started"
    QUEUED = "queued"
    REPLACED = "replaced"
    SKIPPED = "skipped"
    MISSED = "missed"
    EXPIRED = "expired"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class OverlapDecision:
    """What a tick comes to beside earlier executions of its job: ``waits`` is the rule by which its execution waits for them (None: it does
    not, or there is none)."""

    outcome: Outcome
    reason: str | None = None
    waits: Overlap | None = None


STARTS = OverlapDecision(Outcome.STARTED)


@dataclass(frozen=True, slots=True)
class Tick:
    """A row of the tick ledger. ``due`` and ``created_at`` are in milliseconds. A run of missed ticks is one row: ``due`` is the first due
    time, ``until`` the last, ``count`` their number (``at_least``: or more)."""

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
    """The key of the only tick of a job that runs once, under this revision of its schedule."""
    return f"a:{schedule_revision}"


def cron_key(due: int) -> str:
    """The key of a cron's tick that is due at ``due`` (milliseconds)."""
    return f"c:{due}"


def manual_key(now: int) -> str:
    """A new key, for a tick that a user requested at ``now`` (milliseconds)."""
    return f"r:{new_id(now)}"


def tick_id(incarnation: str, key: str) -> str:
    """A tick's id. Every process derives the same one; a job that is deleted and created again gets different ones."""
    return derived_id(incarnation, key)


def execution_id(tick_id: str, attempt: int) -> str:
    """The id of a tick's execution; ``attempt`` counts from 1."""
    return derived_id(tick_id, str(attempt))


def next_execution(before: Execution, *, due: int, now: int) -> Execution:
    """The attempt after ``before`` at the same tick, due at ``due``. It expires when the first attempt does, and runs the same image."""
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


def make_tick(
    job: Job, key: str, *, sequence: int, due: int, now: int, by: Requester | None = None, met: OverlapDecision = STARTS
) -> tuple[Tick, Execution]:
    """Creates a tick of the job and its first execution. ``due`` and ``now`` are in milliseconds. ``by``: the requester of this tick; None:
    the requester of the job. ``met``: what was decided because of earlier executions."""
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
        waits=met.waits,
    )
    return Tick(id, job.id, key, due, now, met.outcome, execution.id, met.reason), execution


def unstarted_tick(
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
    """Creates the row of a tick without an execution, or of a run of such ticks: see ``Tick``."""
    return Tick(tick_id(job.incarnation, key), job.id, key, due, now, outcome, None, reason, until, count, at_least)
