"""Forms that other schedulers read and cron does not: what to write instead."""

import re

from fastlane.errors import quoted

OTHER_WEEKS = "write the weekday alone, and let the command end at once in the other weeks"

WHOLE = {1: "* * * * *", 60: "@hourly", 1440: "@daily"}
"""What has a form of its own, by its minutes."""

_EVERY = re.compile(r"@every\s+([0-9]{1,9})([smhd])", re.IGNORECASE | re.ASCII)
_FORMS = (
    (re.compile(r"\?"), "cron has no ?; write *"),
    (re.compile(r".*#.*", re.DOTALL), f"cron has no # (the nth weekday of a month); {OTHER_WEEKS}"),
    (re.compile(r"l|l-[0-9]+"), "cron has no L (the last day of a month); write 28, or 1 for the day after the last"),
    (re.compile(r"(?:[0-7]|[a-z]{3})l"), f"cron has no L (the last weekday of a month); {OTHER_WEEKS}"),
    (re.compile(r"(?:[0-9]+|l)w"), "cron has no W (the nearest working day); write the date alone, or mon-fri as the day of week"),
)


def item_advice(item: str) -> str | None:
    """What to write instead of an item of a field, in small letters; None for one that no other scheduler is known to read."""
    return next((words for form, words in _FORMS if form.fullmatch(item)), None)


def every_advice(text: str) -> str | None:
    """What to write instead of ``@every 5m``; None for any other text."""
    if not text.strip().lower().startswith("@every"):
        return None
    found = _EVERY.fullmatch(text.strip())
    expression = _evenly(int(found[1]), found[2].lower()) if found else None
    if expression:
        return f'{quoted(text)} is not cron; write "{expression}"'
    return f'{quoted(text)} is not cron; write a step that divides an hour or a day, such as "*/5 * * * *" or "0 */6 * * *"'


def _evenly(number: int, unit: str) -> str | None:
    """The expression for every so many seconds, minutes, hours or days; None when cron cannot count that evenly."""
    minutes, seconds = divmod(number * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[unit], 60)
    if seconds or not minutes:
        return None
    if minutes in WHOLE:
        return WHOLE[minutes]
    if 60 % minutes == 0:
        return f"*/{minutes} * * * *"
    return f"0 */{minutes // 60} * * *" if 1440 % minutes == 0 and minutes % 60 == 0 else None
