"""Cron: a periodic schedule, its reader, and the search for its due times.

Changes of the clocks follow the rules of Debian's cron(8), as docs/scheduling.md explains: a fixed time in a gap of at most three hours
runs at the change, and one in a repeated hour runs the first time only; a job whose minute or hour begins with ``*`` runs at each real
minute that matches. The search goes over wall-clock times and asks the zone when each matching time really is.

``H`` is a number chosen for the job, ``@every`` an interval that is counted from a moment of the job's, and a spread a delay that is chosen
for the job. What is chosen follows from the ``seed`` and the ``start`` of a ``Cron``, which are settled when the job is made (see
``Cron.settled``): so its due times are the same in each process.
"""

import calendar
import hashlib
import re
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from functools import lru_cache
from heapq import merge
from itertools import islice, takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from croniter import croniter

from fastlane.errors import quoted
from fastlane.models.month_days import DateRule, FromEnd, NthWeekday, WorkingDay, read_date, read_weekday

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
        return f"write numbers from {self.low} to {self.high}{names}, ranges (a-b), lists (a,b), steps (*/n, a-b/n), H{self.counted}"


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


LONGEST_INTERVAL = 366 * 1440
"""Minutes of the longest ``@every``."""
_EVERY = re.compile(r"@every(?:\s+(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?)?", re.IGNORECASE | re.ASCII)
_EVERY_FORMS = 'write @every and an interval of whole minutes, such as "@every 15m", "@every 1h30m" or "@every 2d"'


@lru_cache(maxsize=1024)
def interval(text: str) -> int | None:
    """The interval of ``@every 15m`` in milliseconds; None for an expression. Raises ValueError."""
    if not text.strip().lower().startswith("@every") or len(text) > MAX_TEXT:
        return None
    found = _EVERY.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        raise ValueError(f"{quoted(text)} is not an interval; {_EVERY_FORMS}")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if total % 60 or not total:
        raise ValueError(f"{quoted(text)} is not a number of whole minutes; {_EVERY_FORMS}")
    if total > LONGEST_INTERVAL * 60:
        raise ValueError(f"{quoted(text)} is longer than 366 days; {_EVERY_FORMS}")
    return total * 1000


CHOSEN_DAYS = 28
"""Days of a month among which ``H`` chooses: each month has them."""
_CHOSEN = re.compile(r"h(?:\((?P<first>[0-9]+|[a-z]+)-(?P<last>[0-9]+|[a-z]+)\))?(?:/(?P<step>[0-9]+))?")


