"""Cron: a periodic schedule, its reader, and the search for its due times.

Changes of the clocks follow the rules of Debian's cron(8), as docs/scheduling.md explains: a fixed time in a gap of at most three hours
runs at the change, and one in a repeated hour runs the first time only; a job whose minute or hour begins with ``*`` runs at each real
minute that matches. The search goes over wall-clock times and asks the zone when each matching time really is.
"""

import calendar
import re
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from functools import lru_cache
from heapq import merge
from itertools import islice, takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from croniter import croniter

from fastlane.errors import quoted
from fastlane.models.month_days import ORDINALS, DateRule, FromEnd, NthWeekday, WorkingDay, read_date, read_weekday

WHOLE = {1: "* * * * *", 60: "@hourly", 1440: "@daily"}
"""What has a form of its own, by its minutes."""

_EVERY = re.compile(r"@every\s+([0-9]{1,9})([smhd])", re.IGNORECASE | re.ASCII)


def every_advice(text: str) -> str | None:
    """What to write instead of ``@every 5m``; None for any other text."""
    if not text.strip().lower().startswith("@every"):
        return None
    if expression := cron_of_every(text):
        return f'{quoted(text)} is not cron; write "{expression}"'
    return f'{quoted(text)} is not cron; write a step that divides an hour or a day, such as "*/5 * * * *" or "0 */6 * * *"'


def cron_of_every(text: str) -> str | None:
    """The expression for ``@every 5m``, by the clock; None for any other text, and where cron cannot count the interval evenly."""
    found = _EVERY.fullmatch(text.strip())
    return _evenly(int(found[1]), found[2].lower()) if found else None


def _evenly(number: int, unit: str) -> str | None:
    """The expression for an interval of seconds, minutes, hours or days; None when cron cannot count it evenly."""
    minutes, seconds = divmod(number * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[unit], 60)
    if seconds or not minutes:
        return None
    if minutes in WHOLE:
        return WHOLE[minutes]
    if 60 % minutes == 0:
        return f"*/{minutes} * * * *"
    return f"0 */{minutes // 60} * * *" if 1440 % minutes == 0 and minutes % 60 == 0 else None


MAX_TEXT = 256
ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
FORMS = 'write five fields, "minute hour day-of-month month day-of-week", such as "30 2 * * 1-5"'

