"""Cron: a periodic schedule, its reader, and the walk over the moments at which it is due.

What a change of the clocks does is decided here, by the rule of Debian's cron(8), as docs/scheduling.md tells it: a job at a fixed
time that falls into a gap of at most three hours runs at the change, and one in a repeated hour runs the first time only; a job whose
minute or hour begins with ``*`` runs at each real minute that matches. The walk goes over the clock on the wall and asks the zone, of
each time that matches, when it really is.
"""

import calendar
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from fastlane.models.schedule.cron_fields import FORMS, Fields, fields_of, shown
from fastlane.models.schedule.timezone import read_timezone, zone

DAY = 86_400_000
LARGEST_GAP = 3 * 3_600_000
"""A jump ahead by more than this corrects the calendar (a day left out at the date line): what falls into it never was."""

YEARS = 50
"""How far a walk looks ahead. The rarest expression, a 29 February on one day of the week, comes within 40 years."""

LAST_MOMENT = 253_402_300_799_999

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WALL_EPOCH = _EPOCH.replace(tzinfo=None)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Cron:
    """A periodic schedule: the expression as written, and the IANA name of the zone whose clocks it means. Made by ``read_cron``."""

    text: str
    timezone: str = "UTC"


def read_cron(text: object, timezone: object = None) -> Cron:
    """The schedule of an expression and a zone (None: UTC); raises ValueError, whose text says what to write instead."""
    if not isinstance(text, str):
        raise ValueError(f"is not text; {FORMS}")
    if next(_dates(fields_of(text), date(2000, 1, 1)), None) is None:
        raise ValueError(f"{shown(text)} never comes: none of its months has such a day; write a day that they have, or another month")
    return Cron(text, read_timezone(timezone))


def next_tick(cron: Cron, after: int) -> int | None:
    """The first tick strictly after a moment, both in milliseconds since 1970; None when none comes within 50 years."""
    return next(_ticks(cron, after), None)


def ticks_between(cron: Cron, after: int, until: int, most: int) -> tuple[int, ...]:
    """The ticks strictly after ``after``, up to and with ``until``: the first ``most`` of them, in order. Milliseconds."""
    return tuple(islice(takewhile(lambda moment: moment <= until, _ticks(cron, after)), most))


def last_tick(cron: Cron, after: int, until: int) -> int | None:
    """The last tick strictly after ``after``, up to and with ``until``; None when there is none. By halving: ten years cost 40 looks."""
    last = next_tick(cron, after)
    if last is None or last > until:
        return None
    low, high = last, until
    while low < high:
        middle = (low + high) // 2
        tick = next_tick(cron, middle)
        if tick is None or tick > until:
            high = middle
        else:
            low = last = tick
    return last


def _ticks(cron: Cron, after: int) -> Iterator[int]:
    """The ticks after a moment, each later than the one before it.

    A repeated hour's second passing waits in ``again`` until the first is through.
    """
    if after > LAST_MOMENT - 2 * DAY:
        return
    fields, where, last = fields_of(cron.text), zone(cron.timezone), max(after, -1)
    again: deque[int] = deque()
    for wall in _walls(fields, _first_wall(where, last)):
        for moment, repeated in _moments(wall, where, fixed=fields.fixed):
            while again and again[0] < moment:
                last = again.popleft()
                yield last
            if repeated is not None and repeated > last:
                again.append(repeated)
            if moment > last:
                last = moment
                yield last
    yield from again


def _first_wall(where: ZoneInfo, after: int) -> datetime:
    """Where the walk begins: the wall clock after which nothing due after ``after`` is left out, clocks about to go back included."""
    moment = _EPOCH + after * _MILLISECOND
    here, tomorrow = moment.astimezone(where), (moment + timedelta(days=1)).astimezone(where)
    back = max(_offset(here) - _offset(tomorrow), 0)
    return here.replace(tzinfo=None, fold=0, second=0, microsecond=0) - back * _MILLISECOND


def _dates(fields: Fields, start: date) -> Iterator[date]:
    """The days that match, from ``start`` on, for ``YEARS`` years."""
    for year in range(start.year, min(start.year + YEARS, 9999) + 1):
        for month in fields.months:
            if (year, month) < (start.year, start.month):
                continue
            first = start.day if (year, month) == (start.year, start.month) else 1
            for number in range(first, calendar.monthrange(year, month)[1] + 1):
                day = date(year, month, number)
                if fields.on(day):
                    yield day


def _walls(fields: Fields, start: datetime) -> Iterator[datetime]:
    """The times on the wall clock that match, from ``start`` on and in its order, whether or not a zone has them."""
    for day in _dates(fields, start.date()):
        today = day == start.date()
        for hour in fields.hours[bisect_left(fields.hours, start.hour) if today else 0 :]:
            this_hour = today and hour == start.hour
            for minute in fields.minutes[bisect_left(fields.minutes, start.minute) if this_hour else 0 :]:
                yield datetime.combine(day, time(hour, minute))


def _moments(wall: datetime, where: ZoneInfo, *, fixed: bool) -> tuple[tuple[int, int | None], ...]:
    """When a time on the wall clock is due: never, at one moment, or at one and again at another. Milliseconds.

    PEP 495: for a repeated time fold 0 is the first passing; for one in a gap, fold 0 has the offset before and fold 1 that after it.
    """
    before, after = _offset(wall.replace(tzinfo=where)), _offset(wall.replace(tzinfo=where, fold=1))
    utc = (wall - _WALL_EPOCH) // _MILLISECOND
    if before == after:
        return ((utc - before, None),)
    if before > after:
        return ((utc - before, None if fixed else utc - after),)
    if fixed and after - before <= LARGEST_GAP:
        return ((_change(where, utc - after, utc - before), None),)
    return ()


def _change(where: ZoneInfo, before: int, after: int) -> int:
    """The moment, to the second, at which the offset becomes what it is at ``after``."""
    goal = _offset((_EPOCH + after * _MILLISECOND).astimezone(where))
    while after - before > 1000:
        middle = (before + after) // 2000 * 1000
        if _offset((_EPOCH + middle * _MILLISECOND).astimezone(where)) == goal:
            after = middle
        else:
            before = middle
    return after


def _offset(moment: datetime) -> int:
    """How far a zone's clocks are ahead of UTC, in milliseconds."""
    offset = moment.utcoffset()
    return 0 if offset is None else offset // _MILLISECOND
