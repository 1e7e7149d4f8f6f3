"""Calls that only an export or an import needs."""

from collections.abc import Sequence

from fastlane.models.idempotency import IdempotencyRecord
from fastlane.models.ids import nonce
from fastlane.models.task import Task
from fastlane.storage.mongo.commits.intents import complete_pending
from fastlane.storage.mongo.driver.database import Database
from fastlane.storage.mongo.jobs import LAST, following
from fastlane.storage.mongo.rows import read_record, record_row, task_words
from fastlane.storage.mongo.schema import RECEIPTS, TASKS


async def records(db: Database, since: int, limit: int, after: tuple[int, str] | None) -> Sequence[IdempotencyRecord]:
    """The records that were written at that moment or later, by (created_at, key), after the named one. A reservation is none."""
    await complete_pending(db)
    filter = {"created_at": {"$gte": max(since, after[0] if after else since), "$lte": LAST}, **following("created_at", after)}
    sort = [("created_at", 1), ("_id", 1)]
    rows = await db.find(RECEIPTS, {**filter, "done": True}, "receipts_by_age", sort=sort, limit=limit)
    return [read_record(row) for row in rows]


async def restore_record(db: Database, record: IdempotencyRecord) -> bool:
    """Inserts a record, unless its key has one."""
    op = nonce()
    return await db.insert(RECEIPTS, {**record_row(record), "op": op, "made": op, "done": True})


async def restore_task(db: Database, task: Task) -> bool:
    """Gives a task the times of this one; makes it, without jobs, when there is none."""
    times = {"created_at": task.created_at, "modified_at": task.modified_at}
    await db.upsert(TASKS, task.id, {"$set": times, "$setOnInsert": {"words": task_words(task.id)}})
    return True