_ITEM = re.compile(r"(?:\*|(?P<first>[0-9]+|[a-z]+)(?:-(?P<last>[0-9]+|[a-z]+))?)(?:/(?P<step>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """The values that one of the five fields may have."""

    name: str
    low: int
    high: int
    names: Mapping[str, int] = field(default_factory=dict)
    counted: str = ""
    """The forms of days that are counted within their month."""

    @property
    def forms(self) -> str:
        """The advice on what to write."""
        names = f" or {', '.join(self.names)}" if self.names else ""
        return f"write numbers from {self.low} to {self.high}{names}, ranges (a-b), lists (a,b), steps (*/n, a-b/n){self.counted}"


_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
WEEKDAYS = {name: number for number, name in enumerate(_WEEKDAY_NAMES)}
FIELDS = (
    FieldSpec("minute", 0, 59),
    FieldSpec("hour", 0, 23),
    FieldSpec("day of month", 1, 31, counted=", L (the last day), L-3, 15W (the nearest working day) or LW"),
    FieldSpec("month", 1, 12, MONTHS),
    FieldSpec("day of week", 0, 7, WEEKDAYS, counted=", fri#2 (the second Friday) or friL (the last one)"),
)
DATES, WEEK = FIELDS[2], FIELDS[4]


@dataclass(frozen=True, slots=True)
class CronFields:
    """An expanded expression: the values of each field in order, Sunday as 0. ``dates`` and ``nth`` are the days that are counted within
    their month, of the fields of the date and of the weekday.

    ``either``: date and weekday are both restricted, so a day matches by one of them; otherwise it must match by both.
    ``fixed``: neither minute nor hour begins with ``*``, so the expression names times of day, each due once a day.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: tuple[int, ...]
    weekdays: frozenset[int]
    either: bool
    fixed: bool
    dates: tuple[DateRule, ...] = ()
    nth: tuple[NthWeekday, ...] = ()

    def on(self, day: date) -> bool:
        """Whether a day in one of the months matches."""
        by_date = day.day in self.days or any(rule.on(day) for rule in self.dates)
        by_weekday = day.isoweekday() % 7 in self.weekdays or any(rule.on(day) for rule in self.nth)
        return (by_date or by_weekday) if self.either else (by_date and by_weekday)


@lru_cache(maxsize=1024)
def parse_fields(text: str) -> CronFields:
    """Parses an expression. Raises ValueError, whose text says what to write instead."""
    parts = _split(text)
    items = [[_item(spec, item) for item in part.split(",")] for spec, part in zip(FIELDS, parts, strict=True)]
    plain = [[item for item in some if isinstance(item, str)] for some in items]
    expanded = croniter.expand(" ".join(",".join(some) or "*" for some in plain))[0]
    minutes, hours, days, months, weekdays = (
        _numbers(spec, values) if some else () for spec, some, values in zip(FIELDS, plain, expanded, strict=True)
    )
    return CronFields(
        minutes,
        hours,
        frozenset(days),
        months,
        frozenset(number % 7 for number in weekdays),
        either=not parts[2].startswith("*") and not parts[4].startswith("*"),
        fixed=not parts[0].startswith("*") and not parts[1].startswith("*"),
        dates=tuple(item for item in items[2] if isinstance(item, FromEnd | WorkingDay)),
        nth=tuple(item for item in items[4] if isinstance(item, NthWeekday)),
    )


def _numbers(spec: FieldSpec, expanded: Sequence[int | str]) -> tuple[int, ...]:
    if "*" in expanded:
        return tuple(range(spec.low, spec.high + 1))
    return tuple(sorted(int(value) for value in expanded))


def _split(text: str) -> list[str]:
    """The five fields of an expression or an alias."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"has more than {MAX_TEXT} characters; {FORMS}")
    if advice := every_advice(text):
        raise ValueError(advice)
    parts = re.findall(r"\S+", text, re.ASCII)
    if len(parts) == 1 and parts[0].startswith("@"):
        if parts[0].lower() not in ALIASES:
            raise ValueError(f"{quoted(text)} is not a schedule; write one of {', '.join(ALIASES)}, or five fields")
        return ALIASES[parts[0].lower()].split()
    if len(parts) != len(FIELDS):
        count = "1 field" if len(parts) == 1 else f"{len(parts)} fields"
        more = " (none for seconds or years)" if len(parts) > len(FIELDS) else ""
        raise ValueError(f"{quoted(text)} has {count}; cron needs 5{more}; {FORMS}")
    return parts


def _item(spec: FieldSpec, item: str) -> str | DateRule | NthWeekday:
    """One item of a field's list, validated: a day that is counted within its month, or text in a form that croniter reads as cron does."""
    if item == "?":
        raise ValueError(f"{quoted(item)} cannot be the {spec.name}: cron has no ?; write *")
    counted = read_date(item) if spec is DATES else read_weekday(item, WEEKDAYS) if spec is WEEK else None
    if counted is not None:
        return counted
    match = _ITEM.fullmatch(item.lower())
    if match is None:
        raise ValueError(f"{quoted(item) if item else 'an empty item'} cannot be the {spec.name}; {spec.forms}")
    step = _step(spec, item, match["step"])
    if not match["first"]:
        return item
    first = _number(spec, match["first"])
    if not match["last"]:
        if step:
            raise ValueError(f"{quoted(item)} cannot be the {spec.name}: a step follows a range; write {first}-{spec.high}/{step}")
        return str(first)
    last = 7 if match["last"] == "sun" and first > 0 else _number(spec, match["last"])
    if first > last:
        top = 6 if spec.high == 7 else spec.high
        raise ValueError(f"{quoted(item)} cannot be the {spec.name}: the range runs backwards; write {first}-{top},{spec.low}-{last}")
    return str(first) if first == last else f"{first}-{last}/{step or 1}"


def _number(spec: FieldSpec, text: str) -> int:
    number = spec.names.get(text) if text.isalpha() else _small(text)
    if number is None or not spec.low <= number <= spec.high:
        raise ValueError(f"{quoted(text)} cannot be the {spec.name}; {spec.forms}")
    return number


def _step(spec: FieldSpec, item: str, text: str | None) -> int:
    """The step after a ``/``; 0 without one."""
    if text is None:
        return 0
    step = _small(text)
    if step is None or not 1 <= step <= spec.high:
        raise ValueError(f"{quoted(item)} cannot be the {spec.name}: the step is too large; write one from 1 to {spec.high}")
    return step


def _small(digits: str) -> int | None:
    """The number; None for one that is too long to be meant."""
    return int(digits) if len(digits) < 10 else None


MONTHS_IN_WORDS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
WEEKDAYS_IN_WORDS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MOST_TIMES = 6
"""Times of day that are listed one by one."""
LONG = 5
"""Numbers that are said as steps where they can be."""


@lru_cache(maxsize=1024)
def describe(text: str) -> str:
    """An expression that ``read_cron`` accepts, in words."""
    fields = parse_fields(text)
    times, days = _times(fields), _days(fields)
    if times.startswith("Every"):
        return f"{times}, {days}" if days else times
    return f"{times}, {days}" if days else f"{times} every day"


def _times(fields: CronFields) -> str:
    """When in a day."""
    minutes, hours = fields.minutes, fields.hours
    if (step := _common_step(minutes, 60)) is not None:
        every = "Every minute" if step == 1 else f"Every {step} minutes"
        return every if len(hours) == 24 else f"{every} {_during(hours)}"
    if len(minutes) * len(hours) <= MOST_TIMES:
        return f"At {_listed([f'{hour:02}:{minute:02}' for hour in hours for minute in minutes])}"
    if (hourly := _every_hour(hours, minutes)) is not None:
        return hourly
    return f"At {_numbered('minute', minutes)} of {_numbered('hour', hours)}"


def _every_hour(hours: Sequence[int], minutes: Sequence[int]) -> str | None:
    """Times that repeat every hour or every few hours, all day or for a part of it; None for others."""
    past = "" if minutes == (0,) else f" at {_numbered('minute', minutes)}"
    if (step := _common_step(hours, 24)) is not None:
        return f"Every {'hour' if step == 1 else f'{step} hours'}{past}"
    runs = _runs(hours)
    if len(minutes) == 1 and len(runs) == 1:
        return f"Every hour from {runs[0][0]:02}:{minutes[0]:02} to {runs[0][1]:02}:{minutes[0]:02}"
    return None


def _during(hours: Sequence[int]) -> str:
    """In which hours, each as a whole."""
    if (step := _common_step(hours, 24)) is not None:
        return f"of every {_ordinal(step)} hour"
    return _listed([f"from {first:02}:00 to {last:02}:59" for first, last in _runs(hours)])


def _days(fields: CronFields) -> str:
    """On which days; empty for all of them."""
    months, weekdays = _months(fields.months), _weekdays(fields)
    by_date, by_weekday = len(fields.days) < 31, len(fields.weekdays) < 7
    if (not by_date and not by_weekday) or (fields.either and not (by_date and by_weekday)):
        return f"every day {months}" if months else ""
    month = months.removeprefix("in ") if months.startswith("in ") else f"the month{months and ' '}{months}"
    nth = _nth(fields)
    on_nth = f"on {_listed(nth)} of {month}" if nth else ""
    if not by_date:
        every = f"{'every ' * (len(fields.weekdays) == 1)}{weekdays}{months and ' '}{months}" if weekdays else ""
        return ", and ".join(filter(None, (every, on_nth)))
    numbers = [_numbered("day", sorted(fields.days))] if fields.days else []
    dates = f"on {_listed([*numbers, *dict.fromkeys(rule.words for rule in fields.dates)])} of {month}"
    if not by_weekday:
        return dates
    if fields.either:
        return ", and ".join(filter(None, (dates, weekdays and f"every {weekdays}{months and ' '}{months}", on_nth)))
    return f"{dates}, but only {_listed([*filter(None, [weekdays]), *nth])}"


def _nth(fields: CronFields) -> list[str]:
    """The weekdays that are counted within their month."""
    return list(dict.fromkeys(f"the {ORDINALS[rule.nth]} {WEEKDAYS_IN_WORDS[rule.weekday]}" for rule in fields.nth))


def _months(months: Sequence[int]) -> str:
    """In which months; empty for all of them."""
    if len(months) == 12:
        return ""
    words = _ranges(months, lambda month: MONTHS_IN_WORDS[month - 1])
    return f"from {words[0]}" if len(words) == 1 and len(months) > 1 else f"in {_listed(words)}"


def _weekdays(fields: CronFields) -> str:
    """The weekdays, from Monday on; empty when there are none."""
    from_monday = sorted((day - 1) % 7 for day in fields.weekdays)
    return _listed(_ranges(from_monday, lambda day: WEEKDAYS_IN_WORDS[(day + 1) % 7])) if from_monday else ""


def _common_step(values: Sequence[int], size: int) -> int | None:
    """The distance between values that repeat evenly and for ever, beginning with 0, in a field of this size."""
    if len(values) < 2 or size % len(values):
        return None
    step = size // len(values)
    return step if list(values) == list(range(0, size, step)) else None


def _runs(values: Sequence[int]) -> list[tuple[int, int]]:
    """The first and the last of each row of numbers without a gap."""
    found: list[tuple[int, int]] = []
    for value in values:
        if found and found[-1][1] == value - 1:
            found[-1] = (found[-1][0], value)
        else:
            found.append((value, value))
    return found


def _numbered(noun: str, values: Sequence[int]) -> str:
    """Numbers with what they count."""
    return f"{noun}{'s' if len(values) > 1 else ''} {_listed(_ranges(values, str))}"


def _ranges(values: Sequence[int], name: Callable[[int], str]) -> list[str]:
    """Names, three or more in a row as a range, and many at the same distance as steps."""
    step = values[1] - values[0] if len(values) >= LONG else 1
    if step > 1 and list(values) == list(range(values[0], values[-1] + 1, step)):
        return [f"{name(values[0])} to {name(values[-1])} in steps of {step}"]
    words: list[str] = []
    for first, last in _runs(values):
        if last - first < 2:
            words += [name(value) for value in range(first, last + 1)]
        else:
            words.append(f"{name(first)} to {name(last)}")
    return words


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")


ZONE_FORMS = 'write an IANA name such as "Europe/Berlin"'
MAX_TIMEZONE = 64

_NOT_NAMES = frozenset({"localtime", "Factory", "posixrules"})
"""Names in a machine's zone folder that do not mean the same zone everywhere."""

_OFFSET = re.compile(r"(utc|gmt)?\s*[+-]\s*[0-9]{1,2}(:?[0-9]{2})?|[0-9]+", re.IGNORECASE)


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """The names of all zones; read once."""
    return frozenset(available_timezones() - _NOT_NAMES)


def zone(name: str) -> ZoneInfo:
    """The zone of that name. Raises ValueError when this machine does not know it, though another machine accepted it once."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone that this machine knows; {ZONE_FORMS}, or update its tzdata") from None


def read_timezone(text: object) -> str:
    """Reads the name of a zone (None: UTC), as IANA spells it. Raises ValueError, whose text suggests the nearest names."""
    if text is None:
        return "UTC"
    if not isinstance(text, str):
        raise ValueError(f"is not text; {ZONE_FORMS}")
    if text in zone_names():
        return text
    if _OFFSET.fullmatch(text.strip()):
        raise ValueError(f"{quoted(text)} is an offset, which does not cover summer time; {ZONE_FORMS}")
    nearest = nearest_zones(text)
    forms = f"write {' or '.join(map(repr, nearest))}" if nearest else ZONE_FORMS
    raise ValueError(f"{quoted(text)} is not a time zone; {forms}")


def nearest_zones(text: str) -> list[str]:
    """At most three zones that may be meant by a name in another case, a city alone, or a typing error."""
    meant = text.strip().lower().replace(" ", "_")[:MAX_TIMEZONE]
    known = _by_any_name()
    if meant in known:
        return [known[meant]]
    return list(dict.fromkeys(known[near] for near in get_close_matches(meant, known, n=3, cutoff=0.7)))


@lru_cache(maxsize=1)
def _by_any_name() -> dict[str, str]:
    """Zones by full name and by last part, in lower case; where two share a key, a region's zone (with a ``/``) wins."""
    names = sorted(zone_names(), key=lambda name: ("/" not in name, name.startswith("Etc/"), name))
    known = {name.lower(): name for name in names}
    for name in names:
        known.setdefault(name.rpartition("/")[2].lower(), name)
    return known


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
    """A periodic schedule: the expression as written, and the IANA name of its time zone. Made by ``read_cron``. A schedule of several
    entries has the others as ``also``: it is due when any of them is, and once when several are."""

    text: str
    timezone: str = "UTC"
    also: tuple["Cron", ...] = ()

    @property
    def entries(self) -> tuple["Cron", ...]:
        """Each entry by itself."""
        return (Cron(self.text, self.timezone), *self.also) if self.also else (self,)

    @property
    def texts(self) -> str:
        """The expressions of all entries, for people."""
        return "; ".join(entry.text for entry in self.entries)

    def in_zones(self, zones: Callable[[str], str]) -> "Cron":
        """The same schedule, with another zone for each entry, by the one that it has."""
        also = tuple(entry.in_zones(zones) for entry in self.also)
        return Cron(self.text, zones(self.timezone), also)

    def due_at(self, due: int) -> str | None:
        """Which of several entries are due at that moment (milliseconds), for people; None when there is only one."""
        if not self.also:
            return None
        return "; ".join(f"{entry.text} ({entry.timezone})" for entry in self.entries if next_tick(entry, due - 1) == due)


def joined(entries: Sequence[Cron]) -> Cron | None:
    """One schedule of these entries; None without any."""
    return Cron(entries[0].text, entries[0].timezone, tuple(entries[1:])) if entries else None


MAX_ENTRIES = 20
"""Entries of one schedule. Each is asked for its next due time at each tick."""


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
    """The last due time after ``after`` and up to and including ``until``, or None. A binary search takes 40 steps for ten years."""
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
    """The due times of all entries after a moment, in order, each once."""
    if not cron.also:
        yield from _entry_ticks(cron, after)
        return
    last = None
    for moment in merge(*(_entry_ticks(entry, after) for entry in cron.entries)):
        if moment != last:
            yield moment
        last = moment


def _entry_ticks(cron: Cron, after: int) -> Iterator[int]:
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
