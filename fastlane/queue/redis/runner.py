"""Calls the Lua scripts with the keys of one installation.

A script may only touch keys that were declared to it. Only the script knows which lane an entry is in, so a script that meets an
undeclared lane changes nothing, names the lane, and is called again.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fastlane.errors import QueueDown
from fastlane.queue.redis.keys import Keys
from fastlane.queue.redis.pipeline import Pipeline
from fastlane.queue.redis.script import NAMES, Script

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
        self._scripts = {name: Script.read(name) for name in NAMES}

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
