"""Calls the Lua scripts with the keys of one installation.

A script may only touch keys that were declared to it. Only the script knows which lane an entry is in, so a script that meets an
undeclared lane changes nothing, names the lane, and is called again.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from fastlane.errors import QueueDown
from fastlane.queue.redis.connection import Pipeline, Script

REMEMBERED_KEYS = 1_000
TURNS = "@turns"
"""The end of the name under which the keys for the turns of a lane are declared."""


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
        self._of_lane = lru_cache(maxsize=REMEMBERED_KEYS)(self._lane)
        self._fixed = (self.generation, *(prefix + name for name in ("entries", "leases", "lanes", "arrivals", "blocked", "groups")))

    def declared(self, lanes: Iterable[str], *own: str) -> list[str]:
        """The keys to declare to a script, as ``entries.lua`` reads them: the fixed ones, each lane's or its turns', the script's
        own."""
        keys = list(self._fixed)
        for lane in lanes:
            keys += self._of_lane(lane)
        keys += own
        return keys

    def ticket(self, digest: str) -> str:
        """The key of one ticket."""
        return f"{self._prefix}ticket:{digest}"

    def _lane(self, lane: str) -> tuple[str, ...]:
        if lane.endswith(TURNS):
            return tuple(f"{self._prefix}{name}:{lane.removesuffix(TURNS)}" for name in ("line", "tasks", "served"))
        return tuple(f"{self._prefix}{name}:{lane}" for name in ("timed", "ready", "slots", "expiries", "waiting"))


MAX_CALLS = 8

TimeSource = Callable[[], int | str]
"""Returns the time that a script takes for now: milliseconds, or an empty text for Redis's own time."""


def redis_time() -> str:
    """Lets each script ask Redis for the time."""
    return ""


class ScriptRunner:
    """Calls the scripts with the keys of one installation."""

    def __init__(self, pipeline: Pipeline, keys: Keys, time: TimeSource) -> None:
        self._pipeline = pipeline
        self._keys = keys
        self._time = time
        self._scripts = Script.read_all()

    async def run(self, name: str, lanes: Iterable[str], arguments: Sequence[str | int], *own: str) -> Any:
        """Calls a script with the keys of these lanes and its ``own``, and again with the lanes that it asks for. Raises QueueDown."""
        declared = list(lanes)
        for _ in range(MAX_CALLS):
            keys = self._keys.declared(declared, *own)
            head = (self._keys.channel, self._time(), len(declared), *declared)
            answer = await self._pipeline.run(self._scripts[name], keys, (*head, *arguments))
            if not (isinstance(answer, list) and answer and answer[0] == "LANE"):
                return answer
            declared += answer[1:]
        raise QueueDown(f"an entry changed lanes during each of {MAX_CALLS} calls of {name}")
