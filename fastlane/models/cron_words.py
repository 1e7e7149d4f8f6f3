"""A cron in words, for people."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from fastlane.models.cron import MINUTE, CronFields, interval, parse_fields
from fastlane.models.month_days import ORDINALS

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
def describe(text: str, seed: str = "") -> str:
    """An expression that ``read_cron`` accepts, in words, with the numbers that the seed chooses."""
    if (every := interval(text)) is not None:
        return _every(every // MINUTE)
    fields = parse_fields(text, seed)
    times, days = _times(fields), _days(fields)
    if times.startswith("Every"):
        return f"{times}, {days}" if days else times
    return f"{times}, {days}" if days else f"{times} every day"


def _every(minutes: int) -> str:
    """An interval that no clock has a part in."""
    for size, noun in ((1440, "day"), (60, "hour"), (1, "minute")):
        if minutes % size == 0:
            count = minutes // size
            return f"Every {noun if count == 1 else f'{count} {noun}s'}, counted from the last due time"
    raise ValueError(f"{minutes} is not a number of minutes")


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
