"""Times and durations for people. Pure."""

from datetime import UTC, datetime

STEPS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def moment(text: str) -> datetime:
    """A time as the server writes it."""
    return datetime.fromisoformat(text)


def duration(seconds: float) -> str:
    """The two largest parts: 1d 3h, 2m 5s, 0.4s."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    left = int(seconds)
    parts: list[str] = []
    for size, unit in STEPS:
        if left >= size and len(parts) < 2:
            parts.append(f"{left // size}{unit}")
        left %= size
    return " ".join(parts)


def relative(text: str | None, now: datetime | None = None) -> str:
    """How long ago it was, or in how long it is."""
    if text is None:
        return ""
    seconds = (moment(text) - (now or datetime.now(UTC))).total_seconds()
    if abs(seconds) < 1:
        return "now"
    words = duration(abs(round(seconds)) if abs(seconds) < 10 else abs(seconds)).replace(".0s", "s")
    return f"in {words}" if seconds > 0 else f"{words} ago"


def local(text: str) -> str:
    """A time in the zone of this machine."""
    return moment(text).astimezone().strftime("%a %d %b %Y %H:%M:%S %Z")
