"""The engine's times (RFC 3339 in UTC with up to nine digits after the second) as whole numbers since 1970."""

import re
from datetime import UTC, datetime

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


def nanoseconds(text: str) -> int:
    """Nanoseconds of ``2026-11-25T12:57:39.852824433Z``; 0 for Go's zero time. Raises ValueError for text that is not a time."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is not an engine's time")
    whole, fraction, offset = found.groups()
    seconds = int(datetime.fromisoformat(whole + offset).timestamp())
    return max(0, seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0")))


def rfc3339(moment: int) -> str:
    """A moment (nanoseconds) as the engine writes it, with nine digits after the second."""
    seconds, rest = divmod(moment, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def milliseconds(text: str | None) -> int | None:
    """Milliseconds of such a time; None for Go's zero time and for text that is not a time."""
    try:
        return nanoseconds(text or "") // 1_000_000 or None
    except ValueError:
        return None
