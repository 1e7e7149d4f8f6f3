"""What brings a job on by a compare-and-set, and what a PUT, a run by hand, a pause and a resume make of it: pure rules of the job as it
is, of what is wanted, and of the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastlane.models.access import Requester
from fastlane.models.execution import Execution
from fastlane.models.job import Job, Spec
from fastlane.models.schedule.cron import Cron, last_tick, next_tick
from fastlane.models.schedule.firing import Missed, Timing, run_of
from fastlane.models.schedule.schedule import Schedule, ScheduleKind
from fastlane.models.schedule.tick import Outcome, Tick, cron_key, hand_key, make, once_key, tick_id, unstarted

HELD = "the job was paused"
REPLACED = "the job got other details before it fired"
STOPPED = "the job was stopped before it fired"
TOO_LATE = "its time to start was over when it came up"


@dataclass(frozen=True, slots=True)
class JobChange:
    """What a step comes to: the job after it, the rows that its ledger gets, and the execution that starts, if one does."""

    job: Job
    ticks: Sequence[Tick] = ()
    execution: Execution | None = None


def timing_of(job: Job) -> Timing:
    """A job's rules for its ticks."""
    schedule, spec = job.schedule, job.spec
    return Timing(schedule.cron, schedule.overlap, schedule.catch_up, spec.expires_in, spec.expiration)


def row_of(job: Job, run: Missed, outcome: Outcome, *, now: int) -> Tick:
    """The ledger's row of a run of a cron's ticks that did not fire."""
    key = cron_key(run.first)
    until, count, at_least = run.last, run.count, run.at_least
    return unstarted(job, key, outcome, due=run.first, now=now, reason=run.reason, until=until, count=count, at_least=at_least)


def next_tick_id(job: Job) -> str:
    """The id of the job's next tick, which it has before it fires; of a cron that never comes again: of none that will be."""
    cron = job.schedule.cron is not None and job.next_tick is not None
    return tick_id(job.incarnation, cron_key(job.next_tick or 0) if cron else once_key(job.schedule_revision))


def create(
    task_id: str, spec: Spec, schedule: Schedule, *, id: str, incarnation: str, revision: int, now: int, by: Requester | None
) -> JobChange:
    """A job as it begins. One that runs now gives its first number to its tick; a later one's tick takes it when it is due."""
    at_once = schedule.kind is ScheduleKind.NOW
    job = Job(
        id=id,
        task_id=task_id,
        incarnation=incarnation,
        created_at=now,
        modified_at=now,
        spec=spec,
        schedule=schedule,
        revision=revision,
        sequence=1 if at_once else 0,
        next_tick=schedule.first_tick(now),
        last_tick=now if at_once else None,
        requested_by=by,
    )
    return _started(job, now) if at_once else JobChange(job)


def put(job: Job, spec: Spec, schedule: Schedule, *, now: int, by: Requester | None) -> JobChange:
    """The job with other details, armed again as if it were new. A cron that is the same (expression and zone), and has a tick to come,
    keeps it; any other one's next tick lies after ``now`` and after its last one, so that no due time is met twice."""
    same = schedule.cron is not None and schedule.cron == job.schedule.cron
    at_once = schedule.kind is ScheduleKind.NOW
    keeps = same and job.next_tick is not None
    rows, last = ([], job.last_tick) if keeps else unfired(job, Outcome.SKIPPED, REPLACED, now=now)
    last = now if at_once else last
    coming = job.next_tick if keeps else schedule.first_tick(max(now, last or now))
    after = replace(
        job,
        modified_at=now,
        spec=spec,
        schedule=schedule,
        revision=job.revision + 1,
        schedule_revision=job.schedule_revision + (0 if same else 1),
        sequence=job.sequence + 1,
        next_tick=coming,
        last_tick=last,
        requested_by=by,
        armed=job.sequence + 1,
        held_tick=None,
    )
    advance = _started(after, now) if at_once else JobChange(after)
    return replace(advance, ticks=(*rows, *advance.ticks))


