"""A backfill: due times of a job's cron that have passed without a success, and are run now. Which due times these are, how it goes on by
one of them, and when it is over: pure rules. A record says what remains, so that any process can go on with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from fastlane.models.access import Requester
from fastlane.models.event import Event, EventKind
from fastlane.models.ids import IdempotencyRecord, derived_id
from fastlane.models.job import Job
from fastlane.models.job_change import TOO_LATE, JobChange
from fastlane.models.schedule import expiry
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, Tick, backfill_key, execution_id, make_tick, tick_id, unstarted_tick

MOST_DUE_TIMES, MOST_AT_ONCE = 1_000, 50
"""Due times of a backfill, and its executions that may be under way at the same time."""
KEPT = 30 * 86_400_000
"""Milliseconds for which the record of an ended backfill is kept."""
STOPPED, JOB_STOPPED, JOB_GONE = "it was stopped", "the job was stopped", "the job was deleted"
RUNS_EVERYWHERE = "the job runs everywhere; a backfill is for jobs with one execution for each due time"


class BackfillState(StrEnum):
    """How far a backfill is."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Backfill:
    """The backfill of a job: a job has one at a time, so the record has the job's ``id``. Moments are in milliseconds.

    ``request``: its own id, part of the keys of its ticks. ``since`` and ``until``: the range that was asked for. ``remaining``: the due
    times that have no tick yet, oldest first; ``open``: those whose execution may be under way. ``sequence``: the job's when it was asked
    for, so that a later stop of the job ends it.
    """

    id: str
    task_id: str
    incarnation: str
    request: str
    created_at: int
    since: int
    until: int
    most: int
    total: int
    remaining: tuple[int, ...]
    sequence: int
    open: tuple[int, ...] = ()
    succeeded: int = 0
    failed: int = 0
    expired: int = 0
    state: BackfillState = BackfillState.RUNNING
    reason: str | None = None
    ended_at: int | None = None
    requested_by: Requester | None = None
    version: int = 1

    @property
    def started(self) -> int:
        """How many of its due times have got an execution."""
        return self.total - len(self.remaining) - self.expired

    def key_of(self, due: int) -> str:
        """The key of its tick for a due time."""
        return backfill_key(self.request, due)

    def attempt_id(self, due: int, attempt: int = 1) -> str:
        """The id of an attempt at a due time, from 1 on."""
        return execution_id(tick_id(self.incarnation, self.key_of(due)), attempt)


def over(backfill: Backfill, job: Job | None) -> str | None:
    """Why the backfill ends before its due times do; None when it goes on. ``job`` is the one that has its id now."""
    if job is None or job.incarnation != backfill.incarnation:
        return JOB_GONE
    if job.spec.everywhere is not None:
        return RUNS_EVERYWHERE
    return JOB_STOPPED if job.stops(backfill.sequence) else None


def may_go_on(backfill: Backfill, job: Job) -> bool:
    """Whether the next due time may get its execution: the job is not paused, and fewer than ``most`` are under way."""
    return bool(backfill.remaining) and not job.paused and len(backfill.open) < backfill.most


def in_words(backfill: Backfill, job: Job, show: Callable[[int], str]) -> str:
    """How far a backfill is, and what it waits for. ``show`` writes a moment."""
    ended = backfill.succeeded + backfill.failed + backfill.expired
    so_far = f"a backfill runs {backfill.total:,} due times, {backfill.most:,} at once: {ended:,} have ended, {len(backfill.open):,} run"
    if not backfill.remaining:
        return so_far
    held = ", held until someone resumes the job" if job.paused else ""
    return f"{so_far}, and {len(backfill.remaining):,} are left, the next one of {show(backfill.remaining[0])}{held}"


def step(job: Job, backfill: Backfill, *, now: int) -> JobChange:
    """The tick of the next due time, and its execution: with the job's details of now, beside everything else of the job. It expires
    counted from the request, and a tick that has is a row of the ledger only."""
    due, key = backfill.remaining[0], backfill.key_of(backfill.remaining[0])
    after = replace(job, sequence=job.sequence + 1)
    expires_at = expiry(backfill.created_at, job.spec.expires_in, job.spec.expiration)
    if expires_at is not None and now >= expires_at:
        row = unstarted_tick(job, key, Outcome.EXPIRED, due=due, now=now, reason=f"{TOO_LATE}, counted from the backfill's request")
        return JobChange(after, (row,))
    spec = replace(job.spec, due_at=due, backfill=backfill.request)
    tick, execution = make_tick(replace(after, spec=spec), key, sequence=after.sequence, due=now, now=now, by=backfill.requested_by)
    return JobChange(after, (replace(tick, due=due),), execution.changed({"expires_at": expires_at}))


