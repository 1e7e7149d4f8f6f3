"""When a job runs: the value of a schedule, and the readers of ``startIn`` and ``startAt``.

A reader takes what a user wrote, and returns a moment or raises ValueError, whose text says what to write instead.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from pytimeparse.timeparse import timeparse

from fastlane.errors import quoted
from fastlane.models.cron import Cron, joined, next_tick, zone
from fastlane.models.skip_dates import (
    CalendarName,
    DateRange,
    KnownDates,
    NamedDates,
    SkippedDates,
    UnknownDates,
    day_of,
    moment_after,
    range_on,
)
from fastlane.models.upstream import AfterJobs

TEN_YEARS = 10 * 366 * 86_400
LARGEST_UNIX_SECONDS = 100_000_000_000
"""A larger number of "seconds" (after the year 5138) can only mean milliseconds."""

MAX_DURATION = 64
"""Characters of a duration."""
LAST_MOMENT = 253_402_300_799_999
DURATION_FORMS = 'write a duration such as "10s", "5m", "2m30s", "4h30m25s" or "240h"'
MOMENT_FORMS = 'write Unix seconds (1645113692) or ISO 8601 with an offset ("2022-02-17T16:01:32Z")'


class ScheduleKind(StrEnum):
    """Now (at the POST), once at a given time, repeatedly, or only when somebody runs it."""

    NOW = "now"
    AT = "at"
    CRON = "cron"
    MANUAL = "manual"


class Overlap(StrEnum):
    """What a tick, or a run by hand, does while an earlier execution of its job is under way: run beside it, be skipped, wait for its end,
    or have it stopped and wait for that."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"


class CatchUp(StrEnum):
    """What happens after ticks of a cron were missed: the latest one runs late, or none does."""

    LATEST = "latest"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class EntryRules:
    """The rules of one entry of a cron, where they differ from its schedule's (None: they do not)."""

    overlap: Overlap | None = None
    catch_up: CatchUp | None = None


NO_RULES = EntryRules()


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job's ticks are due: ``at`` (milliseconds) for one of kind ``AT``, by ``cron`` for one of kind ``CRON``. ``rules``: the own
    rules of each entry of the cron; empty when none has any. ``after``: a job of kind ``MANUAL`` also runs when these jobs end. ``skip``:
    dates on which its ticks make no execution, and names of calendars that have such dates. ``known``: what is known of these calendars,
    where somebody has looked them up for it; it is neither stored nor compared. ``timezone``: the job's own zone, where the cron's first
    entry has another one."""

    kind: ScheduleKind = ScheduleKind.NOW
    at: int | None = None
    cron: Cron | None = None
    overlap: Overlap = Overlap.ALLOW
    catch_up: CatchUp = CatchUp.LATEST
    rules: tuple[EntryRules, ...] = ()
    after: AfterJobs | None = None
    skip: tuple[SkippedDates, ...] = ()
    known: KnownDates | None = field(default=None, compare=False, repr=False)
    timezone: str | None = None

    @property
    def own_zone(self) -> str | None:
        """The zone of the job: of its skipped dates, of ``doneBy``, and of entries of its cron that have none of their own; None without a
        cron."""
        return None if self.cron is None else self.timezone or self.cron.timezone

    @property
    def calendars(self) -> tuple[CalendarName, ...]:
        """The calendars that it names."""
        return tuple(one for one in self.skip if isinstance(one, CalendarName)) if self.skip else ()

    def skipped_at(self, due: int) -> DateRange | NamedDates | None:
        """The range of dates because of which a tick of the cron that is due then (milliseconds) makes no execution; None: none is known.
        The date is the one in the zone of the job."""
        if not self.skip or self.own_zone is None:
            return None
        day = day_of(due, zone(self.own_zone))
        own, shared = range_on(self.skip, day), None if self.known is None else self.known.on(day)
        return own if shared is None or (own is not None and own.last >= shared.last) else shared

    def unknown_at(self, due: int) -> UnknownDates | None:
        """The calendar of which is not known whether it has the date of a tick that is due then; None: all are. Look them up first."""
        calendars = self.calendars
        if not calendars or self.own_zone is None:
            return None
        if self.known is None:
            return UnknownDates(calendars[0], "nobody looked up")
        return self.known.unknown_on(day_of(due, zone(self.own_zone)))

    def unskipped_from(self, due: int | None) -> int | None:
        """The first due time from this one on that is not on a skipped date; None: none comes within 50 years. Whole ranges are passed over
        at once, so it takes few steps however often the cron is due."""
        if self.cron is None or self.own_zone is None:
            return due
        while due is not None and (found := self.skipped_at(due)) is not None:
            due = next_tick(self.cron, max(due, moment_after(found.last, zone(self.own_zone)) - 1))
        return due

    @property
    def entries(self) -> Sequence[tuple[Cron, EntryRules]]:
        """The entries of its cron, with their rules."""
        if self.cron is None:
            return ()
        return list(zip(self.cron.entries, self.rules or (NO_RULES,) * len(self.cron.entries), strict=True))

    @property
    def always_overlaps(self) -> bool:
        """Whether none of its ticks, nor a run by hand, ever waits for an execution under way, is skipped, or has one stopped."""
        return self.overlap is Overlap.ALLOW and all(one.overlap in (None, Overlap.ALLOW) for one in self.rules)

    def overlap_at(self, due: int) -> Overlap:
        """The rule of the tick that is due then (milliseconds): of several entries that are due, the first one's."""
        if not self.rules:
            return self.overlap
        own = next((rules.overlap for entry, rules in self.entries if next_tick(entry, due - 1) == due), None)
        return own or self.overlap

    @property
    def caught_up(self) -> Cron | None:
        """The entries of which the latest missed tick runs late; None when none has that rule."""
        if not self.rules:
            return self.cron if self.catch_up is CatchUp.LATEST else None
        return joined([entry for entry, rules in self.entries if (rules.catch_up or self.catch_up) is CatchUp.LATEST])

    def first_tick(self, now: int) -> int | None:
        """The due time of the first tick after ``now``; None for a job that runs at once, and for one that has no tick of its own."""
        if self.cron is not None:
            return next_tick(self.cron, now)
        return self.at if self.kind is ScheduleKind.AT else None

    def settled(self, seed: str | None, start: int, before: "Schedule | None" = None) -> "Schedule":
        """The schedule of a job, with what is chosen for the job; ``before``: the schedule that the job had (see ``Cron.settled``)."""
        return self if self.cron is None else replace(self, cron=self.cron.settled(seed, start, before.cron if before else None))

    @property
    def is_settled(self) -> bool:
        """Whether it is known when it is due."""
        return self.cron is None or self.cron.is_settled

    @property
    def is_manual(self) -> bool:
        """Whether it has no tick of its own: the job runs only when somebody asks for that, or after other jobs."""
        return self.kind is ScheduleKind.MANUAL

    def starts_as(self, other: "Schedule") -> bool:
        """Whether both have the same due times."""
        return (self.kind, self.at, self.cron, self.after) == (other.kind, other.at, other.cron, other.after)


