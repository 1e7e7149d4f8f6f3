"""A tick: one due time of a job. Its key identifies it within the job; the ids of everything it creates derive from it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from fastlane.models.access import Requester
from fastlane.models.cron import Cron, last_tick, next_tick, ticks_between
from fastlane.models.ids import derived_id, new_id
from fastlane.models.job import Execution, Job, Spec, is_under_way
from fastlane.models.retry import FailureReason, Remedy, more_memory
from fastlane.models.run_target import RunTarget
from fastlane.models.schedule import CatchUp, EntryRules, Overlap, Schedule, ScheduleKind, expiry
from fastlane.models.skip_dates import KnownDates, SkippedDates


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
    time, ``until`` the last, ``count`` their number (``at_least``: or more). ``entries``: which of several entries of a cron it came from,
    for people."""

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
    entries: str | None = None


def once_key(schedule_revision: int) -> str:
    """The key of the only tick of a job that runs once, under this revision of its schedule."""
    return f"a:{schedule_revision}"


def cron_key(due: int) -> str:
    """The key of a cron's tick that is due at ``due`` (milliseconds)."""
    return f"c:{due}"


def chain_key(execution_ids: Sequence[str]) -> str:
    """The key of the tick that follows the ends of these executions, in any order."""
    return f"e:{','.join(sorted(execution_ids))}"


def manual_key(now: int) -> str:
    """A new key, for a tick that a user requested at ``now`` (milliseconds)."""
    return f"r:{new_id(now)}"


def backfill_key(request: str, due: int) -> str:
    """The key of the tick that a backfill, by its id, makes for a due time (milliseconds)."""
    return f"b:{request}:{due}"


class TickOrigin(StrEnum):
    """Where a tick came from."""

    START = "start"
    SCHEDULE = "schedule"
    HAND = "hand"
    BACKFILL = "backfill"
    AFTER = "after"


ORIGINS = {"a": TickOrigin.START, "c": TickOrigin.SCHEDULE, "r": TickOrigin.HAND, "b": TickOrigin.BACKFILL, "e": TickOrigin.AFTER}


def origin_of(key: str) -> TickOrigin | None:
    """Where the tick with this key came from; None for a key that a newer fastlane made."""
    return ORIGINS.get(key.partition(":")[0])


def is_scheduled(key: str) -> bool:
    """Whether a tick with this key stands for a due time of a cron: its own, or by a backfill."""
    return key.startswith(("c:", "b:"))


def tick_id(incarnation: str, key: str) -> str:
    """A tick's id. Every process derives the same one; a job that is deleted and created again gets different ones."""
    return derived_id(incarnation, key)


def execution_id(tick_id: str, attempt: int, target: RunTarget | None = None) -> str:
    """The id of a tick's execution; ``attempt`` counts from 1. The executions of a tick that runs everywhere have the target in theirs, but
    for the lead, which is there before the targets are."""
    if target is None or target.place == 0:
        return derived_id(tick_id, str(attempt))
    return derived_id(tick_id, f"{attempt}/{target.swarm}/{target.node or ''}")


def following_id(before: Execution) -> str:
    """The id of the attempt after this one."""
    return execution_id(before.tick_id, before.attempt + 1, before.spec.target)


def next_spec(before: Execution, limit: int | None) -> Spec:
    """What the attempt after ``before`` runs: with more memory after one that ran out of it, as its ``on_oom`` says, and not on the host
    that was lost, if there is another. ``limit``: the most memory that its pool allows (bytes)."""
    spec, reason = before.spec, None if before.failure is None else before.failure.reason
    had, remedy = spec.resources.memory, Remedy(before.host if reason is FailureReason.HOST_LOST else None)
    if reason is FailureReason.OOM and spec.on_oom is not None and had is not None:
        memory = more_memory(spec.on_oom, had, [limit])
        if memory > had:
            spec, remedy = replace(spec, resources=replace(spec.resources, memory=memory)), replace(remedy, memory=had)
    return replace(spec, remedy=remedy if remedy != Remedy() else None, plan=None)


