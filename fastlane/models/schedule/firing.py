"""Which of a job's due ticks fires now, which were missed, and which is next. The work is bounded, however long the timer was away.

One call decides at most one tick that fires and one run of missed ticks. When another is due, ``next_tick`` is in the past, and the
next call decides it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fastlane.models.execution import Execution
from fastlane.models.schedule.cron import Cron, last_tick, next_tick, ticks_between
from fastlane.models.schedule.overlap import meet
from fastlane.models.schedule.schedule import CatchUp, Overlap, expiry
from fastlane.models.schedule.tick import Outcome, OverlapDecision

GRACE = 60_000
"""Milliseconds by which a cron's tick may be late and still count as on time: longer than a restart or fail-over, and short enough that a
job that runs every minute does not get two at once."""

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
    firing, last_missed = _split(cron, timing.catch_up, due, now)
    why = f"was due more than a minute before anything could start it (catchUp: {timing.catch_up})"
    missed = None if last_missed is None else missed_ticks(cron, due, last_missed, why)
    if firing is None:
        return Decision(None, missed, next_tick(cron, last_missed or due))
    over = timing.expiration is not None and firing >= timing.expiration
    following = None if over else next_tick(cron, firing)
    return Decision(_outcome(timing, firing, others, now, refused), missed, following)


def _split(cron: Cron, catch_up: CatchUp, due: int, now: int) -> tuple[int | None, int | None]:
    """The tick that fires now, and the last one that was missed. ``due`` is the first due tick."""
    in_time = now - GRACE
    if due >= in_time:
        return due, None
    last = last_tick(cron, due, in_time - 1) or due
    fresh = next_tick(cron, in_time - 1)
    if fresh is not None and fresh <= now:
        return fresh, last
    if catch_up is CatchUp.NONE:
        return None, last
    return last, last_tick(cron, due, last - 1) or (due if due < last else None)


def missed_ticks(cron: Cron, first: int, last: int, reason: str) -> MissedTicks:
    """The run of ticks from the due time ``first`` to the due time ``last``."""
    later = ticks_between(cron, first, last, MAX_COUNTED - 1)
    at_least = bool(later) and later[-1] < last
    return MissedTicks(first, last, 1 + len(later), at_least, reason)


def _outcome(timing: FiringRules, due: int, others: Sequence[Execution], now: int, refused: str | None) -> DueTick:
    """The outcome of the tick that fires now."""
    expires_at = timing.expires_at(due)
    if expires_at is not None and now >= expires_at:
        return DueTick(due, OverlapDecision(Outcome.EXPIRED, "it had expired by the time a worker looked at it"))
    if refused is not None:
        return DueTick(due, OverlapDecision(Outcome.SKIPPED, refused))
    return DueTick(due, meet(timing.overlap, others))
