"""The rules by which a job changes: create, put, edit, run now, fire, pause, resume. Each is a pure function of the job, the request and
the time, and returns the change that the store then writes by compare-and-set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from fastlane.models.access import Requester
from fastlane.models.cron import Cron, last_tick, next_tick
from fastlane.models.delivery import awaiting, watched
from fastlane.models.event import Event, EventKind
from fastlane.models.failing import Failing, begun_anew, paused_words
from fastlane.models.job import Execution, Job, Spec, tick_failed
from fastlane.models.run_target import further_numbers
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.tick import (
    STARTS,
    Decision,
    FiringRules,
    MissedTicks,
    Outcome,
    OverlapDecision,
    Tick,
    cron_key,
    decide,
    make_tick,
    manual_key,
    missed_ticks,
    once_key,
    tick_id,
    unstarted_tick,
)
from fastlane.models.unique import reserving
from fastlane.models.upstream import Upstream

UNSTARTED = frozenset({Outcome.SKIPPED, Outcome.EXPIRED})
"""The outcomes of a tick that comes due and makes no execution."""

TICK_EVENTS = {
    Outcome.SKIPPED: EventKind.TICK_SKIPPED,
    Outcome.MISSED: EventKind.TICK_MISSED,
    Outcome.EXPIRED: EventKind.TICK_EXPIRED,
}
"""The outcomes of ticks that are recorded as events."""

PAUSED = "the job was paused"
REPLACED = "the job got other details before it fired"
STOPPED = "the job was stopped before it fired"
STOOD_IN = "execution {} was run by hand in its place (reschedule)"
TOO_LATE = "it had expired by the time a worker looked at it"


@dataclass(frozen=True, slots=True)
class JobChange:
    """What is written in one commit: the job after the change, the ticks that are new in its ledger, and the execution of one of them.
    ``events`` record who did what."""

    job: Job
    ticks: Sequence[Tick] = ()
    execution: Execution | None = None
    events: Sequence[Event] = ()

    def with_event(self, kind: EventKind, now: int, by: Requester | None, **detail: Any) -> Self:
        """The same change, with an event that says who made it."""
        execution = None if self.execution is None else self.execution.id
        names: Mapping[str, Any] = {"task_id": self.job.task_id, "job_id": self.job.id, "execution_id": execution, **detail}
        return replace(self, events=(*self.events, Event.now(kind, now, by, **names)))

    def recorded(self, now: int) -> Sequence[Event]:
        """The events of the change: who did what, which ticks came to nothing, and why."""
        return (*self.events, *unstarted_events(self.job, self.ticks, now=now))


def unstarted_events(job: Job, ticks: Sequence[Tick], *, now: int) -> Sequence[Event]:
    """The events of ticks that make no execution, except ticks that a stop takes with it."""
    kinds = [(TICK_EVENTS[tick.outcome], tick) for tick in ticks if tick.outcome in TICK_EVENTS]
    ids: Mapping[str, Any] = {"task_id": job.task_id, "job_id": job.id}
    return [
        Event.now(
            kind,
            now,
            **ids,
            due=tick.due,
            until=tick.until,
            count=tick.count,
            reason=tick.reason,
        )
        for kind, tick in kinds
    ]


def firing_rules(job: Job) -> FiringRules:
    """The rules by which the job's ticks fire."""
    schedule, spec = job.schedule, job.spec
    own = spec.expires_in, spec.expiration, schedule.rules, schedule.skip, schedule.known
    return FiringRules(schedule.cron, schedule.overlap, schedule.catch_up, *own)


def missed_row(job: Job, run: MissedTicks, outcome: Outcome, *, now: int) -> Tick:
    """The ledger's row for a run of ticks of a cron that did not fire."""
    first = unstarted_tick(job, cron_key(run.first), outcome, due=run.first, now=now, reason=run.reason)
    return _named(job, replace(first, until=run.last, count=run.count, at_least=run.at_least))


def next_tick_id(job: Job) -> str:
    """The id that the job's next tick will have. For a cron without a next tick, an id that no tick will have."""
    cron_due = job.next_tick if job.schedule.cron is not None else None
    return tick_id(job.incarnation, once_key(job.schedule_revision) if cron_due is None else cron_key(cron_due))