def receipt(backfill: Backfill, change: JobChange, *, now: int) -> IdempotencyRecord:
    """The record that is written with a step, so that a step which was made is not made again, even when retention has removed its tick."""
    execution = None if change.execution is None else change.execution.id
    key = backfill.key_of(backfill.remaining[0])
    return IdempotencyRecord(key, "", now, backfill.task_id, backfill.id, tick_id(backfill.incarnation, key), execution)


def stepped(backfill: Backfill, outcome: Outcome | None) -> Backfill:
    """The record after the step of the next due time was written. ``outcome``: of its tick; None: that is gone already."""
    due, *rest = backfill.remaining
    has_expired = outcome is Outcome.EXPIRED
    return replace(
        backfill,
        remaining=tuple(rest),
        open=backfill.open if has_expired else (*backfill.open, due),
        expired=backfill.expired + has_expired,
        version=backfill.version + 1,
    )


def closed(backfill: Backfill, ended: Mapping[int, Status | None]) -> Backfill:
    """The record after executions of these due times have ended, with their last status (None: it is not known any more)."""
    statuses = list(ended.values())
    return replace(
        backfill,
        open=tuple(due for due in backfill.open if due not in ended),
        succeeded=backfill.succeeded + statuses.count(Status.DONE),
        failed=backfill.failed + len([one for one in statuses if one not in (Status.DONE, None)]),
        version=backfill.version + 1,
    )


def ended(backfill: Backfill, reason: str | None, *, now: int) -> Backfill:
    """The record at its end. ``reason``: why it ended early."""
    state = BackfillState.FINISHED if reason is None else BackfillState.STOPPED
    return replace(backfill, state=state, reason=reason, ended_at=now, version=backfill.version + 1)


def as_it_is(backfill: Backfill, job: Job | None, last: Mapping[int, Status | None], *, now: int) -> Backfill:
    """The backfill as it is now, under its stored version: the record says how executions ended, and that all is over, once a worker has
    looked. ``last``: the last status of the execution of each due time in ``open``; None: it is not known any more."""
    over_by_now = {due: status for due, status in last.items() if status is None or status.final}
    now_is = closed(backfill, over_by_now) if over_by_now else backfill
    if now_is.ended_at is None:
        reason = over(backfill, job)
        if reason is not None or not (now_is.remaining or now_is.open):
            now_is = ended(now_is, reason, now=now)
    return replace(now_is, version=backfill.version)


def begun_event(backfill: Backfill, by: Requester | None) -> Event:
    """That somebody asked for the backfill."""
    names: Mapping[str, Any] = {"task_id": backfill.task_id, "job_id": backfill.id, "id": derived_id(backfill.request, "begun")}
    detail: Mapping[str, Any] = {"backfill": backfill.request, "due": backfill.since, "until": backfill.until, "count": backfill.total}
    return Event.now(EventKind.BACKFILL_BEGUN, backfill.created_at, by, **names, **detail)


def ended_event(backfill: Backfill, by: Requester | None = None) -> Event:
    """That the backfill has ended: what became of its due times, and why it ended if that was early."""
    names: Mapping[str, Any] = {"task_id": backfill.task_id, "job_id": backfill.id, "id": derived_id(backfill.request, "ended")}
    counts: Mapping[str, Any] = {
        "succeeded": backfill.succeeded,
        "failed": backfill.failed,
        "expired": backfill.expired,
        "left": len(backfill.remaining),
    }
    early: Mapping[str, Any] = {} if backfill.reason is None else {"reason": backfill.reason}
    return Event.now(
        EventKind.BACKFILL_ENDED, backfill.ended_at or backfill.created_at, by, **names, backfill=backfill.request, **counts, **early
    )


@dataclass(frozen=True, slots=True)
class Found:
    """The due times of a range: those to run, oldest first, and how many have a success or an execution under way."""

    due: tuple[int, ...]
    succeeded: int = 0
    under_way: int = 0


def without_success(due: Sequence[int], ended: Mapping[int, Sequence[Status]]) -> Found:
    """Which of these due times are to be run. ``ended``: the statuses of all executions that stand for each, if it has any."""
    done = {one for one in due if Status.DONE in ended.get(one, ())}
    running = {one for one in due if one not in done and any(not status.final for status in ended.get(one, ()))}
    return Found(tuple(one for one in due if one not in done and one not in running), len(done), len(running))


def own_ticks(job: Job, ticks: Sequence[Tick]) -> list[Tick]:
    """The rows among these that belong to this job, and not to a deleted one under its id."""
    return [tick for tick in ticks if tick.id == tick_id(job.incarnation, tick.key)]
