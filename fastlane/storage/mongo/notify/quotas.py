"""The quotas of mails, a document each."""

from collections.abc import Sequence

from fastlane.models.delivery import MailQuota
from fastlane.models.ids import nonce
from fastlane.storage.mongo.driver.database import Database, Document
from fastlane.storage.mongo.schema import BY_ID, QUOTAS
from fastlane.storage.notices import quota_document, quota_from


async def get(db: Database, quota_id: str) -> MailQuota | None:
    """One quota."""
    row = await db.one(QUOTAS, quota_id)
    return None if row is None else quota_from({**row, "id": row["_id"]})


async def after(db: Database, limit: int, last: str) -> Sequence[MailQuota]:
    """Those with greater ids than this one, by id."""
    rows = await db.find(QUOTAS, {"_id": {"$gte": last, "$ne": last}}, BY_ID, sort=[("_id", 1)], limit=limit)
    return [quota_from({**row, "id": row["_id"]}) for row in rows]


async def write(db: Database, quota: MailQuota) -> bool:
    """Writes a version of a row after the one before it."""
    fields = quota_document(quota)
    row: Document = {"_id": fields.pop("id"), **fields, "made": nonce()}
    if quota.version == 1:
        return await db.insert(QUOTAS, row)
    return await db.replace(QUOTAS, quota.id, {"version": quota.version - 1}, row, lambda stored: stored["made"] == row["made"])


async def prune(db: Database, before: int) -> bool:
    """Deletes those whose last mail was before a moment; whether there were any."""
    rows = await db.find(QUOTAS, {"told_at": {"$gte": 0, "$lt": before}}, "mail_quotas_by_age", fields=("_id",))
    ids = [row["_id"] for row in rows]
    return bool(ids) and await db.delete(QUOTAS, {"_id": {"$in": ids}, "told_at": {"$lt": before}}) > 0
