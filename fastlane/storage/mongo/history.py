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

import re
from collections.abc import Sequence
from typing import Any

from fastlane.models.ids import nonce
from fastlane.models.retention import ENDS, HourCount, TaskHour, WantedHours, hour_of
from fastlane.storage.mongo.commits import visible_tasks
from fastlane.storage.mongo.database import Database, Document
from fastlane.storage.mongo.rows import BY_ID, EXECUTIONS, HOURS, UNCOUNTED, MongoRows
from fastlane.storage.records import LAST

_COUNTED = ("task_id", "pool", "status", "scheduled_for", "started_at", "finished_at", UNCOUNTED)
SUMS = (*(status.value for status in ENDS), "started", "late")


class MongoHistory:
    """The ``HistoryStore`` of the database."""

    def __init__(self, db: Database, rows: MongoRows) -> None:
        self._db = db
        self._rows = rows

    async def count_ends(self, limit: int) -> int:
        return await self._rows.written(lambda: _count_some(self._db, limit))

    async def hours(self, wanted: WantedHours) -> Sequence[HourCount]:
        return await self._db.call(lambda: _hours(self._db, wanted))

    async def overdue_hours(self, before: int) -> int:
        return await self._db.call(lambda: self._db.count(HOURS, {"hour": {"$gte": -LAST - 1, "$lt": before}}, "hours_by_age"))

    async def prune_hours(self, before: int, limit: int) -> int:
        return await self._rows.written(lambda: _prune(self._db, before, limit))


async def _count_some(db: Database, limit: int) -> int:
    rows = await db.find(EXECUTIONS, {UNCOUNTED: True}, "executions_uncounted", limit=limit, fields=("_id",))
    await count(db, [row["_id"] for row in rows])
    return len(rows)


async def count(db: Database, execution_ids: Sequence[str]) -> None:
    """Counts the executions that ended and are not counted yet."""
    rows = await db.with_ids(EXECUTIONS, execution_ids, _COUNTED)
    of_hours: dict[tuple[str, str, int], list[str]] = {}
    for row in rows.values():
        if row.get(UNCOUNTED):
            of_hours.setdefault((row["task_id"], row["pool"] or "", hour_of(row["finished_at"] or 0)), []).append(row["_id"])
    for key, ids in of_hours.items():
        while not await _count_into(db, key, ids):
            pass


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


async def _hours(db: Database, wanted: WantedHours) -> list[HourCount]:
    filter: dict[str, Any] = {"hour": {"$gte": wanted.since, "$lt": wanted.until}}
    if wanted.task_id is not None:
        if wanted.visible is not None and not re.match(wanted.visible, wanted.task_id):
            return []
        filter["task_id"] = wanted.task_id
    elif wanted.visible is not None:
        filter["task_id"] = {"$in": await visible_tasks(db, wanted.visible)}
    if wanted.pool is not None:
        filter["pool"] = wanted.pool
    sums = {name: {"$sum": f"${name}"} for name in SUMS}
    stages = [{"$match": filter}, {"$group": {"_id": "$hour", **sums, "latest": {"$max": "$latest"}}}]
    rows = await db.group(HOURS, stages, "hours_by_age" if wanted.task_id is None else "hours_of_task")
    return sorted((_count(row) for row in rows), key=lambda one: one.hour)


def _count(row: Document) -> HourCount:
    return _counted(row["_id"], row)


def _counted(hour: int, row: Document) -> HourCount:
    ended = {status: row[status.value] for status in ENDS if row[status.value]}
    return HourCount(hour, ended, row["started"], row["late"], row["latest"])


def _id(hour: int, pool: str, task_id: str) -> str:
    return f"{hour}/{pool}/{task_id}"


async def rows(db: Database, limit: int, after: TaskHour | None) -> list[TaskHour]:
    """The counts of each hour, task and pool, by the ids of their documents, after the named one."""
    last = "" if after is None else _id(after.count.hour, after.pool, after.task_id)
    found = await db.find(HOURS, {"_id": {"$gte": last, "$ne": last}}, BY_ID, sort=[("_id", 1)], limit=limit)
    return [TaskHour(row["task_id"], row["pool"], _counted(row["hour"], row)) for row in found]


async def restore(db: Database, row: TaskHour) -> bool:
    """Writes the counts of a task and a pool in an hour. Nobody counts into it meanwhile."""
    count = row.count
    ended = {status.value: count.ended.get(status, 0) for status in ENDS}
    sums = {**ended, "started": count.started, "late": count.late, "latest": count.latest}
    given = {"task_id": row.task_id, "pool": row.pool, "hour": count.hour, **sums}
    fresh = {"rev": 0, "batch": [], "made": nonce()}
    await db.upsert(HOURS, _id(count.hour, row.pool, row.task_id), {"$set": given, "$setOnInsert": fresh})
    return True


async def _prune(db: Database, before: int, limit: int) -> int:
    filter = {"hour": {"$gte": -LAST - 1, "$lt": before}}
    rows = await db.find(HOURS, filter, "hours_by_age", sort=[("hour", 1)], limit=limit, fields=("_id",))
    return await db.delete(HOURS, {"_id": {"$in": [row["_id"] for row in rows]}}) if rows else 0
