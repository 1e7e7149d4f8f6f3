"""Which data Redis holds, and how it is rebuilt after a loss."""

from collections.abc import Sequence

from fastlane.errors import QueueUnfit
from fastlane.models.store_version import StoreVersion
from fastlane.queue.base import TICKS, AuditPage, Entry, Identity, Lane
from fastlane.queue.redis.arguments import batches, entry_arguments
from fastlane.queue.redis.keys import Keys
from fastlane.queue.redis.pipeline import Pipeline
from fastlane.queue.redis.runner import ScriptRunner

NO_EVICTION = "noeviction"


class RedisGeneration:
    """The port's ``QueueGeneration``."""

    def __init__(self, pipeline: Pipeline, scripts: ScriptRunner, keys: Keys) -> None:
        self._pipeline = pipeline
        self._scripts = scripts
        self._keys = keys
        self._audited: Sequence[str] = ()

    async def identity(self) -> Identity:
        """Reads the generation, the server's run id, and what is known of the store."""
        generation = await self._pipeline.call("GET", self._keys.generation)
        id, commits = await self._pipeline.call("HMGET", self._keys.store, "id", "commits")
        seen = None if id is None else StoreVersion(id, int(commits or 0))
        return Identity(generation, (await self._info("server")).get("run_id", ""), seen)

    async def remember_store(self, version: StoreVersion) -> None:
        """Keeps how far the store has come."""
        await self._scripts.run("remember_store", (), [version.store, version.commits], self._keys.store)

    async def refuse_eviction(self) -> None:
        """Reads the server's policy; a server that does not tell it is trusted."""
        policy = (await self._info("memory")).get("maxmemory_policy", NO_EVICTION)
        if policy != NO_EVICTION:
            raise QueueUnfit(
                f"Redis drops entries when its memory is full, because its maxmemory-policy is {policy}: "
                f"set it to {NO_EVICTION} (CONFIG SET maxmemory-policy {NO_EVICTION}, and in its configuration)"
            )

    async def audit(self, generation: str, page: str | None = None) -> AuditPage:
        """Looks at some 256 members of the sets. The lanes are read with the first page; the script asks for one that is new since."""
        if page is None:
            self._audited = await self._pipeline.call("SMEMBERS", self._keys.lanes)
        following, wrong, is_rest = await self._scripts.run("audit", self._audited, [generation, page or ""])
        return AuditPage(wrong or None, following or None, is_rest == 1)

    async def wipe(self, *, generation: str | None = None, lanes: Sequence[str] = ()) -> None:
        """Removes all keys of this installation but the tickets', and sets the generation in the same step."""
        known = {*await self._pipeline.call("SMEMBERS", self._keys.lanes), *lanes}
        own = (self._keys.workers, self._keys.reports, self._keys.check, self._keys.pauses, self._keys.store)
        await self._scripts.run("wipe", known, [generation or ""], *own)

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

    async def _info(self, section: str) -> dict[str, str]:
        lines = (await self._pipeline.call("INFO", section)).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)
