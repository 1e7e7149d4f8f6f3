"""The five fields of a cron expression: a strict reader in front of croniter, which expands the fields.

croniter accepts more than cron does (six and seven fields, ``L``, ``W``, ``#``, ``?``, ``R``, ranges that run backwards, ``10/5``, steps
larger than the field) and takes a range of one, ``5-5``, for the whole field. It gets only what it reads as cron does.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache

from croniter import croniter

from fastlane.errors import quoted
from fastlane.models.schedule.cron_dialects import every_advice, item_advice

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

    @property
    def forms(self) -> str:
        """The advice on what to write."""
        names = f" or {', '.join(self.names)}" if self.names else ""
        return f"write numbers from {self.low} to {self.high}{names}, ranges (a-b), lists (a,b) or steps (*/n, a-b/n)"


_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
WEEKDAYS = {name: number for number, name in enumerate(_WEEKDAY_NAMES)}
FIELDS = (
    FieldSpec("minute", 0, 59),
    FieldSpec("hour", 0, 23),
    FieldSpec("day of month", 1, 31),
    FieldSpec("month", 1, 12, MONTHS),
    FieldSpec("day of week", 0, 7, WEEKDAYS),
)


@dataclass(frozen=True, slots=True)
class CronFields:
    """An expanded expression: the values of each field in order, Sunday as 0.

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

    def on(self, day: date) -> bool:
        """Whether a day in one of the months matches."""
        by_date, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (by_date or by_weekday) if self.either else (by_date and by_weekday)


@lru_cache(maxsize=1024)
def parse_fields(text: str) -> CronFields:
    """Parses an expression. Raises ValueError, whose text says what to write instead."""
    parts = _split(text)
    checked = [",".join(_item(spec, item) for item in part.split(",")) for spec, part in zip(FIELDS, parts, strict=True)]
    expanded = croniter.expand(" ".join(checked))[0]
    minutes, hours, days, months, weekdays = map(_numbers, FIELDS, expanded)
    return CronFields(
        minutes,
        hours,
        frozenset(days),
        months,
        frozenset(number % 7 for number in weekdays),
        either=not parts[2].startswith("*") and not parts[4].startswith("*"),
        fixed=not parts[0].startswith("*") and not parts[1].startswith("*"),
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


def _item(spec: FieldSpec, item: str) -> str:
    """One item of a field's list, validated, in a form that croniter reads as cron does."""
    if advice := item_advice(item.lower()):
        raise ValueError(f"{quoted(item)} cannot be the {spec.name}: {advice}")
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