def seed_of(task_id: str, name: str | None, job_id: str | None) -> str | None:
    """What the numbers of a new job's schedule follow from: its task and name, so that they are known before it is made and the same
    wherever a job of that name runs; or else its id. None for a job that has neither yet."""
    return f"{task_id}/{name}" if name else job_id


def resettled(job: Job, spec: Spec, schedule: Schedule, now: int) -> Schedule:
    """The schedule that a job is given. What was chosen for the job stays; a new interval counts from its last due time."""
    return schedule.settled(seed_of(job.task_id, spec.name, job.id), now if job.last_tick is None else job.last_tick, job.schedule)


@dataclass(frozen=True, slots=True)
class JobIdentity:
    """What tells a new job from all others, one with its id that was deleted included: see ``Job``."""

    task_id: str
    id: str
    incarnation: str
    revision: int


def create(new: JobIdentity, spec: Spec, schedule: Schedule, *, now: int, by: Requester | None) -> JobChange:
    """A new job. A job that runs now gives sequence 1 to its tick; another job's first tick takes it when it is due."""
    runs_now = schedule.kind is ScheduleKind.NOW
    schedule = schedule.settled(seed_of(new.task_id, spec.name, new.id), now)
    job = Job(
        id=new.id,
        task_id=new.task_id,
        incarnation=new.incarnation,
        created_at=now,
        modified_at=now,
        spec=spec,
        schedule=schedule,
        revision=new.revision,
        sequence=1 if runs_now else 0,
        next_tick=schedule.first_tick(now),
        last_tick=now if runs_now else None,
        requested_by=by,
    )
    job = reserving(watched(None, job, now))
    return _with_tick_now(job, now) if runs_now else JobChange(job)


def put(job: Job, spec: Spec, schedule: Schedule, *, now: int, by: Requester | None) -> JobChange:
    """The job with another spec and schedule, active again as if it were new. A cron that stays the same (expression and time zone) keeps
    its next tick; otherwise the next tick comes after ``now`` and after the last tick, so that no due time fires twice."""
    schedule = resettled(job, spec, schedule, now)
    same_cron = schedule.cron is not None and schedule.cron == job.schedule.cron
    runs_now = schedule.kind is ScheduleKind.NOW
    keeps_tick = same_cron and job.next_tick is not None
    rows, last = ([], job.last_tick) if keeps_tick else unfired(job, Outcome.SKIPPED, REPLACED, now=now)
    last = now if runs_now else last
    after = replace(
        job,
        modified_at=now,
        spec=spec,
        schedule=schedule,
        revision=job.revision + 1,
        schedule_revision=job.schedule_revision + (0 if same_cron else 1),
        sequence=job.sequence + 1,
        next_tick=job.next_tick if keeps_tick else schedule.first_tick(max(now, last or now)),
        last_tick=last,
        requested_by=by,
        armed=job.sequence + 1,
        held_tick=None,
        chain=None if job.chain is None else replace(job.chain, arrived=()),
        failing=begun_anew(job.failing, job.sequence + 1, is_counted=spec.counts_failures or job.spec.counts_failures),
    )
    after = reserving(watched(job, after, now))
    change = _with_tick_now(after, now) if runs_now else JobChange(after)
    return replace(change, ticks=(*rows, *change.ticks))


def edit(job: Job, spec: Spec, schedule: Schedule, *, now: int, by: Requester | None) -> JobChange:
    """The job with another spec and schedule. When its start changes it is active again, as after ``put``. Otherwise its next tick, pause
    and stop stay as they are, and the new rules apply to the ticks to come."""
    if not schedule.starts_as(job.schedule):
        return put(job, spec, schedule, now=now, by=by)
    schedule = resettled(job, spec, schedule, now)
    after = replace(job, modified_at=now, spec=spec, schedule=schedule, revision=job.revision + 1, requested_by=by)
    if after.next_tick is not None or after.paused or not spec.unique:  # else its execution waits, which runs what it was before
        after = reserving(after)
    return JobChange(watched(job, after, now))


@dataclass(frozen=True, slots=True)
class ManualTick:
    """How a tick that somebody asked for is made. ``met``: what was decided because of earlier executions. ``key``: the tick's, for a
    request that may be tried again, so that it makes one tick (None: a new key). ``stands_in``: it takes the place of the next tick.
    ``due``: the due time at which the ledger has it, unless it is now. ``upstream``: the ends of other jobs that it follows again."""

    met: OverlapDecision = STARTS
    key: str | None = None
    stands_in: bool = False
    due: int | None = None
    upstream: Upstream | None = None


