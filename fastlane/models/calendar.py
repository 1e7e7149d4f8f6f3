"""Named calendars: dates that many jobs skip by one name, and what a schedule knows of the calendars that it names. Pure.

A text of a calendar is a date or a range of dates, and words for people behind it: ``2026-12-25 Christmas Day``.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TypeVar

from fastlane.errors import quoted
from fastlane.models.access import Requester
from fastlane.models.job import Job
from fastlane.models.schedule import Schedule
from fastlane.models.skip_dates import NAME, CalendarName, DateRange, KnownDates, NamedDates, UnknownDates, read_range

MOST_CALENDARS, MOST_DATES, MOST_WORDS = 1_000, 1_000, 100
"""Stored calendars, dates and ranges of one, and characters of words behind one of these."""
DATES_EXAMPLE = '["2026-12-24..2026-12-26", "2027-01-01 New Year\'s Day"]'
MISSING, UNREADABLE = "does not exist", "cannot be read"


@dataclass(frozen=True, slots=True)
class Calendar:
    """A calendar; its ``id`` is its name. ``dates``: texts, in order. ``known_until``: the last date of which is known whether it is on the
    calendar, where a rule goes on without end (ISO 8601); None: of every date. Moments are in milliseconds. A calendar of the settings has
    ``version`` 0."""

    id: str
    dates: tuple[str, ...]
    known_until: str | None = None
    created_at: int = 0
    changed_at: int = 0
    changed_by: Requester | None = None
    version: int = 0

    @property
    def is_of_settings(self) -> bool:
        """Whether the settings have it, so that requests cannot change it."""
        return self.version == 0

    @property
    def tag(self) -> str:
        """Its version, which no calendar of this name has had before."""
        return f"{self.changed_at}.{self.version}"

    def changed(self, dates: "CalendarDates", by: Requester | None, now: int) -> "Calendar":
        """The next version, with other dates."""
        created, at = self.created_at or now, max(now, self.changed_at)
        return Calendar(self.id, dates.texts, dates.known_until, created, at, by, self.version + 1)

    def ranges(self) -> list[NamedDates]:
        """Its dates. Raises ValueError for a text that it cannot be read."""
        found = map(read_entry, self.dates)
        return [NamedDates(dates, CalendarName(self.id), words) for dates, words in found]


@dataclass(frozen=True, slots=True)
class CalendarDates:
    """The dates that a calendar is to have, as a list or an iCalendar file gives them; see ``Calendar``."""

    texts: tuple[str, ...]
    known_until: str | None = None


def read_name(text: object) -> str:
    """Reads the name of a calendar. Raises ValueError."""
    if not isinstance(text, str) or not re.fullmatch(NAME, text, re.ASCII):
        raise ValueError(f"{quoted(text)} is not a name; write 1 to 64 letters, digits, '_' and '-', beginning with a letter")
    return text


def read_entry(text: object) -> tuple[DateRange, str]:
    """Reads a text of a calendar: its dates, and the words behind them. Raises ValueError, whose text says what to write instead."""
    if not isinstance(text, str):
        return read_range(text), ""
    first, _, words = text.strip().partition(" ")
    words = words.strip()
    if len(words) > MOST_WORDS or not words.isprintable():
        raise ValueError(f"{quoted(first)} has more than {MOST_WORDS} characters of words behind it, or some that cannot be printed")
    return read_range(first), words


def read_text(text: object) -> str:
    """Reads a text of a calendar, and writes it in its usual form. Raises ValueError."""
    return entry_text(*read_entry(text))


def entry_text(dates: DateRange, words: str) -> str:
    """The usual form of a text of a calendar."""
    return f"{dates} {words}".strip()


def in_order(texts: Iterable[str]) -> tuple[str, ...]:
    """Texts of a calendar by their dates, each once."""
    return tuple(sorted(dict.fromkeys(texts)))


def dates_known(names: Sequence[CalendarName], calendars: Mapping[str, Calendar | None]) -> KnownDates:
    """What is known of calendars with these names. One that is missing among ``calendars`` does not exist, and None among them cannot be
    read."""
    ranges: list[NamedDates] = []
    unknown: list[UnknownDates] = []
    for name in names:
        try:
            calendar = calendars[name.name]
            if calendar is None:
                raise ValueError(UNREADABLE)
            ranges += calendar.ranges()
            if calendar.known_until is not None:
                until = date.fromisoformat(calendar.known_until)
                unknown.append(UnknownDates(name, f"is known only until {until}", until + timedelta(days=1)))
        except KeyError:
            unknown.append(UnknownDates(name, MISSING))
        except ValueError:
            unknown.append(UnknownDates(name, UNREADABLE))
    return known_dates(ranges, unknown)


def known_dates(ranges: Sequence[NamedDates], unknown: Sequence[UnknownDates]) -> KnownDates:
    """These dates in the form in which they are looked up."""
    last: NamedDates | None = None
    firsts: list[date] = []
    longest: list[NamedDates] = []
    for one in sorted(ranges, key=lambda one: one.dates.first):
        last = one if last is None or one.dates.last > last.dates.last else last
        firsts.append(one.dates.first)
        longest.append(last)
    return KnownDates(tuple(firsts), tuple(longest), tuple(unknown))


Named = TypeVar("Named", Job, Schedule)


def with_dates(one: Named, calendars: Mapping[str, Calendar | None]) -> Named:
    """A job or a schedule that knows the dates of the calendars which it names. What is stored of it stays the same."""
    if isinstance(one, Job):
        return replace(one, schedule=with_dates(one.schedule, calendars))
    return replace(one, known=dates_known(one.calendars, calendars)) if one.calendars else one
