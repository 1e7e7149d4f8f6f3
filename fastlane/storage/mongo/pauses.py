"""The paused pools, which are one document."""

from fastlane.models.pool import Pauses
from fastlane.storage.mongo.driver.database import Database
from fastlane.storage.mongo.schema import META

_ID = "pauses"


async def pauses(db: Database) -> Pauses:
    """The paused pools."""
    stored = await db.one(META, _ID)
    return Pauses() if stored is None else Pauses(stored["revision"], frozenset(stored["names"]))


async def pause(db: Database, name: str, paused: bool) -> tuple[Pauses, bool]:
    """Adds a pool to the paused ones, or removes it; the paused pools after it, and whether they have changed."""
    while True:
        before = await pauses(db)
        names = before.names | {name} if paused else before.names - {name}
        if names == before.names:
            return before, False
        await db.upsert(META, _ID, {"$setOnInsert": {"revision": 0, "names": []}})
        change = {"$set": {"revision": before.revision + 1, "names": sorted(names)}}
        if await db.update(META, _ID, {"revision": before.revision}, change):
            return Pauses(before.revision + 1, names), True