USUAL = ManualTick()


def run_now(job: Job, spec: Spec, *, now: int, by: Requester | None, manner: ManualTick = USUAL) -> JobChange:
    """Adds a tick that is due now and runs ``spec``. The job's pause and stop stay as they are, and so does its schedule, unless the tick
    stands in for the next one, which then is a row of the ledger. A stop covers only ticks with a lower sequence."""
    after = replace(job, sequence=job.sequence + 1)
    key = manual_key(now) if manner.key is None else manner.key
    tick, execution = make_tick(replace(after, spec=spec), key, sequence=after.sequence, due=now, now=now, by=by, met=manner.met)
    tick = tick if manner.due is None else replace(tick, due=manner.due)
    execution = execution if manner.upstream is None else replace(execution, upstream=manner.upstream)
    after = replace(after, sequence=after.sequence + further_numbers(spec.everywhere))
    if not manner.stands_in:
        return JobChange(after, (tick,), execution)
    if job.next_tick is None:
        raise ValueError(f"job {job.id} has no next tick")
    due, cron = job.next_tick, job.schedule.cron
    own_key = once_key(job.schedule_revision) if cron is None else cron_key(due)
    row = _named(job, unstarted_tick(job, own_key, Outcome.SKIPPED, due=due, now=now, reason=STOOD_IN.format(execution.id)))
    following = None if cron is None else next_tick(cron, due)
    return JobChange(replace(after, next_tick=following, last_tick=due), (row, tick), execution)


def fire(job: Job, *, others: Sequence[Execution] = (), now: int, refused: str | None = None) -> JobChange:
    """How the job changes when it fires at ``now``. Its ``next_tick`` must be due. ``others``: its executions that are under way
    (see ``overlap``). ``refused``: why its tick may not make an execution."""
    if job.next_tick is None:
        raise ValueError(f"job {job.id} has no next tick")
    decision = decide(firing_rules(job), job.next_tick, others=others, now=now, refused=refused)
    sequence = job.sequence + 1
    ticks = [] if decision.missed is None else [missed_row(job, decision.missed, Outcome.MISSED, now=now)]
    tick, execution = _tick_of(job, decision, sequence, now)
    ticks += [] if tick is None else [tick]
    last = decision.tick.due if decision.tick else decision.missed.last if decision.missed else job.last_tick
    taken = 0 if execution is None else further_numbers(job.spec.everywhere)
    after = replace(job, sequence=sequence + taken, next_tick=decision.next_tick, last_tick=last)
    if execution is not None and decision.tick is not None:
        after = awaiting(after, decision.tick.due)
    return JobChange(after, ticks, execution)


def _tick_of(job: Job, decision: Decision, sequence: int, now: int) -> tuple[Tick | None, Execution | None]:
    if decision.tick is None:
        return None, None
    due, met = decision.tick.due, decision.tick.met
    key = cron_key(due) if job.schedule.cron is not None else once_key(job.schedule_revision)
    if met.outcome in UNSTARTED:
        return _named(job, unstarted_tick(job, key, met.outcome, due=due, now=now, reason=met.reason)), None
    by = job.requested_by
    if by is not None and job.schedule.cron is not None:
        by = replace(by, trace=None)  # a run of next year belongs to no request of today
    tick, execution = make_tick(job, key, sequence=sequence, due=due, now=now, by=by, met=met)
    return _named(job, tick), execution


def _named(job: Job, tick: Tick) -> Tick:
    """The row of one due time of the job's schedule, with the entries of the cron that it came from."""
    cron = job.schedule.cron
    return tick if cron is None or not cron.also or tick.count > 1 else replace(tick, entries=cron.due_at(tick.due))


def pause(job: Job, *, now: int) -> Job:
    """Holds the job's next tick; the job must have one. A pause by its failures is made with ``after_end``."""
    if job.next_tick is None:
        raise ValueError(f"job {job.id} has no tick to come")
    after = replace(job, modified_at=now, revision=job.revision + 1, next_tick=None, held_tick=job.next_tick)
    return watched(job, after, now)