def next_execution(before: Execution, *, due: int, now: int, limit: int | None = None) -> Execution:
    """The attempt after ``before`` at the same tick, due at ``due``. It expires when the first attempt does, and runs the same image.
    ``limit``: as for ``next_spec``."""
    attempt = before.attempt + 1
    return Execution(
        id=following_id(before),
        task_id=before.task_id,
        job_id=before.job_id,
        tick_id=before.tick_id,
        attempt=attempt,
        sequence=before.sequence,
        spec=next_spec(before, limit),
        scheduled_for=due,
        created_at=now,
        expires_at=before.expires_at,
        requested_by=before.requested_by,
        image_reference=None if before.spec.service else before.image_reference,
        incarnation=before.incarnation,
        upstream=before.upstream,
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
) -> Tick:
    """Creates the row of a tick without an execution."""
    return Tick(tick_id(job.incarnation, key), job.id, key, due, now, outcome, None, reason)


BY_OVERLAP = " (overlap: "
"""How the words end with which a row of the ledger says that its job's ``overlap`` decided."""


def meet(overlap: Overlap, others: Sequence[Execution]) -> OverlapDecision:
    """What a tick of the job, or a run by hand, comes to. One at most waits: with ``queue`` a second is skipped, with ``replace`` the later
    one also takes the place of the one that waits."""
    under_way = [one for one in others if is_under_way(one) and one.spec.backfill is None]
    if not under_way or overlap is Overlap.ALLOW:
        return STARTS
    earlier = next((one for one in under_way if one.waits is None), under_way[0])
    still, by = f"execution {earlier.id} of the job was still under way", f"{BY_OVERLAP}{overlap})"
    if overlap is Overlap.SKIP:
        return OverlapDecision(Outcome.SKIPPED, f"{still}{by}")
    if overlap is Overlap.REPLACE:
        return OverlapDecision(Outcome.REPLACED, f"{still}, and had to stop first{by}", overlap)
    waiting = next((one for one in under_way if one.waits is not None), None)
    if waiting is not None:
        return OverlapDecision(Outcome.SKIPPED, f"{still}, and {waiting.id} waited for it already{by}")
    return OverlapDecision(Outcome.QUEUED, f"{still}, and had to end first{by}", overlap)


def met_other(tick: Tick, overlap: Overlap) -> bool:
    """Whether another execution of the job decided what became of it, by this rule."""
    return tick.reason is not None and f"{BY_OVERLAP}{overlap})" in tick.reason


def awaited(job: Job | None, waiting: Execution, others: Sequence[Execution]) -> list[Execution]:
    """What an execution of the job that waits has to wait for, oldest first. Nothing once its job allows overlap, was deleted or stopped:
    in the last two cases, the worker that claims it ends it."""
    if job is None or not waiting.belongs_to(job) or job.stops(waiting.sequence) or job.schedule.always_overlaps:
        return []
    return [one for one in others if _comes_first(one, waiting)]


def replaced(waiting: Execution, awaited: Sequence[Execution]) -> list[Execution]:
    """The awaited executions that are to be stopped for it: all older ones, if it is to replace them."""
    if waiting.waits is not Overlap.REPLACE:
        return []
    return [one for one in awaited if one.sequence < waiting.sequence and not one.status.final and one.stop_requested_at is None]


def _comes_first(one: Execution, waiting: Execution) -> bool:
    return (
        one.spec.backfill is None and is_under_way(one) and one.id != waiting.id and (one.waits is None or one.sequence < waiting.sequence)
    )


GRACE = 60_000
"""Milliseconds by which a cron's tick may be late and still count as on time: longer than a restart or fail-over, and short enough that a
job that runs every minute does not get two at once."""

CALENDAR = "calendar: it was due on a date of skipDates ({})"
NO_CALENDAR = "calendar unknown: skipDates names the {}, so nothing tells whether it was to run on that date"
MAX_COUNTED = 1_500
"""Missed ticks are counted up to this number, more than a day of minutes; a longer run has "at least" as many."""


@dataclass(frozen=True, slots=True)
class FiringRules:
    """A job's rules for its ticks. Without ``cron`` the job has one tick, now or at a given time.

    ``expires_in`` is a duration after each due time, ``expiration`` a moment, both in milliseconds; the earlier one counts.
    """

    cron: Cron | None = None
    overlap: Overlap = Overlap.ALLOW
    catch_up: CatchUp = CatchUp.LATEST
    expires_in: int | None = None
    expiration: int | None = None
    entries: tuple[EntryRules, ...] = ()
    skip: tuple[SkippedDates, ...] = ()
    known: KnownDates | None = None

    @property
    def schedule(self) -> Schedule:
        """The schedule that has these rules, as far as they are about its ticks."""
        return Schedule(ScheduleKind.CRON, None, self.cron, self.overlap, self.catch_up, self.entries, skip=self.skip, known=self.known)

    def expires_at(self, due: int) -> int | None:
        """The latest moment at which the container of a tick due at ``due`` may start; None without one."""
        return expiry(due, self.expires_in, self.expiration)


