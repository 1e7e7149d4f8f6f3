"""Cron: a periodic schedule, its reader, and the search for its due times.

Changes of the clocks follow the rules of Debian's cron(8), as docs/scheduling.md explains: a fixed time in a gap of at most three hours
runs at the change, and one in a repeated hour runs the first time only; a job whose minute or hour begins with ``*`` runs at each real
minute that matches. The search goes over wall-clock times and asks the zone when each matching time really is.
"""

import calendar
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from fastlane.errors import quoted
from fastlane.models.schedule.cron_fields import FORMS, CronFields, parse_fields
from fastlane.models.schedule.timezone import read_timezone, zone

DAY = 86_400_000
LARGEST_GAP = 3 * 3_600_000
"""Milliseconds. A longer jump ahead corrects the calendar (a day left out at the date line); times in it never existed."""

YEARS = 50
"""How far the search looks ahead. The rarest expression, 29 February on a given day of the week, comes within 40 years."""

LAST_MOMENT = 253_402_300_799_999

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WALL_EPOCH = _EPOCH.replace(tzinfo=None)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Cron:
    """A periodic schedule: the expression as written, and the IANA name of its time zone. Made by ``read_cron``."""

    text: str
    timezone: str = "UTC"


def read_cron(text: object, timezone: object = None) -> Cron:
    """Reads an expression and a zone (None: UTC). Raises ValueError, whose text says what to write instead."""
    if not isinstance(text, str):
        raise ValueError(f"is not text; {FORMS}")
    if next(_dates(parse_fields(text), date(2000, 1, 1)), None) is None:
        raise ValueError(f"{quoted(text)} never runs: none of its months has that day; write another day or month")
    return Cron(text, read_timezone(timezone))


def next_tick(cron: Cron, after: int) -> int | None:
    """The first due time strictly after a moment, both in milliseconds since 1970; None when none comes within 50 years."""
    return next(_ticks(cron, after), None)


def ticks_between(cron: Cron, after: int, until: int, most: int) -> tuple[int, ...]:
    """The first ``most`` due times after ``after`` and up to ``until``, both in milliseconds; ``until`` is included."""
    return tuple(islice(takewhile(lambda moment: moment <= until, _ticks(cron, after)), most))


def last_tick(cron: Cron, after: int, until: int) -> int | None:
    """The last due time after ``after`` and up to and including ``until``, or None. A binary search: 40 steps for ten years."""
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
    """The due times after a moment, in order. Those in the second pass of a repeated hour wait in ``again`` for the first pass to end."""
    if after > LAST_MOMENT - 2 * DAY:
        return
    fields, where, last = parse_fields(cron.text), zone(cron.timezone), max(after, -1)
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
    """The wall-clock time to search from. It allows for clocks that are about to go back, so that nothing due after ``after`` is missed."""
    moment = _EPOCH + after * _MILLISECOND
    here, tomorrow = moment.astimezone(where), (moment + timedelta(days=1)).astimezone(where)
    back = max(_offset(here) - _offset(tomorrow), 0)
    return here.replace(tzinfo=None, fold=0, second=0, microsecond=0) - back * _MILLISECOND


def _dates(fields: CronFields, start: date) -> Iterator[date]:
    """The matching days from ``start`` on, for ``YEARS`` years."""
    for year in range(start.year, min(start.year + YEARS, 9999) + 1):
        for month in fields.months:
            if (year, month) < (start.year, start.month):
                continue
            first = start.day if (year, month) == (start.year, start.month) else 1
            for number in range(first, calendar.monthrange(year, month)[1] + 1):
                day = date(year, month, number)
                if fields.on(day):
                    yield day


def _walls(fields: CronFields, start: datetime) -> Iterator[datetime]:
    """The matching wall-clock times from ``start`` on, in order, whether or not a zone has them."""
    for day in _dates(fields, start.date()):
        today = day == start.date()
        for hour in fields.hours[bisect_left(fields.hours, start.hour) if today else 0 :]:
            this_hour = today and hour == start.hour
            for minute in fields.minutes[bisect_left(fields.minutes, start.minute) if this_hour else 0 :]:
                yield datetime.combine(day, time(hour, minute))


def _moments(wall: datetime, where: ZoneInfo, *, fixed: bool) -> tuple[tuple[int, int | None], ...]:
    """When a wall-clock time is due, in milliseconds: never, at one moment, or at two.

    PEP 495: fold 0 is the first pass of a repeated time. In a gap, fold 0 has the offset before the gap and fold 1 the one after.
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
    """The moment, to the second, at which the zone changes to the offset that it has at ``after``."""
    goal = _offset((_EPOCH + after * _MILLISECOND).astimezone(where))
    while after - before > 1000:
        middle = (before + after) // 2000 * 1000
        if _offset((_EPOCH + middle * _MILLISECOND).astimezone(where)) == goal:
            after = middle
        else:
            before = middle
    return after


def _offset(moment: datetime) -> int:
    """How far a zone is ahead of UTC, in milliseconds."""
    offset = moment.utcoffset()
    return 0 if offset is None else offset // _MILLISECOND
