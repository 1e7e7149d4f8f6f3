"""Which data Redis holds, and how it is rebuilt after a loss."""

from collections.abc import Sequence

from fastlane.queue.base import TICKS, Entry, Identity, Lane
from fastlane.queue.redis.arguments import batches, entry_arguments
from fastlane.queue.redis.keys import Keys
from fastlane.queue.redis.pipeline import Pipeline
from fastlane.queue.redis.runner import ScriptRunner


class RedisGeneration:
    """The port's ``QueueGeneration``."""

    def __init__(self, pipeline: Pipeline, scripts: ScriptRunner, keys: Keys) -> None:
        self._pipeline = pipeline
        self._scripts = scripts
        self._keys = keys

    async def identity(self) -> Identity:
        """Reads the generation and the server's run id."""
        generation = await self._pipeline.call("GET", self._keys.generation)
        lines = (await self._pipeline.call("INFO", "server")).splitlines()
        server = dict(line.split(":", 1) for line in lines if ":" in line)
        return Identity(generation, server.get("run_id", ""))

    async def wipe(self, *, generation: str | None = None) -> None:
        """Removes all keys of this installation but the tickets', and sets the generation in the same step."""
        lanes = await self._pipeline.call("SMEMBERS", self._keys.lanes)
        own = (self._keys.workers, self._keys.reports, self._keys.check, self._keys.pauses)
        await self._scripts.run("wipe", lanes, [generation or ""], *own)

    async def restore(self, entries: Sequence[Entry], limits: Sequence[Lane]) -> None:
        """Puts entries back as leases that have run out, with their slots."""
        slotless = {TICKS} | {lane.name for lane in limits if lane.limit is None}
        for batch in batches(entries):
            lanes = {entry.lane for entry in batch}
            declared = [*(lanes - slotless), *(lanes & slotless)]
            await self._scripts.run("restore", declared, [len(lanes - slotless), *entry_arguments(batch)])

    async def set_generation(self, generation: str, *, before: str | None = None) -> bool:
        """Sets the generation if the queue is of the one ``before``, or if none is given."""
        return bool(await self._scripts.run("set_generation", (), [generation, before or ""]) == 1)
