"""What a job's due ticks come to: which one fires now, which were missed, and which is next. Bounded, however long nobody looked.

One call decides at most one tick that fires and one run of missed ones. When one more is due, ``next_tick`` lies in the past, and
the next call decides it.
"""

from dataclasses import dataclass

from fastlane.models.schedule.cron import Cron, last_tick, next_tick, ticks_between
from fastlane.models.schedule.schedule import CatchUp, Overlap, expiry
from fastlane.models.schedule.tick import Outcome

GRACE = 60_000
"""A tick of a cron is in time until it is this late: restarts and fail-overs last less, and no job of every minute gets two at once."""

MOST_COUNTED = 1_500
"""Missed ticks are counted up to here, more than a day of every minute; beyond it the count is "at least"."""


@dataclass(frozen=True, slots=True)
class Timing:
    """A job's rules for its ticks. ``cron`` None: the job has one tick, now or at a moment.

    ``expires_in`` is a duration after each due time, ``expiration`` a moment; both in milliseconds, and the earlier counts.
    """

    cron: Cron | None = None
    overlap: Overlap = Overlap.ALLOW
    catch_up: CatchUp = CatchUp.LATEST
    expires_in: int | None = None
    expiration: int | None = None

    def expires_at(self, due: int) -> int | None:
        """The moment by which the container of a tick due then must have started; None when there is none."""
        return expiry(due, self.expires_in, self.expiration)


@dataclass(frozen=True, slots=True)
class Due:
    """A tick that is decided now: ``STARTED`` (make its execution, which expires at ``expires_at``), ``SKIPPED`` or ``EXPIRED``."""

    due: int
    outcome: Outcome
    expires_at: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Missed:
    """A run of ticks that did not fire, one row of the ledger: the due times of the first and the last, and how many.

    ``at_least``: there were more than were counted.
    """

    first: int
    last: int
    count: int
    at_least: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What the timer does at ``now``. ``next_tick`` is the job's next one after this, None when none comes."""

    tick: Due | None
    missed: Missed | None
    next_tick: int | None


def decide(timing: Timing, due: int, *, running_before: bool, now: int) -> Decision:
    """What a job whose next tick is ``due`` comes to at ``now``; nothing before it is due. Milliseconds.

    ``running_before``: an execution of the job is under way or waits for its retry.
    """
    if due > now:
        return Decision(None, None, due)
    cron = timing.cron
    if cron is None:
        return Decision(_outcome(timing, due, running_before, now), None, None)
    firing, last_missed = _split(cron, timing.catch_up, due, now)
    why = f"was due more than a minute before anything could start it (catchUp: {timing.catch_up})"
    missed = None if last_missed is None else run_of(cron, due, last_missed, why)
    if firing is None:
        return Decision(None, missed, next_tick(cron, last_missed or due))
    over = timing.expiration is not None and firing >= timing.expiration
    following = None if over else next_tick(cron, firing)
    return Decision(_outcome(timing, firing, running_before, now), missed, following)


def _split(cron: Cron, catch_up: CatchUp, due: int, now: int) -> tuple[int | None, int | None]:
    """The tick that fires now, and the last one that was missed; ``due`` is the first that is due."""
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


def run_of(cron: Cron, first: int, last: int, reason: str) -> Missed:
    """The run of the ticks from ``first`` to ``last``, both of them ticks."""
    later = ticks_between(cron, first, last, MOST_COUNTED - 1)
    at_least = bool(later) and later[-1] < last
    return Missed(first, last, 1 + len(later), at_least, reason)


def _outcome(timing: Timing, due: int, running_before: bool, now: int) -> Due:
    """What the tick comes to that fires now."""
    expires_at = timing.expires_at(due)
    if expires_at is not None and now >= expires_at:
        return Due(due, Outcome.EXPIRED, expires_at, "its time to start was over when it came up")
    if running_before and timing.overlap is Overlap.SKIP:
        return Due(due, Outcome.SKIPPED, expires_at, "an earlier execution of the job was still under way (overlap: skip)")
    return Due(due, Outcome.STARTED, expires_at)
