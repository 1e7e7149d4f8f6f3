"""Stores ticks of a job and their executions, which have ended, without waiting for any of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fastlane.models.job import Execution, Usage
from fastlane.models.status import Status
from fastlane.models.tick import cron_key, make_tick
from fastlane.storage.base import Store

MINUTE = 60_000


async def add_runs(store: Store, job_id: str, runs: Sequence[dict[str, Any]], since: int) -> list[Execution]:
    """Stores a tick for each of these, oldest first, due a minute after the other from ``since`` on (milliseconds), with its execution.
    ``seconds``: how long it ran; ``memory``, ``cpu``: what it used (bytes, milliseconds); the rest are fields of it."""
    made = []
    for number, run in enumerate(runs):
        due, fields = since + number * MINUTE, dict(run)
        ended = {"started_at": due, "finished_at": due + round(fields.pop("seconds", 1) * 1_000), "settled": True, "cleaned": True}
        usage = Usage(fields.pop("memory"), fields.pop("cpu", 0)) if "memory" in fields else None
        seen = await store.job(job_id)
        assert seen is not None
        tick, first = make_tick(seen, cron_key(due), sequence=seen.sequence + 1, due=due, now=due)
        one = replace(first, **{"status": Status.DONE, "usage": usage, **ended, **fields})
        assert await store.advance(seen, replace(seen, sequence=seen.sequence + 1), [tick], one)
        made.append(one)
    return made
