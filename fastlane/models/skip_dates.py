"""Dates on which a schedule does not run: their reader, and which range of dates a moment falls on, by the clocks of a zone. A schedule
also names calendars (``models.calendar``), whose dates it knows only while somebody has looked them up for it."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from fastlane.errors import quoted

MAX_SKIPPED = 100
"""Dates and ranges of one job."""
SKIP_FORMS = 'write a date such as "2026-12-24", or a range such as "2026-12-24..2026-12-26"'
SKIP_OR_NAME_FORMS = f'{SKIP_FORMS}, or the name of a calendar such as "holidays"'
MAX_CALENDARS = 10
"""Calendars that one job may name."""
NAME = "[A-Za-z][A-Za-z0-9_-]{0,63}"
PATTERN = "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"

_RANGE = re.compile(rf"({PATTERN})(?:\.\.({PATTERN}))?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class DateRange:
    """The dates from the first to the last, which may be the same one."""

    first: date
    last: date

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}..{self.last}"


def read_range(text: object) -> DateRange:
    """Reads a date or a range of dates. Raises ValueError, whose text says what to write instead."""
    if not isinstance(text, str):
        raise ValueError(f"is not text; {SKIP_FORMS}")
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{quoted(text)} is not a date; {SKIP_FORMS}")
    try:
        first, last = date.fromisoformat(found[1]), date.fromisoformat(found[2] or found[1])
    except ValueError:
        raise ValueError(f"{quoted(text)} is not a date, because its month or year has no such day; {SKIP_FORMS}") from None
    if last < first:
        raise ValueError(f"{quoted(text)} runs backwards; write {last}..{first}")
    return DateRange(first, last)


@dataclass(frozen=True, slots=True)
class CalendarName:
    """The name of a calendar in a schedule."""

    name: str

    def __str__(self) -> str:
        return self.name


SkippedDates = DateRange | CalendarName


@dataclass(frozen=True, slots=True)
class NamedDates:
    """A range of dates of a calendar, and what it says of them for people."""

    dates: DateRange
    calendar: CalendarName
    words: str = ""

    @property
    def last(self) -> date:
        """The last of its dates."""
        return self.dates.last

    def __str__(self) -> str:
        return f"calendar {self.calendar}: {self.dates} {self.words}".rstrip()


@dataclass(frozen=True, slots=True)
class UnknownDates:
    """A calendar whose dates are not known from a date on (None: none is known), and why, in words that follow its name."""

    calendar: CalendarName
    why: str
    since: date | None = None

    def __str__(self) -> str:
        return f"calendar {self.calendar}, which {self.why}"


@dataclass(frozen=True, slots=True)
class KnownDates:
    """What is known of the calendars of a schedule: their ranges by the first date (``firsts``), with the range of these that ends last so
    far (``longest``); and calendars of which something is not known."""

    firsts: tuple[date, ...] = ()
    longest: tuple[NamedDates, ...] = ()
    unknown: tuple[UnknownDates, ...] = ()

    def on(self, day: date) -> NamedDates | None:
        """The range that has this date; of several the one that ends last."""
        place = bisect_right(self.firsts, day)
        found = self.longest[place - 1] if place else None
        return None if found is None or found.last < day else found

    def unknown_on(self, day: date) -> UnknownDates | None:
        """A calendar of which is not known whether it has this date."""
        return next((one for one in self.unknown if one.since is None or one.since <= day), None)


def read_skipped(text: object) -> SkippedDates:
    """Reads a date, a range of dates or the name of a calendar. Raises ValueError, whose text says what to write instead."""
    if isinstance(text, str) and re.fullmatch(NAME, text.strip(), re.ASCII):
        return CalendarName(text.strip())
    try:
        return read_range(text)
    except ValueError as error:
        raise ValueError(str(error).replace(SKIP_FORMS, SKIP_OR_NAME_FORMS)) from None


def day_of(moment: int, where: ZoneInfo) -> date:
    """The date which the zone shows at that moment (milliseconds)."""
    return (_EPOCH + moment * _MILLISECOND).astimezone(where).date()


def range_on(entries: Sequence[SkippedDates], day: date) -> DateRange | None:
    """The range, of several the one that ends last, that has this date."""
    ranges = (one for one in entries if isinstance(one, DateRange) and one.first <= day <= one.last)
    return max(ranges, key=lambda one: one.last, default=None)


def moment_after(day: date, where: ZoneInfo) -> int:
    """The moment in milliseconds at which the day after this one begins there."""
    if day >= date.max - timedelta(days=2):
        return (datetime.combine(day, time(), UTC) - _EPOCH) // _MILLISECOND
    return (datetime.combine(day + timedelta(days=1), time(), where) - _EPOCH) // _MILLISECOND
