"""When a request is sent again: which answers say that trying again may help, and how long to wait.

Every request may be sent again. Those that would have a second effect carry an Idempotency-Key; the others ask for a state.
"""

import random
import time
from collections.abc import Mapping

from fastlane.client.errors import Refused, Unreachable

REPEATABLE = frozenset({429, 502, 503, 504})
"""Answers after which the same request may succeed."""
FIRST, LARGEST = 0.2, 5.0
"""Seconds between two tries: twice as long each time, up to the largest."""
UNREACHED = 1.0
"""Seconds for which an address is tried that has never answered: it is wrong, or nothing runs there."""


class Attempts:
    """The tries of one request, for ``patience`` seconds. ``now`` is any clock that only goes forward."""

    def __init__(self, patience: float, now: float, *, reached: bool = True) -> None:
        self._patience = patience
        self._delay = FIRST
        self._until = now + (patience if reached else min(patience, UNREACHED))

    def succeeded(self, now: float) -> None:
        """What was sent got an answer, so patience begins anew."""
        self._delay = FIRST
        self._until = now + self._patience

    def next(self, now: float, retry_after: float | None = None) -> float | None:
        """Seconds to wait before the next try, with some jitter; None when patience is over."""
        delay = max(self._delay * random.uniform(0.75, 1.25), retry_after or 0.0)
        self._delay = min(LARGEST, self._delay * 2)
        return delay if now + delay <= self._until else None


def reconnect_after(error: Unreachable | Refused, attempts: Attempts) -> float | None:
    """Seconds after which a connection is made again; None when that cannot help."""
    hopeless = error.permanent if isinstance(error, Unreachable) else error.status not in REPEATABLE
    return None if hopeless else attempts.next(time.monotonic())


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that an answer asks to wait, if it does."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None
