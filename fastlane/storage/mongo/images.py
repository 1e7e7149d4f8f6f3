"""The images that engines pulled for executions. A document's id is that of the engine and the reference, in this order."""

from collections.abc import Sequence
from dataclasses import asdict

import orjson

from fastlane.models.ids import nonce
from fastlane.models.image import PulledImage
from fastlane.storage.mongo.driver.database import Database, Document
from fastlane.storage.mongo.schema import BY_ID, EXECUTIONS, IMAGES, UNDER_WAY

_FIELDS = ("engine_id", "reference", "keep_until", "removed_by", "version")


async def of_engine(db: Database, engine_id: str) -> Sequence[PulledImage]:
    """Those of one engine."""
    rows = await db.find(IMAGES, {"_id": {"$gte": f"{engine_id} ", "$lt": f"{engine_id}!"}}, BY_ID, sort=(("_id", 1),))
    return [PulledImage(*(row[name] for name in _FIELDS)) for row in rows]


async def write(db: Database, image: PulledImage) -> bool:
    """Writes a version of a row after the one before it."""
    row: Document = {"_id": _id(image), **asdict(image), "made": nonce()}
    if image.version == 1:
        return await db.insert(IMAGES, row)
    return await db.replace(IMAGES, _id(image), {"version": image.version - 1}, row, lambda stored: stored["made"] == row["made"])


async def drop(db: Database, image: PulledImage) -> bool:
    """Deletes this version of a row."""
    return await db.delete(IMAGES, {"_id": {"$in": [_id(image)]}, "version": image.version}) > 0


async def under_way(db: Database) -> frozenset[str]:
    """The images of the executions under way."""
    stages = ({"$match": {UNDER_WAY: True}}, {"$group": {"_id": {"spec": "$spec", "reference": "$image_reference"}}})
    found = [row["_id"] for row in await db.group(EXECUTIONS, stages, "executions_under_way")]
    names = {str(orjson.loads(row["spec"])["image"]) for row in found}
    return frozenset(names | {row["reference"] for row in found if row.get("reference")})


def _id(image: PulledImage) -> str:
    return f"{image.engine_id} {image.reference}"
