"""How many requests a caller makes, in bounded memory: a token bucket for each of those that were seen last."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from fastlane.web.http.problems import Problem

BURST = 10.0
"""Seconds' worth of requests that a caller may make at once."""
MAX_CALLERS = 4_096


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class RequestRates:
    """Counts the requests of each caller in this process. ``rate``: requests a second, on average; None: no limit."""

    def __init__(self, rate: int | None, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._now = now
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit at all."""
        return self._rate is not None

    def check(self, caller: str | None) -> None:
        """Counts a request. Raises a 429 when the caller may not make it now."""
        if wait := self.take(caller):
            words = f"more than {self._rate} requests a second came from you; send this one again after a pause"
            raise Problem(429, words, headers={"Retry-After": str(ceil(wait))})

    def take(self, caller: str | None) -> float:
        """Counts a request: 0 when the caller may make it, else the seconds until it may. None is nobody in particular, and has no
        limit."""
        if self._rate is None or caller is None:
            return 0.0
        now, most = self._now(), self._rate * BURST
        bucket = self._buckets.pop(caller, None) or _Bucket(most, now)
        bucket.tokens = min(most, bucket.tokens + (now - bucket.filled_at) * self._rate)
        bucket.filled_at = now
        self._buckets[caller] = bucket
        if len(self._buckets) > MAX_CALLERS:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self._rate
        bucket.tokens -= 1
        return 0.0
