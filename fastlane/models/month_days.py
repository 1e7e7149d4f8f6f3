"""Days that a cron expression counts within their month: the last one, a working day near a date, the nth or last of a weekday."""

import re
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from fastlane.errors import quoted

SATURDAY = 5
_NEAR = (0, -1, 1, -2, 2)
"""Where the nearest working day is looked for, by days from a date: a Saturday's is the day before, a Sunday's the day after, and another
one only where the month ends between."""

_LAST = re.compile(r"l(?:-([0-9]{1,9}))?", re.ASCII | re.IGNORECASE)
_WORKING = re.compile(r"(l|[0-9]{1,9})w", re.ASCII | re.IGNORECASE)
_WEEKDAY = re.compile(r"([0-9]{1,9}|[a-z]{3})(?:l|#([0-9]{1,9}))", re.ASCII | re.IGNORECASE)

ORDINALS = ("last", "first", "second", "third", "fourth", "fifth")


def length(day: date) -> int:
    """Days of its month."""
    return monthrange(day.year, day.month)[1]


@dataclass(frozen=True, slots=True)
class FromEnd:
    """``L`` and ``L-3``: the last day of the month, or a day before that, by their distance."""

    before: int

    def on(self, day: date) -> bool:
        return day.day == length(day) - self.before

    @property
    def words(self) -> str:
        days = "day" if self.before == 1 else "days"
        return f"the last day minus {self.before} {days}" if self.before else "the last day"


@dataclass(frozen=True, slots=True)
class WorkingDay:
    """``15W`` and ``LW``: the day from Monday to Friday that is nearest to a date within its month, or the last one (None). A month
    without that date has none."""

    near: int | None

    def on(self, day: date) -> bool:
        last = length(day)
        wanted = last if self.near is None else self.near
        if wanted > last or abs(day.day - wanted) > 2:
            return False
        goal = day.replace(day=wanted)
        near = (goal + timedelta(days=days) for days in _NEAR)
        return day == next(one for one in near if one.month == goal.month and one.weekday() < SATURDAY)

    @property
    def words(self) -> str:
        return "the last working day" if self.near is None else f"the working day nearest to day {self.near}"


@dataclass(frozen=True, slots=True)
class NthWeekday:
    """``fri#2`` and ``friL``: the nth of a weekday in the month (Sunday: 0), or its last one (0). A month with four has no fifth."""

    weekday: int
    nth: int

    def on(self, day: date) -> bool:
        if day.isoweekday() % 7 != self.weekday:
            return False
        return (day.day - 1) // 7 + 1 == self.nth if self.nth else day.day + 7 > length(day)


DateRule = FromEnd | WorkingDay


def read_date(item: str) -> DateRule | None:
    """An item of the days of a month; None for one of another form. Raises ValueError."""
    if found := _LAST.fullmatch(item):
        before = int(found[1] or 0)
        if before > 30:
            raise ValueError(f"{quoted(item)} cannot be the day of month: no month is that long; write L-1 to L-30")
        return FromEnd(before)
    if found := _WORKING.fullmatch(item):
        if found[1] in "lL":
            return WorkingDay(None)
        if not 1 <= int(found[1]) <= 31:
            raise ValueError(f"{quoted(item)} cannot be the day of month: write a date from 1 to 31 before the W, or LW")
        return WorkingDay(int(found[1]))
    return None


def read_weekday(item: str, names: Mapping[str, int]) -> NthWeekday | None:
    """An item of the days of a week; None for one of another form. Raises ValueError."""
    found = _WEEKDAY.fullmatch(item)
    if found is None:
        return None
    weekday = names.get(found[1].lower()) if found[1].isalpha() else int(found[1])
    if weekday is None or weekday > 7:
        raise ValueError(f"{quoted(item)} cannot be the day of week: write a day from 0 to 7 or {', '.join(names)} before the L or #")
    nth = int(found[2]) if found[2] else 0
    if found[2] and not 1 <= nth <= 5:
        raise ValueError(f"{quoted(item)} cannot be the day of week: write a number from 1 to 5 after the #, or L for the last one")
    return NthWeekday(weekday % 7, nth)