def after_end(job: Job, execution: Execution, *, now: int) -> JobChange:
    """The job with the end of a tick, by the tick's last attempt; the same job when that changes nothing. A failure too many pauses it."""
    failed, before = tick_failed(execution), job.failing or Failing()
    after = before if failed is None else before.with_end(execution.sequence, failed=failed)
    if after == before:
        return JobChange(job)
    most, counted = job.spec.pause_after, replace(job, failing=after)
    if not failed or not most or after.count < most or job.next_tick is None or job.schedule.cron is None:
        return JobChange(counted)
    paused = pause(replace(counted, failing=replace(after, paused_by=execution.sequence)), now=now)
    names: Mapping[str, Any] = {"task_id": job.task_id, "job_id": job.id, "execution_id": execution.id, "reason": paused_words(most)}
    return JobChange(paused, events=[Event.now(EventKind.JOB_PAUSED, now, **names)])


def resume(job: Job, *, now: int) -> JobChange:
    """Releases the job's held tick. A job that runs once keeps its due time, even in the past. A cron's ticks that were due during the
    pause become one row, and its next tick comes after ``now``. If the job's ``expiration`` passed in that time, the first tick after it
    becomes a row with the outcome ``expired``, and no tick follows. The count of its failures begins again."""
    rows, last, following = _held_ticks(job, now)
    anew = begun_anew(job.failing, job.sequence, is_counted=job.spec.counts_failures)
    after = replace(job, modified_at=now, revision=job.revision + 1, next_tick=following, last_tick=last, held_tick=None, failing=anew)
    return JobChange(watched(job, after, now), rows)


def _with_tick_now(job: Job, now: int) -> JobChange:
    """Gives a job that runs now its tick, under the job's latest sequence."""
    tick, execution = make_tick(job, once_key(job.schedule_revision), sequence=job.sequence, due=now, now=now)
    return JobChange(replace(job, sequence=job.sequence + further_numbers(job.spec.everywhere)), (tick,), execution)


def unfired(job: Job, outcome: Outcome, why: str, *, now: int) -> tuple[list[Tick], int | None]:
    """The rows for a job's ticks that were due by ``now`` and will not fire, because the job is stopped or replaced; and the job's last
    tick after them. ``outcome`` and ``why`` apply unless the job was paused."""
    if job.paused:
        outcome, why = Outcome.SKIPPED, pause_reason(job)
    due = job.held_tick if job.next_tick is None else job.next_tick
    if due is None or due > now:
        return [], job.last_tick
    if job.schedule.cron is None:
        return [unstarted_tick(job, once_key(job.schedule_revision), outcome, due=due, now=now, reason=why)], due
    rows, last, _ = _cron_rows(job, due, outcome, why, now=now)
    return rows, last


def pause_reason(job: Job) -> str:
    """Why the ticks of a paused job do not fire."""
    by_failures = job.failing is not None and job.failing.is_pause
    return f"{PAUSED}, since {paused_words(job.spec.pause_after)}" if by_failures and job.spec.pause_after else PAUSED


def _held_ticks(job: Job, now: int) -> tuple[list[Tick], int | None, int | None]:
    """The rows for what was due while the job was paused, and the job's last and next tick after them."""
    held = job.held_tick
    if job.schedule.cron is None or held is None or held > now:
        return [], job.last_tick, held
    return _cron_rows(job, held, Outcome.SKIPPED, pause_reason(job), now=now)


def _cron_rows(job: Job, first: int, outcome: Outcome, why: str, *, now: int) -> tuple[list[Tick], int, int | None]:
    """The rows for a cron's ticks from ``first`` (a tick) to ``now``, the last of these ticks, and the next one. The first tick after the
    job's ``expiration`` is the last."""
    cron, end = job.schedule.cron, job.spec.expiration
    if cron is None:
        raise ValueError(f"job {job.id} has no cron")
    rows, last = [], first
    until = now if end is None else min(now, end - 1)
    if first <= until:
        last = last_tick(cron, first, until) or first
        rows.append(missed_row(job, missed_ticks(cron, first, last, why), outcome, now=now))
    late = None if end is None else _first_from(cron, max(first, end))
    if late is None or late > now:
        return rows, last, next_tick(cron, now)
    rows.append(_named(job, unstarted_tick(job, cron_key(late), Outcome.EXPIRED, due=late, now=now, reason=f"{TOO_LATE}: {why}")))
    return rows, late, None


def _first_from(cron: Cron, moment: int) -> int | None:
    return next_tick(cron, moment - 1)
