"""The cron walk against a brute-force oracle, over every change of the clocks from 2000 to 2040 in ten zones.

The oracle knows nothing of walls that are asked of a zone: it goes through the real minutes one by one, looks at the clock on the wall, and
applies the rule of docs/scheduling.md in its plainest form. It reads expressions by itself, too.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies as st

from fastlane.models.cron import next_tick, read_cron, ticks_between

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Tehran",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "America/St_Johns",
    "UTC",
)
DENSE = ("* * * * *", "0-59 0-23 * * *", "*/7 * * * *")
"""Looked at closely around a change only, since each has hundreds of ticks a day."""

SPARSE = (
    "30 2 * * *",
    "0 0 * * *",
    "0,30 1-3 * * *",
    "15 0,1,2,3,23 * * *",
    "59 23 * * *",
    "1 0 * * *",
    "*/30 2 * * *",
    "0 * * * *",
    "30 */2 * * *",
    "45 0-6/2 * * *",
    "0 3 * * 0",
    "30 2 1,15,29-31 * 0,6",
    "30 1 */2 * sun",
    "20 2 * 3-4,10-11 *",
    "0 0 30,31 12 *",
    "10 0 29 2 *",
)
PROBED = ("30 2 * * *", "0,30 1-3 * * *", "*/30 2 * * *", "0 * * * *")
BEFORE, AFTER = 14 * 60, 26 * 60
"""The minutes that are looked at around each change."""

LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


@dataclass(frozen=True)
class Plain:
    """An expression as the oracle reads it: sets of numbers, and what begins with a star."""

    text: str
    times: frozenset[int]
    """Minutes since midnight."""
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both: bool
    wild: bool

    def on(self, day: date) -> bool:
        by_date, by_weekday = day.day in self.days, (day.weekday() + 1) % 7 in self.weekdays
        return day.month in self.months and ((by_date and by_weekday) if self.both else (by_date or by_weekday))


@cache
def plain(text: str) -> Plain:
    parts = text.replace("sun", "0").split()
    minutes, hours, days, months, weekdays = (frozenset(numbers(part, *limits)) for part, limits in zip(parts, LIMITS, strict=True))
    return Plain(
        text,
        frozenset(60 * hour + minute for hour in hours for minute in minutes),
        days,
        months,
        frozenset(day % 7 for day in weekdays),
        both=parts[2][0] == "*" or parts[4][0] == "*",
        wild=parts[0][0] == "*" or parts[1][0] == "*",
    )


def numbers(part: str, low: int, high: int) -> Iterator[int]:
    for item in part.split(","):
        span, _, step = item.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        yield from range(int(first), int(last or first) + 1, int(step or 1))


@dataclass(frozen=True)
class Window:
    """The real minutes (since 1970) from ``first`` to ``last``, by the time of day that they have on the wall, with the day there.

    ``shown``: the minutes in which the wall shows that time. ``passing``: those in which it comes to pass, for a job at a fixed time.
    """

    first: int
    last: int
    shown: dict[int, list[tuple[int, date]]]
    passing: dict[int, list[tuple[int, date]]]


def wall_at(minute: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(minute * 60, zone).replace(tzinfo=None, fold=0)


@cache
def changes_of(name: str) -> tuple[int, ...]:
    """The minutes at which a zone's offset changes; where it never does, the ends of February and of some years."""
    zone, found = ZoneInfo(name), []
    step = 6 * 60
    before, end = minute_of(2000, 1, 1), minute_of(2041, 1, 1)
    lag_before = lag(before, zone)
    while before < end:
        low, high = before, before + step
        lag_after = lag(high, zone)
        if lag_before != lag_after:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if lag(middle, zone) != lag_before else (middle, high)
            found.append(high)
        before, lag_before = before + step, lag_after
    quiet = [minute_of(year, month, 1) for year in (2000, 2023, 2024, 2100) for month in (1, 3)]
    return tuple(found or quiet)


def minute_of(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) // 60


def lag(minute: int, zone: ZoneInfo) -> timedelta:
    return datetime.fromtimestamp(minute * 60, zone).utcoffset() or timedelta()