def expiry(due: int, expires_in: int | None, expiration: int | None) -> int | None:
    """The latest start of a tick due at ``due``: ``expires_in`` after it or ``expiration``, whichever is earlier; None without both."""
    moments = [expiration, None if expires_in is None else due + expires_in]
    return min((moment for moment in moments if moment is not None), default=None)


def read_duration(text: object) -> float:
    """Reads a duration as in ``startIn``, from 0 to ten years, in seconds. Raises ValueError."""
    if not isinstance(text, str):
        raise ValueError(f"is not text; {DURATION_FORMS}")
    seconds = None
    if len(text) <= MAX_DURATION and text.isascii() and re.search(r"[a-zA-Z:]", text):
        seconds = timeparse(text)
    if seconds is None or not math.isfinite(seconds):
        raise ValueError(f"{quoted(text)} is not a duration; {DURATION_FORMS}")
    if seconds < 0:
        raise ValueError(f"{quoted(text)} is negative; {DURATION_FORMS}")
    if seconds > TEN_YEARS:
        raise ValueError(f"{quoted(text)} is more than ten years; choose a shorter duration")
    return float(seconds)


def read_duration_or_seconds(value: object) -> float:
    """Reads a duration from 0 to ten years, as text or as a number of seconds, in seconds. Raises ValueError."""
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*", value, re.ASCII):
        raise ValueError(f'{quoted(value)} has no unit; write "{value.strip()[:MAX_DURATION]}s", or the number of seconds without quotes')
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"is neither text nor a number; {DURATION_FORMS}, or seconds such as 90")
    if isinstance(value, str):
        return read_duration(value)
    if value < 0:
        raise ValueError(f"is negative; {DURATION_FORMS}, or seconds such as 90")
    if not value <= TEN_YEARS:
        raise ValueError("is too large: more than ten years; choose a shorter duration")
    return float(value)


def show_duration(seconds: float) -> str:
    """A number of seconds as a user writes it, exact to the millisecond: ``1h30m``, ``0s``."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{hours:.0f}h"] * (hours > 0) + [f"{minutes:.0f}m"] * (minutes > 0) + [f"{rest:.10g}s"] * (rest > 0)
    return "".join(parts) or "0s"


def read_moment(value: object) -> int:
    """Reads Unix seconds (a number, or digits as text) or ISO 8601 with an offset, in milliseconds since 1970. Raises ValueError."""
    if isinstance(value, bool):
        raise ValueError(f"is a boolean; {MOMENT_FORMS}")
    if isinstance(value, str):
        text = value.strip()
        if not re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,9})?", text, re.ASCII):
            return _read_iso(text)
        value = float(text)
    if not isinstance(value, int | float):
        raise ValueError(f"is not a time; {MOMENT_FORMS}")
    if value > LAST_MOMENT:
        raise ValueError(f"is too large; {MOMENT_FORMS}")
    if value > LARGEST_UNIX_SECONDS:
        raise ValueError("looks like milliseconds; divide by 1000 to give Unix seconds")
    if not value >= 0:
        raise ValueError(f"is before 1970; {MOMENT_FORMS}")
    return round(value * 1000)


def _read_iso(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text[:-1] + "Z" if text.endswith("z") else text)
    except ValueError:
        raise ValueError(f"{quoted(text)} is not a time; {MOMENT_FORMS}") from None
    if moment.tzinfo is None:
        raise ValueError(f'{quoted(text)} has no UTC offset; add "Z" or one such as "+02:00"')
    try:
        milliseconds = round(moment.timestamp() * 1000)
    except (OverflowError, ValueError):
        raise ValueError(f"{quoted(text)} is out of range; {MOMENT_FORMS}") from None
    if milliseconds > LAST_MOMENT:
        raise ValueError(f"{quoted(text)} is after the year 9999; {MOMENT_FORMS}")
    if milliseconds < 0:
        raise ValueError(f"{quoted(text)} is before 1970; {MOMENT_FORMS}")
    return milliseconds
