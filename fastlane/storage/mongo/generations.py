"""Which queue belongs to the store, which is one document."""

from dataclasses import asdict, fields

from fastlane.storage.base import Generation
from fastlane.storage.mongo.driver.database import Database, Document
from fastlane.storage.mongo.schema import META

_ID = "generation"
_FIRST = Generation(0, "", None, 0)
_FIELDS = tuple(field.name for field in fields(Generation))


async def generation(db: Database) -> Generation:
    """The stored generation."""
    stored = await db.one(META, _ID)
    return _FIRST if stored is None else _generation(stored)


async def change(db: Database, seen: Generation, new: Generation) -> bool:
    """Replaces ``seen`` by ``new``; False when ``seen`` is no longer what is stored."""
    await db.upsert(META, _ID, {"$setOnInsert": asdict(_FIRST)})
    return await db.update(META, _ID, asdict(seen), {"$set": asdict(new)}, lambda stored: _generation(stored) == new)


def _generation(stored: Document) -> Generation:
    return Generation(*(stored[name] for name in _FIELDS))
