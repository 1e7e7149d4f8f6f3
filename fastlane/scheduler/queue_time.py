"""How long it is until a moment of Redis's clock, more precisely than a worker's clock is aligned with it.

An answer of the queue names the time at which its script began, which is over by the time that it comes. So a worker that counts from its
coming is late by as much as the answer took, and never early. The quickest of the answers that came lately is the best one to count from.
"""

import math

from fastlane.clock import Clock

KEPT = 1.0
"""Seconds after which another answer may be the best one, and twice as many until one is forgotten: a clock may be set."""


class QueueTime:
    """Counts by ``clock``, which may show anything."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = -math.inf
        self._best = self._best_before = -math.inf

    def heard(self, now: int, micros: int) -> None:
        """Takes in an answer that has just come: the queue's time in milliseconds, and the microseconds."""
        here = self._clock.elapsed()
        ahead = now / 1_000 + micros / 1_000_000 - here
        if here < self._since + KEPT:
            self._best = max(self._best, ahead)
            return
        self._best_before = self._best if here < self._since + 2 * KEPT else -math.inf
        self._since, self._best = here, ahead

    def until(self, moment: int) -> float:
        """Seconds until that moment of the queue's time (milliseconds), in whole microseconds, since what is less is an error of floating
        point; at most 0 when it is over. Only after an answer."""
        return round(moment / 1_000 - max(self._best, self._best_before) - self._clock.elapsed(), 6)