@dataclass(frozen=True, slots=True)
class DueTick:
    """The tick that is decided now: when it was due, and what it comes to."""

    due: int
    met: OverlapDecision


@dataclass(frozen=True, slots=True)
class MissedTicks:
    """A run of ticks that did not fire, one row of the ledger: the due times of the first and the last, and their count.

    ``at_least``: there were more than ``count``.
    """

    first: int
    last: int
    count: int
    at_least: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What the timer does now. ``next_tick`` is the due time of the job's next tick, None if none comes."""

    tick: DueTick | None
    missed: MissedTicks | None
    next_tick: int | None


def decide(timing: FiringRules, due: int, *, others: Sequence[Execution] = (), now: int, refused: str | None = None) -> Decision:
    """Decides what a job whose next tick is due at ``due`` does at ``now`` (milliseconds): nothing before that.

    ``others``: the job's executions that are under way (see ``overlap``). ``refused``: why a tick may not make an execution now.
    """
    if due > now:
        return Decision(None, None, due)
    cron = timing.cron
    if cron is None:
        return Decision(_outcome(timing, due, others, now, refused), None, None)
    firing, last_missed = _split(cron, timing.schedule.caught_up, due, now)
    rule = "of each entry" if timing.entries else timing.catch_up
    why = f"was due more than a minute before anything could start it (catchUp: {rule})"
    missed = None if last_missed is None else missed_ticks(cron, due, last_missed, why)
    if firing is None:
        return Decision(None, missed, next_tick(cron, last_missed or due))
    over = timing.expiration is not None and firing >= timing.expiration
    following = None if over else next_tick(cron, firing)
    return Decision(_outcome(timing, firing, others, now, refused), missed, following)


def _split(cron: Cron, caught_up: Cron | None, due: int, now: int) -> tuple[int | None, int | None]:
    """The tick that fires now, and the last one that was missed before it. ``due`` is the first due tick; ``caught_up``: the entries whose
    latest tick runs late."""
    in_time = now - GRACE
    if due >= in_time:
        return due, None
    last = last_tick(cron, due, in_time - 1) or due
    fresh = next_tick(cron, in_time - 1)
    if fresh is not None and fresh <= now:
        return fresh, last
    late = last if caught_up == cron else None if caught_up is None else last_tick(caught_up, due - 1, in_time - 1)
    if late is None:
        return None, last
    return late, last_tick(cron, due, late - 1) or (due if due < late else None)


def missed_ticks(cron: Cron, first: int, last: int, reason: str) -> MissedTicks:
    """The run of ticks from the due time ``first`` to the due time ``last``."""
    later = ticks_between(cron, first, last, MAX_COUNTED - 1)
    at_least = bool(later) and later[-1] < last
    return MissedTicks(first, last, 1 + len(later), at_least, reason)


def _outcome(timing: FiringRules, due: int, others: Sequence[Execution], now: int, refused: str | None) -> DueTick:
    """The outcome of the tick that fires now. The one that ends a schedule says so, also on a date that is skipped."""
    is_over = timing.expiration is not None and due >= timing.expiration
    if not is_over and (dates := timing.schedule.skipped_at(due)) is not None:
        return DueTick(due, OverlapDecision(Outcome.SKIPPED, CALENDAR.format(dates)))
    if not is_over and (unknown := timing.schedule.unknown_at(due)) is not None:
        return DueTick(due, OverlapDecision(Outcome.SKIPPED, NO_CALENDAR.format(unknown)))
    expires_at = timing.expires_at(due)
    if expires_at is not None and now >= expires_at:
        return DueTick(due, OverlapDecision(Outcome.EXPIRED, "it had expired by the time a worker looked at it"))
    if refused is not None:
        return DueTick(due, OverlapDecision(Outcome.SKIPPED, refused))
    return DueTick(due, meet(timing.schedule.overlap_at(due), others))