@lru_cache(maxsize=8)
def window_of(name: str, first: int, last: int) -> Window:
    """Every real minute of a window, by the rule in its plainest form.

    The wall's highest time so far is remembered. A time not above it comes again, and passed already. A jump ahead of up to three
    hours lets all that it leaps over pass at once; a longer one lets only the new time pass.
    """
    zone = ZoneInfo(name)
    window = Window(first, last, defaultdict(list), defaultdict(list))
    highest = wall_at(first - 1, zone)
    for number in range(first, last + 1):
        wall = wall_at(number, zone)
        window.shown[wall.hour * 60 + wall.minute].append((number, wall.date()))
        ahead = int((wall - highest).total_seconds()) // 60
        leapt = ahead if 0 < ahead - 1 <= 180 else min(ahead, 1)
        for back in range(leapt):
            passed = wall - timedelta(minutes=back) if back else wall
            window.passing[passed.hour * 60 + passed.minute].append((number, passed.date()))
        highest = max(highest, wall)
    return window


def oracle(cron: Plain, window: Window) -> list[int]:
    """The moments, in milliseconds, at which the job is due."""
    by_time = window.shown if cron.wild else window.passing
    return sorted({number * 60_000 for time in cron.times for number, day in by_time.get(time, ()) if cron.on(day)})


def compare(name: str, text: str, change: int, before: int, after: int) -> list[int]:
    """Checks one expression around one change, and returns its ticks there."""
    window = window_of(name, change - before, change + after)
    cron, due = read_cron(text, name), oracle(plain(text), window)
    assert list(ticks_between(cron, window.first * 60_000 - 1, window.last * 60_000, 10_000)) == due, (
        text,
        name,
        wall_at(change, ZoneInfo(name)),
    )
    return due


@pytest.mark.parametrize("name", ZONES)
def test_ticks_are_those_of_the_oracle_around_every_change(name: str) -> None:
    for change in changes_of(name):
        for text in SPARSE:
            due = compare(name, text, change, BEFORE, AFTER)
            if text in PROBED:
                probe(name, text, change, due)
        for text in DENSE:
            compare(name, text, change, 200, 200)


def probe(name: str, text: str, change: int, due: list[int]) -> None:
    """Asks for the next tick from moments near the change, none of them a whole minute."""
    cron = read_cron(text, name)
    due = [*due, next_tick(cron, (change + AFTER) * 60_000) or 0]
    for after in range((change - 190) * 60_000, (change + 190) * 60_000, 27 * 60_000 + 7):
        assert next_tick(cron, after) == next(tick for tick in due if tick > after), (text, name, after)


@st.composite
def expressions(draw: st.DrawFn) -> str:
    """Five fields, mostly at the hours at which clocks change."""
    minute = draw(st.sampled_from(["*", "*/5", "*/30", "0", "1", "59", "0,30", "5-20/5", "0-59", "15,45,50-55"]))
    first = draw(st.integers(0, 23))
    hour = draw(st.sampled_from(["*", "*/2", "*/3", "0", "1", "2", "3", "0-4", "1,2", "2-3", "23", f"{first}", f"{first}-23/2"]))
    day = draw(st.sampled_from(["*", "*", "*", "*/2", "1", "1-7", "25-31", "8,15,22", "29"]))
    month = draw(st.sampled_from(["*", "*", "*/2", "3,10", "3-4,9-11", "12", "2"]))
    weekday = draw(st.sampled_from(["*", "*", "0", "7", "1-5", "6-7", "sun", "*/2", "0-6/3"]))
    return f"{minute} {hour} {day} {month} {weekday}"


@settings(max_examples=300, deadline=None)
@given(text=expressions(), name=st.sampled_from(ZONES), place=st.integers(0, 10_000), shift=st.integers(-BEFORE, AFTER))
def test_ticks_of_any_expression_are_those_of_the_oracle(text: str, name: str, place: int, shift: int) -> None:
    changes = changes_of(name)
    change = changes[place % len(changes)]
    after = (change + shift) * 60_000
    due = [tick for tick in compare(name, text, change, BEFORE, AFTER) if tick > after]
    found = next_tick(read_cron(text, name), after)
    assert found == due[0] if due else found is None or found > (change + AFTER) * 60_000


def test_the_zones_have_the_changes_that_the_test_is_for() -> None:
    """The ten zones as their data are: hundreds of changes, forward and back, one of half an hour, one of a day."""
    jumps = {lag(change, ZoneInfo(name)) - lag(change - 1, ZoneInfo(name)) for name in ZONES for change in changes_of(name)}
    hours = {jump / timedelta(hours=1) for jump in jumps}
    assert {1, -1, 0.5, -0.5, 24} <= hours
    assert sum(len(changes_of(name)) for name in ZONES) > 350
