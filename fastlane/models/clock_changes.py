"""What changes of the clocks do to the due times of a cron: which of its local times are left out, run at the change, or come twice.
``models.cron`` has the rules; this only says where they apply. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from fastlane.models.cron import LARGEST_GAP, Cron, interval, moment_of_change, offset_at, parse_fields, walls, zone

STEP = 43_200_000
"""Milliseconds between two looks at the clocks. No zone has changed its clocks, and back, within half a day."""
ALL_HOURS = 24
MILLISECOND = timedelta(milliseconds=1)


class ClockEffect(StrEnum):
    """What becomes of a local time on the day on which the clocks change."""

    MOVED = "moved"
    """It does not exist, and runs at the change."""
    LEFT_OUT = "leftOut"
    """It does not exist, and does not run."""
    ONCE = "once"
    """It comes twice, and runs the first time."""
    TWICE = "twice"
    """It comes twice, and runs both times."""


@dataclass(frozen=True, slots=True)
class ClockChange:
    """A change of the clocks of a zone at ``moment``. ``before`` and ``after``: how far they are ahead of UTC. All in milliseconds."""

    moment: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class TouchedTimes:
    """Local times of an entry of a cron that a change of the clocks touches: the first of them (``2027-03-28 02:30``), and their number."""

    moment: int
    effect: ClockEffect
    cron: str
    timezone: str
    first: str
    count: int

    def __str__(self) -> str:
        more = f" and {self.count - 1} more" if self.count > 1 else ""
        return f"{self.first}{more} in {self.timezone} ({self.cron}) {_WORDS[self.effect]}"


_WORDS = {
    ClockEffect.MOVED: "does not exist, since the clocks go ahead: it runs when they change",
    ClockEffect.LEFT_OUT: "does not exist, since the clocks go ahead: it does not run",
    ClockEffect.ONCE: "comes twice, since the clocks go back: it runs the first time only",
    ClockEffect.TWICE: "comes twice, since the clocks go back: it runs both times",
}


@lru_cache(maxsize=1024)
def clock_changes(timezone: str, since: int, until: int) -> tuple[ClockChange, ...]:
    """The changes of a zone's clocks from ``since`` to before ``until`` (milliseconds)."""
    where, found = zone(timezone), list[ClockChange]()
    before = since // STEP * STEP - STEP
    here = offset_at(where, before)
    while before < until:
        after = before + STEP
        there = offset_at(where, after)
        if there != here:
            found.append(ClockChange(moment_of_change(where, before, after), here, there))
        before, here = after, there
    return tuple(change for change in found if since <= change.moment < until)


def touched_times(cron: Cron, since: int, until: int) -> list[TouchedTimes]:
    """The local times that changes of the clocks from ``since`` to before ``until`` (milliseconds) touch. An entry that is due in each
    hour whatever the clocks show is not touched, and neither is an interval."""
    return [
        found
        for entry in cron.entries
        if interval(entry.text) is None
        for change in clock_changes(entry.timezone, since, until)
        if (found := _touched(entry, change)) is not None
    ]


def _touched(entry: Cron, change: ClockChange) -> TouchedTimes | None:
    fields = parse_fields(entry.text, entry.seed or "")
    if not fields.fixed and len(fields.hours) == ALL_HOURS:
        return None
    low, high = sorted((change.before, change.after))
    first, last = _wall(change.moment + low), _wall(change.moment + high)
    found: Sequence[datetime] = walls(fields, first, last)
    if not found:
        return None
    effect = _effect(change, is_fixed=fields.fixed)
    return TouchedTimes(change.moment, effect, entry.text, entry.timezone, f"{found[0]:%Y-%m-%d %H:%M}", len(found))


def _effect(change: ClockChange, *, is_fixed: bool) -> ClockEffect:
    if change.after < change.before:
        return ClockEffect.ONCE if is_fixed else ClockEffect.TWICE
    moves = is_fixed and change.after - change.before <= LARGEST_GAP
    return ClockEffect.MOVED if moves else ClockEffect.LEFT_OUT


def _wall(moment: int) -> datetime:
    return (datetime.fromtimestamp(0, UTC) + moment * MILLISECOND).replace(tzinfo=None)
