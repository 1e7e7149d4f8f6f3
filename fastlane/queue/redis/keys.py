"""The names of an installation's keys in Redis. ``scripts/entries.lua`` describes what they hold.

All keys share one hash slot, so that one script can use them all on a cluster too.
"""

from collections.abc import Iterable
from functools import lru_cache

REMEMBERED_LANES = 1_000


class Keys:
    """The key names of one installation."""

    def __init__(self, installation: str) -> None:
        prefix = f"{{fl:{installation}:v1}}:"
        self._prefix = prefix
        self.generation = prefix + "gen"
        self.lanes = prefix + "lanes"
        self.workers = prefix + "workers"
        self.reports = prefix + "reports"
        self.check = prefix + "check"
        self.pauses = prefix + "pauses"
        self.store = prefix + "store"
        self.channel = prefix + "signals"
        self.hints = prefix + "hints"
        self._of_lane = lru_cache(maxsize=REMEMBERED_LANES)(self._lane)
        self._fixed = (self.generation, *(prefix + name for name in ("entries", "leases", "lanes", "arrivals", "blocked", "groups")))

    def declared(self, lanes: Iterable[str], *own: str) -> list[str]:
        """The keys to declare to a script, as ``entries.lua`` reads them: the fixed ones, those of each lane, the script's own."""
        keys = list(self._fixed)
        for lane in lanes:
            keys += self._of_lane(lane)
        keys += own
        return keys

    def ticket(self, digest: str) -> str:
        """The key of one ticket."""
        return f"{self._prefix}ticket:{digest}"

    def _lane(self, lane: str) -> tuple[str, ...]:
        return tuple(f"{self._prefix}{name}:{lane}" for name in ("timed", "ready", "slots", "expiries", "waiting"))