def run_now(job: Job, spec: Spec, *, now: int, by: Requester | None) -> JobChange:
    """One more tick of the job, due now, which runs ``spec``. Its schedule, its pause and its stop stay as they are: the stop does not
    cover what has a later number."""
    after = replace(job, sequence=job.sequence + 1)
    tick, execution = make(replace(after, spec=spec), hand_key(now), sequence=after.sequence, due=now, now=now, by=by)
    return JobChange(after, (tick,), execution)


def pause(job: Job, *, now: int) -> Job:
    """The job with its next tick held. It must have one."""
    if job.next_tick is None:
        raise ValueError(f"job {job.id} has no tick to come")
    return replace(job, modified_at=now, revision=job.revision + 1, next_tick=None, held_tick=job.next_tick)


def resume(job: Job, *, now: int) -> JobChange:
    """The job with its tick released. What runs once keeps its moment, be it over; a cron's ticks that came up meanwhile become one row,
    and the next one comes after ``now``. Where its ``expiration`` came meanwhile it ends as it would have: the first tick after that is
    a row ``expired``, and no other follows."""
    rows, last, coming = _held(job, now)
    after = replace(job, modified_at=now, revision=job.revision + 1, next_tick=coming, last_tick=last, held_tick=None)
    return JobChange(after, rows)


def _started(job: Job, now: int) -> JobChange:
    """A job that runs now, under the number that it gave out last."""
    tick, execution = make(job, once_key(job.schedule_revision), sequence=job.sequence, due=now, now=now)
    return JobChange(job, (tick,), execution)


def unfired(job: Job, outcome: Outcome, why: str, *, now: int) -> tuple[list[Tick], int | None]:
    """The rows of a job's ticks that came up by ``now`` and will not fire any more, since it is stopped or gets other details: they were
    held, or else ``outcome`` and ``why`` say what became of them. And the job's last tick then."""
    if job.paused:
        outcome, why = Outcome.SKIPPED, HELD
    due = job.held_tick if job.next_tick is None else job.next_tick
    if due is None or due > now:
        return [], job.last_tick
    if job.schedule.cron is None:
        return [unstarted(job, once_key(job.schedule_revision), outcome, due=due, now=now, reason=why)], due
    rows, last, _ = _come_up(job, due, outcome, why, now=now)
    return rows, last


def _held(job: Job, now: int) -> tuple[list[Tick], int | None, int | None]:
    """What has become of a held tick by ``now``: rows of the ledger, the job's last tick then, and its next one."""
    held = job.held_tick
    if job.schedule.cron is None or held is None or held > now:
        return [], job.last_tick, held
    return _come_up(job, held, Outcome.SKIPPED, HELD, now=now)


def _come_up(job: Job, first: int, outcome: Outcome, why: str, *, now: int) -> tuple[list[Tick], int, int | None]:
    """The rows of a cron's ticks from ``first``, which is one of them, to ``now``; the last of them, and the next one. Where its
    ``expiration`` has come the first tick after that is the last."""
    cron, end = job.schedule.cron, job.spec.expiration
    if cron is None:
        raise ValueError(f"job {job.id} has no cron")
    rows, last = [], first
    until = now if end is None else min(now, end - 1)
    if first <= until:
        last = last_tick(cron, first, until) or first
        rows.append(row_of(job, run_of(cron, first, last, why), outcome, now=now))
    late = None if end is None else _first_from(cron, max(first, end))
    if late is None or late > now:
        return rows, last, next_tick(cron, now)
    rows.append(unstarted(job, cron_key(late), Outcome.EXPIRED, due=late, now=now, reason=f"{TOO_LATE}: {why}"))
    return rows, late, None


def _first_from(cron: Cron, moment: int) -> int | None:
    return next_tick(cron, moment - 1)
