"""Counts of ends, exactly once without a transaction.

The change that ends an execution marks it as not counted (``UNCOUNTED``). A process that counts takes some of these. Each belongs to one
document of an hour, which keeps the ids that were counted into it last (its ``batch``):

1. The process reads the document, and then which of its executions are still marked. Executions in the batch are counted already: a process
   ended before it took their marks away.
2. It takes the marks of the batch away, and writes the new counts with a new batch, if the document has not changed since (its ``rev``).
3. It takes the marks of the new batch away.

So a counted execution is in the batch until its mark is gone. A process that slept after reading finds another ``rev``. One that slept
before reading finds no mark.
"""

from collections.abc import Sequence

from fastlane.models.ids import nonce
from fastlane.models.retention import ENDS, TaskHour, hour_of
from fastlane.storage.logic import hours_row, task_hour_of
from fastlane.storage.mongo.database import Database, Document
from fastlane.storage.mongo.rows import BY_ID, EXECUTIONS, HOURS, UNCOUNTED

_COUNTED = ("task_id", "pool", "status", "scheduled_for", "started_at", "finished_at", UNCOUNTED)
SUMS = (*(status.value for status in ENDS), "started", "late")


async def count_some(db: Database, limit: int) -> int:
    """Counts executions that ended and are not counted yet, ``limit`` at most; how many."""
    rows = await db.find(EXECUTIONS, {UNCOUNTED: True}, "executions_uncounted", limit=limit, fields=("_id",))
    await count(db, [row["_id"] for row in rows])
    return len(rows)


async def count(db: Database, execution_ids: Sequence[str], *fields: str) -> Sequence[Document]:
    """Counts the executions that ended and are not counted yet. Returns the rows of all of them, with these further fields."""
    rows = await db.with_ids(EXECUTIONS, execution_ids, (*_COUNTED, *fields))
    of_hours: dict[tuple[str, str, int], list[str]] = {}
    for row in rows.values():
        if row.get(UNCOUNTED):
            of_hours.setdefault((row["task_id"], row["pool"] or "", hour_of(row["finished_at"] or 0)), []).append(row["_id"])
    for key, ids in of_hours.items():
        while not await _count_into(db, key, ids):
            pass
    return list(rows.values())


async def _count_into(db: Database, key: tuple[str, str, int], ids: Sequence[str]) -> bool:
    """Counts these executions into the document of their hour; False when somebody else has changed it meanwhile."""
    task_id, pool, hour = key
    id = _id(hour, pool, task_id)
    stored = await db.one(HOURS, id)
    rows = await db.with_ids(EXECUTIONS, ids, _COUNTED)
    marked = [row for row in rows.values() if row.get(UNCOUNTED)]
    before: Document = {"rev": 0, "latest": 0, "batch": [], **dict.fromkeys(SUMS, 0)} if stored is None else stored
    fresh = [row for row in marked if row["_id"] not in before["batch"]]
    if fresh:
        await _unmark(db, before["batch"])
        batch, made = [row["_id"] for row in fresh], nonce()
        after = {**_added(before, fresh), "batch": batch, "rev": before["rev"] + 1, "made": made}
        if stored is None:
            written = await db.insert(HOURS, {"_id": id, "task_id": task_id, "pool": pool, "hour": hour, **after})
        else:
            written = await db.update(HOURS, id, {"rev": before["rev"]}, {"$set": after}, lambda row: bool(row["made"] == made))
        if not written:
            return False
    await _unmark(db, [row["_id"] for row in marked])
    return True


def _added(before: Document, rows: Sequence[Document]) -> Document:
    lateness = [max(0, row["started_at"] - row["scheduled_for"]) for row in rows if row["started_at"] is not None]
    ended = {status.value: before[status.value] + sum(row["status"] == status.value for row in rows) for status in ENDS}
    return {
        **ended,
        "started": before["started"] + len(lateness),
        "late": before["late"] + sum(lateness),
        "latest": max([before["latest"], *lateness]),
    }


async def _unmark(db: Database, execution_ids: Sequence[str]) -> None:
    if execution_ids:
        await db.update_all(EXECUTIONS, execution_ids, {"$unset": {UNCOUNTED: ""}})


def _id(hour: int, pool: str, task_id: str) -> str:
    return f"{hour}/{pool}/{task_id}"


async def rows(db: Database, limit: int, after: TaskHour | None) -> list[TaskHour]:
    """The counts of each hour, task and pool, by the ids of their documents, after the named one."""
    last = "" if after is None else _id(after.count.hour, after.pool, after.task_id)
    found = await db.find(HOURS, {"_id": {"$gte": last, "$ne": last}}, BY_ID, sort=[("_id", 1)], limit=limit)
    return [task_hour_of(row) for row in found]


async def restore(db: Database, row: TaskHour) -> bool:
    """Writes the counts of a task and a pool in an hour. Nobody counts into it meanwhile."""
    fresh = {"rev": 0, "batch": [], "made": nonce()}
    await db.upsert(HOURS, _id(row.count.hour, row.pool, row.task_id), {"$set": hours_row(row), "$setOnInsert": fresh})
    return True