def chosen(seed: str, what: str, count: int) -> int:
    """A number from 0 to below ``count``, always the same one for this seed and this use of it, and evenly spread over seeds."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{what}".encode()).digest()[:8]) % count


@lru_cache(maxsize=1024)
def has_choice(text: str) -> bool:
    """Whether an expression has ``H``, so that its due times depend on the seed."""
    return interval(text) is None and any(_CHOSEN.fullmatch(item.lower()) for part in _split(text) for item in part.split(","))


@lru_cache(maxsize=1024)
def resolved(text: str, seed: str) -> str:
    """The five fields of an expression, with numbers in place of each ``H``. Raises ValueError."""
    parts = zip(FIELDS, _split(text), strict=True)
    return " ".join(",".join(_resolved(spec, item, seed) for item in part.split(",")) for spec, part in parts)


def _resolved(spec: FieldSpec, item: str, seed: str) -> str:
    found = _CHOSEN.fullmatch(item.lower())
    if found is None:
        return item
    top = CHOSEN_DAYS if spec is DATES else 6 if spec is WEEK else spec.high
    low, high = (_number(spec, found["first"]), _number(spec, found["last"])) if found["first"] else (spec.low, top)
    if high > top and spec is DATES:
        words = f"H chooses among days that each month has; write a range up to {top}"
        raise ValueError(f"{quoted(item)} cannot be the {spec.name}: {words}")
    if low > high:
        raise ValueError(f"{quoted(item)} cannot be the {spec.name}: the range runs backwards; write H({high}-{low})")
    step = _step(spec, item, found["step"])
    if not step:
        return str(low + chosen(seed, spec.name, high - low + 1))
    if step > high - low + 1:
        words = f"the step is larger than the range; write one from 1 to {high - low + 1}"
        raise ValueError(f"{quoted(item)} cannot be the {spec.name}: {words}")
    return f"{low + chosen(seed, spec.name, step)}-{high}/{step}"


@lru_cache(maxsize=1024)
def parse_fields(text: str, seed: str = "") -> CronFields:
    """Parses an expression, with the numbers that the seed chooses. Raises ValueError, whose text says what to write instead."""
    parts = resolved(text, seed).split(" ")
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
    if interval(text) is not None:
        raise ValueError(f"{quoted(text)} is an interval, and has no fields; {FORMS}")
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
        what = "small" if step == 0 else "large"
        raise ValueError(f"{quoted(item)} cannot be the {spec.name}: the step is too {what}; write one from 1 to {spec.high}")
    return step


def _small(digits: str) -> int | None:
    """The number; None for one that is too long to be meant."""
    return int(digits) if len(digits) < 10 else None


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


MINUTE, DAY = 60_000, 86_400_000
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
    entries has the others as ``also``: it is due when any of them is, and once when several are. ``seed``: what the numbers of ``H``
    and of the spread follow from; ``start``: the moment in milliseconds from which ``@every`` counts. None: it is not settled, or needs
    none. A cron is the same whatever these two are: a job keeps them. ``spread``: the longest delay of its due times in milliseconds, whole
    minutes, the same for all entries."""

    text: str
    timezone: str = "UTC"
    also: tuple["Cron", ...] = ()
    spread: int = 0
    seed: str | None = field(default=None, compare=False)
    start: int | None = field(default=None, compare=False)

    @property
    def entries(self) -> tuple["Cron", ...]:
        """Each entry by itself."""
        return (replace(self, also=()), *self.also) if self.also else (self,)

    @property
    def has_choice(self) -> bool:
        """Whether the due times depend on the seed."""
        return self.spread > 0 or any(has_choice(entry.text) for entry in self.entries)

    @property
    def delay(self) -> int:
        """By how much each due time is delayed, in milliseconds: always the same time, from 0 to the spread. 0 before it is settled."""
        return chosen(self.seed, "spread", self.spread // MINUTE + 1) * MINUTE if self.spread and self.seed is not None else 0

    def spread_over(self, spread: int) -> "Cron":
        """The same schedule with that spread."""
        return replace(self, spread=spread, also=tuple(entry.spread_over(spread) for entry in self.also))

    @property
    def is_settled(self) -> bool:
        """Whether it is known when it is due."""
        return all(
            (entry.seed is not None or not (entry.spread or has_choice(entry.text)))
            and (entry.start is not None or interval(entry.text) is None)
            for entry in self.entries
        )

    def settled(self, seed: str | None, start: int, before: "Cron | None" = None) -> "Cron":
        """The cron of a job. Its numbers follow from this seed and its intervals count from ``start`` (whole minutes), unless ``before``,
        the cron that the job had, has a seed, and an entry with the same interval."""
        known = before.entries if before is not None else ()
        seed = next((entry.seed for entry in known if entry.seed is not None), seed)
        starts = {entry.text: entry.start for entry in known if entry.start is not None}
        own = start // MINUTE * MINUTE
        entries = [
            replace(
                entry,
                also=(),
                seed=seed if entry.spread or has_choice(entry.text) else None,
                start=None if interval(entry.text) is None else starts.get(entry.text, own),
            )
            for entry in self.entries
        ]
        return replace(entries[0], also=tuple(entries[1:]))

    @property
    def texts(self) -> str:
        """The expressions of all entries, for people."""
        return "; ".join(entry.text for entry in self.entries)

    def in_zones(self, zones: Callable[[str], str]) -> "Cron":
        """The same schedule, with another zone for each entry, by the one that it has."""
        return replace(self, timezone=zones(self.timezone), also=tuple(entry.in_zones(zones) for entry in self.also))

    def due_at(self, due: int) -> str | None:
        """Which of several entries are due at that moment (milliseconds), for people; None when there is only one."""
        if not self.also:
            return None
        return "; ".join(f"{entry.text} ({entry.timezone})" for entry in self.entries if next_tick(entry, due - 1) == due)


def joined(entries: Sequence[Cron]) -> Cron | None:
    """One schedule of these entries; None without any."""
    return replace(entries[0], also=tuple(entries[1:])) if entries else None


MAX_ENTRIES = 20
"""Entries of one schedule. Each is asked for its next due time at each tick."""


def read_cron(text: object, timezone: object = None) -> Cron:
    """Reads an expression and a zone (None: UTC). Raises ValueError, whose text says what to write instead."""
    if not isinstance(text, str):
        raise ValueError(f"is not text; {FORMS}")
    if interval(text) is None and next(_dates(parse_fields(text), date(2000, 1, 1)), None) is None:
        raise ValueError(f"{quoted(text)} never runs: none of its months has that day; write another day or month")
    return Cron(text, read_timezone(timezone))


def next_tick(cron: Cron, after: int) -> int | None:
    """The first due time strictly after a moment, both in milliseconds since 1970; None when none comes within 50 years."""
    return next(ticks_after(cron, after), None)


def ticks_between(cron: Cron, after: int, until: int, most: int) -> tuple[int, ...]:
    """The first ``most`` due times after ``after`` and up to ``until``, both in milliseconds; ``until`` is included."""
    return tuple(islice(takewhile(lambda moment: moment <= until, ticks_after(cron, after)), most))


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


def ticks_after(cron: Cron, after: int) -> Iterator[int]:
    """The due times of all entries after a moment, in order, each once; all in milliseconds. They end some 50 years later."""
    if not cron.also:
        yield from _entry_ticks(cron, after)
        return
    last = None
    for moment in merge(*(_entry_ticks(entry, after) for entry in cron.entries)):
        if moment != last:
            yield moment
        last = moment


def _entry_ticks(cron: Cron, after: int) -> Iterator[int]:
    """The due times of one entry after a moment, in order, each delayed by what was chosen for the job."""
    delay = cron.delay
    return (moment + delay for moment in _undelayed(cron, after - delay))


def _undelayed(cron: Cron, after: int) -> Iterator[int]:
    """The due times after a moment, in order. Those in the second pass of a repeated hour wait in ``again`` for the first pass to end."""
    if after > LAST_MOMENT - 2 * DAY:
        return
    if (every := interval(cron.text)) is not None:
        start = cron.start or 0
        yield from range(start + max((after - start) // every + 1, 1) * every, LAST_MOMENT, every)
        return
    fields, where, last = parse_fields(cron.text, cron.seed or ""), zone(cron.timezone), max(after, -1)
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


def walls(fields: CronFields, first: datetime, before: datetime) -> list[datetime]:
    """The matching wall-clock times from ``first`` to before ``before``, in order, whether or not a zone has them. ``first`` is a whole
    minute; there are few hours between them."""
    return list(takewhile(lambda wall: wall < before, _walls(fields, first)))


def offset_at(where: ZoneInfo, moment: int) -> int:
    """How far a zone is ahead of UTC at a moment, both in milliseconds."""
    return _offset((_EPOCH + moment * _MILLISECOND).astimezone(where))


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
        return ((moment_of_change(where, utc - after, utc - before), None),)
    return ()


def moment_of_change(where: ZoneInfo, before: int, after: int) -> int:
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
