"""The receivers that fail, a document each."""

from collections.abc import Sequence
from dataclasses import asdict

from fastlane.models.delivery import Receiver
from fastlane.models.ids import nonce
from fastlane.storage.mongo.driver.database import Database, Document
from fastlane.storage.mongo.notify import quotas
from fastlane.storage.mongo.schema import RECEIVERS
from fastlane.storage.notices import RECEIVER_FIELDS


async def get(db: Database, receiver_id: str) -> Receiver | None:
    """One receiver."""
    row = await db.one(RECEIVERS, receiver_id)
    return None if row is None else _read(row)


async def failing(db: Database, limit: int) -> Sequence[Receiver]:
    """Those that have failed for longest first."""
    filter = {"failing_since": {"$gte": 0}}
    rows = await db.find(RECEIVERS, filter, "receivers_by_age", sort=[("failing_since", 1), ("_id", 1)], limit=limit)
    return [_read(row) for row in rows]


async def write(db: Database, receiver: Receiver) -> bool:
    """Writes a version of a row after the one before it."""
    fields = asdict(receiver)
    row: Document = {"_id": fields.pop("id"), **fields, "made": nonce()}
    if receiver.version == 1:
        return await db.insert(RECEIVERS, row)
    condition = {"version": receiver.version - 1}
    return await db.replace(RECEIVERS, receiver.id, condition, row, lambda stored: stored["made"] == row["made"])


async def drop(db: Database, receiver: Receiver) -> bool:
    """Deletes this version of a row."""
    return await db.delete(RECEIVERS, {"_id": {"$in": [receiver.id]}, "version": receiver.version}) > 0


async def prune(db: Database, before: int) -> bool:
    """Deletes those that failed last before a moment, and the quotas of mails whose last one was before it; whether there were any."""
    quotas_gone = await quotas.prune(db, before)
    rows = await db.find(RECEIVERS, {"failed_at": {"$gte": 0, "$lt": before}}, "receivers_by_failure", fields=("_id",))
    ids = [row["_id"] for row in rows]
    return quotas_gone or (bool(ids) and await db.delete(RECEIVERS, {"_id": {"$in": ids}, "failed_at": {"$lt": before}}) > 0)


def _read(row: Document) -> Receiver:
    return Receiver(row["_id"], *(row[name] for name in RECEIVER_FIELDS[1:]))
