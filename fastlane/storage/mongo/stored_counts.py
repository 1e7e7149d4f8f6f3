"""Stored counts: how many jobs and executions there are in each status, of each task and of all, and how many tasks, exactly, without a
transaction.

A row is counted once it is at rest: an execution that has ended, a job of which nothing is under way. Until then, and again after each
write of a job's status, the row has a mark (``TO_COUNT``). What it is counted as is in the row itself (``COUNTED``, ``COUNTED_OF``). So a
count is the stored number, less what the marked rows are counted as, and with what they are: its price follows what is under way, and
what has changed in the last minute, and not the history.

The stored numbers change by batches, one after another. A batch is written into one document (``HEAD``) with its number, and says all that
it does. Any process may carry it out, as often as it likes:

1. The sums of the batch are added to the numbers of its tasks, and of all, which have not ``applied`` its number yet.
2. Its rows get what they are counted as, and the number (``COUNTED_IN``), unless they have that or a higher one. The mark goes where the
   row still is what it is counted as.
3. Executions and tasks that are deleted go in their own batch, which takes them out of the numbers. A task that has got a job meanwhile
   stays, and is counted again.

A task is counted when it is there, whatever becomes of it. One that was deleted may be made again, so a batch counts the task that it saw
(``BORN``): not a later one of the same id, which a process sees that carries out an old batch.

The next batch begins when this one is done, and is refused if another has begun since its rows were read. So what a row is counted as only
changes in the batch that says so. A reader that knows a batch to be done reads the marked rows, then the head and the numbers: if that
batch is still the last one, the count was exact when it read the marked rows.

A fastlane of an older version writes without marks. It counts its commits, as each process does, and this version counts its own apart
(``foreign``). While the difference is another one than when the counts were made, lists count by walking their index, and once it stands
still for a round, everything is counted anew: all rows are marked again, and the numbers begin at nothing.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import UpdateMany

from fastlane.clock import unless_cancelled
from fastlane.models.ids import nonce
from fastlane.models.job import STATUS_RULE
from fastlane.models.status import FINAL
from fastlane.storage.mongo.database import Database, Document, Filter
from fastlane.storage.mongo.rows import (
    BORN,
    BY_ID,
    COUNTED,
    COUNTED_IN,
    COUNTED_OF,
    EXECUTIONS,
    GONE,
    GONE_AT,
    JOBS,
    META,
    TASKS,
    TO_COUNT,
    VERSION,
    foreign,
)

Found = Mapping[str, Counter[str | None]]
"""Counts by status, by task; of all under ``""``."""

HEAD, _ALL, _TASK = "counts", "counts of all", "counts/"
"""The ids of documents: the last batch; the numbers of all tasks; the start of the ids of each task's."""
KINDS = (JOBS, EXECUTIONS, TASKS)
"""The collections whose rows are counted."""
STATUS: Mapping[str, str] = {JOBS: "job_status", EXECUTIONS: "status"}
AT_REST: Mapping[str, Sequence[str]] = {
    JOBS: sorted({GONE, *(said for _, said in STATUS_RULE if said is not None), *FINAL}),
    EXECUTIONS: sorted(FINAL),
}
THERE = "there"
"""What a task is counted as."""
_NOTHING: Document = {"sums": [], JOBS: [], EXECUTIONS: [], TASKS: [], "deleted": [], "zero": False}
_FIELDS = ("task_id", "job_status", "status", COUNTED, COUNTED_OF)
TRIES = 4
"""Times that a reader begins anew when a batch came in between. After that it counts by walking."""
PAGE = 1_000
"""Rows that are marked at once."""


async def read(db: Database, tasks: Sequence[str] | None, *kinds: str) -> Mapping[str, Found] | None:
    """The counts of these collections, of each of these tasks (None: of all). None where they are not to be trusted now. Tasks are only
    counted together. Callers at the same time share what they read."""
    return await db.joined(("counts", None if tasks is None else tuple(tasks), kinds), lambda: _read(db, tasks, kinds))


async def _read(db: Database, tasks: Sequence[str] | None, kinds: Sequence[str]) -> Mapping[str, Found] | None:
    """The last batch that this process knows to be done is often still the last one, so that two commands do."""
    keys = [_ALL] if tasks is None else [_TASK + id for id in tasks]
    for _ in range(TRIES):
        marked = None
        if (known := db.counted) is not None:
            marked = await unless_cancelled(asyncio.gather(*(_marked(db, kind, tasks) for kind in kinds)))
        found = await db.with_ids(META, [VERSION, HEAD, *keys])
        head = found.get(HEAD)
        if head is None or not head["ready"] or foreign(found.get(VERSION)) != head["foreign"]:
            return None
        if not head["done"]:
            await _carry_out(db, head)
            continue
        if marked is not None and head["n"] == known and all(found[key]["applied"] <= known for key in keys if key in found):
            return {kind: _sum(kind, found, rows, tasks) for kind, rows in zip(kinds, marked, strict=True)}
        db.counted = head["n"]
    return None


async def _marked(db: Database, kind: str, tasks: Sequence[str] | None) -> list[Document]:
    """How many marked rows there are of each kind: what they are, and what they are counted as."""
    if kind == TASKS:
        return [{"_id": {"task": "", "status": THERE}, "rows": await db.count(TASKS, {TO_COUNT: True}, "tasks_to_count")}]
    some = {"$in": list(tasks or ())}
    of_tasks: Filter = {} if tasks is None else {"$or": [{"task_id": some}, {COUNTED_OF: some}]} if kind == JOBS else {"task_id": some}
    key = {"task": "$task_id", "status": f"${STATUS[kind]}", "counted": f"${COUNTED}", "of": f"${COUNTED_OF}"}
    return await db.group(
        kind, [{"$match": {TO_COUNT: True, **of_tasks}}, {"$group": {"_id": key, "rows": {"$sum": 1}}}], f"{kind}_to_count"
    )


def _sum(kind: str, found: Mapping[str, Document], marked: Sequence[Document], tasks: Sequence[str] | None) -> Found:
    sums: dict[str, Counter[str | None]] = {
        id: Counter(found.get(_ALL if tasks is None else _TASK + id, {}).get(kind, {})) for id in ([""] if tasks is None else tasks)
    }
    for row in marked:
        key, rows = row["_id"], row["rows"]
        for task, status, change in ((key.get("task"), key.get("status"), rows), (key.get("of"), key.get("counted"), -rows)):
            if task is not None and (of := sums.get("" if tasks is None else task)) is not None:
                of[status] += change
    return {id: Counter({status: rows for status, rows in of.items() if rows > 0}) for id, of in sums.items()}


async def fold(db: Database, limit: int) -> int:
    """Counts rows that are at rest and marked, ``limit`` of each collection at most. Returns how many marks this process took away."""
    head = await _settled(db)
    if head is None or not head["ready"]:
        return 0
    jobs, executions, tasks = await unless_cancelled(asyncio.gather(*(_at_rest(db, kind, limit) for kind in KINDS)))
    if not (jobs or executions or tasks):
        return 0
    sums, of_jobs, ended = list[tuple[str, str, str, int]](), dict[tuple[str, str | None], list[str]](), dict[str, list[str]]()
    for row in jobs:
        now = (row["job_status"], row.get("task_id"))
        sums += _change(JOBS, row.get(COUNTED), row.get(COUNTED_OF), -1) + _change(JOBS, now[0], now[1], 1)
        of_jobs.setdefault(now, []).append(row["_id"])
    for row in executions:
        sums += _change(EXECUTIONS, row["status"], row["task_id"], 1)
        ended.setdefault(row["status"], []).append(row["_id"])
    sums += [one for row in tasks for one in _change(TASKS, row.get(COUNTED), "", -1) + _change(TASKS, THERE, "", 1)]
    batch = {
        "sums": _added(sums),
        JOBS: [{"status": status, "task": task, "ids": ids} for (status, task), ids in of_jobs.items()],
        EXECUTIONS: [{"status": status, "ids": ids} for status, ids in ended.items()],
        TASKS: [[row["_id"], row.get(BORN)] for row in tasks],
    }
    begun = await _begin(db, head, batch)
    return 0 if begun is None else await _carry_out(db, begun)


async def _at_rest(db: Database, kind: str, limit: int) -> list[Document]:
    rows = {TO_COUNT: True, **({STATUS[kind]: {"$in": AT_REST[kind]}} if kind in STATUS else {})}
    return await db.find(kind, rows, f"{kind}_to_count", limit=limit, fields=_FIELDS if kind in STATUS else (COUNTED, BORN))


async def delete(db: Database, ids: Sequence[str], where: Filter | None = None, *, kind: str = EXECUTIONS) -> int:
    """Deletes executions, or tasks, which are no longer counted after that; how many of them this process deleted itself. ``where``: what
    else must be true of them. Of an execution it does not change once it has ended; a task of which it is true no longer stays."""
    while True:
        head = await _settled(db)
        rows = list((await db.with_ids(kind, ids, (*_FIELDS, *(where or ())))).values())
        rows = [row for row in rows if all(row.get(name) == value for name, value in (where or {}).items())]
        if not rows:
            return 0
        if head is None:
            return await db.delete(kind, {"_id": {"$in": list(ids)}, **(where or {})})
        sums = [one for row in rows for one in _change(kind, row.get(COUNTED), row.get("task_id", ""), -1)]
        batch = {"sums": _added(sums), "deleted": [row["_id"] for row in rows], "of": kind, "where": dict(where or {})}
        if (begun := await _begin(db, head, batch)) is not None:
            return await _carry_out(db, begun)


async def open_empty(db: Database) -> None:
    """Begins to count in a database without rows. With rows, a worker's rounds do."""
    if await db.one(META, HEAD, ("n",)) is None:
        rows = [await db.find(kind, {"_id": {"$gt": ""}}, BY_ID, limit=1, fields=("_id",)) for kind in KINDS]
        if not any(rows):
            await recount(db)


async def recount(db: Database) -> None:
    """Counts everything anew. A process that ends meanwhile leaves no counts, and another one begins again."""
    head, mine = await _settled(db), nonce()
    if head is None:
        await db.insert(META, {"_id": HEAD, "n": _now(), "done": True, "ready": False, "foreign": -1, "made": nonce(), **_NOTHING})
        head = await _settled(db)
    version = await db.one(META, VERSION)
    if head is None or (begun := await _begin(db, head, {"ready": False, "foreign": foreign(version), "recount": mine}, _now())) is None:
        return
    await _carry_out(db, begun)
    for kind in KINDS:
        await _mark_all(db, kind, begun["n"])
    while (head := await _settled(db)) is not None and head.get("recount") == mine and not head["ready"]:
        if (begun := await _begin(db, head, {"zero": True, "ready": True})) is not None:
            await _carry_out(db, begun)
    while await fold(db, PAGE):
        pass


async def is_outdated(db: Database) -> int | None:
    """None while the counts are to be trusted; otherwise the number of commits that others than this version have made."""
    found = await db.with_ids(META, [VERSION, HEAD], ("commits", "counting", "ready", "foreign"))
    head, others = found.get(HEAD), foreign(found.get(VERSION))
    return None if head is not None and head["ready"] and head["foreign"] == others else others


async def _mark_all(db: Database, kind: str, n: int) -> None:
    """Marks all rows, but for those that a later batch has counted."""
    after, older = "", {COUNTED_IN: {"$not": {"$gte": n}}}
    fresh = {COUNTED: "", COUNTED_OF: ""}
    while rows := await db.find(kind, {"_id": {"$gt": after}}, BY_ID, sort=[("_id", 1)], limit=PAGE, fields=("_id", GONE_AT)):
        there, gone = ([row["_id"] for row in rows if (GONE_AT in row) is is_gone] for is_gone in (False, True))
        marks = UpdateMany({"_id": {"$in": there}, **older}, {"$set": {TO_COUNT: True, COUNTED_IN: n}, "$unset": fresh})
        clean = UpdateMany({"_id": {"$in": gone}, **older}, {"$set": {COUNTED_IN: n}, "$unset": {**fresh, TO_COUNT: ""}})
        await db.write_each(kind, [marks, clean])
        after = rows[-1]["_id"]


async def _settled(db: Database) -> Document | None:
    """The last batch, which is done now. None in a database without counts."""
    while (head := await db.one(META, HEAD)) is not None and not head["done"]:
        await _carry_out(db, head)
    return head


def _now() -> int:
    """A higher number than any batch has had, since batches are rarer than milliseconds. Rows may have numbers from before the head was
    lost."""
    return round(time.time() * 1000)


async def _begin(db: Database, head: Document, batch: Document, at_least: int = 0) -> Document | None:
    """Writes the batch after this one; None when another has begun since."""
    made, n = nonce(), head["n"]
    after = {**_NOTHING, **batch, "n": max(n + 1, at_least), "done": False, "made": made}
    begun = await db.update(META, HEAD, {"n": n, "done": True}, {"$set": after}, lambda stored: bool(stored.get("made") == made))
    return {**head, **after} if begun else None


async def _carry_out(db: Database, head: Document) -> int:
    """Does what a batch says, as far as it is not done. Returns from how many rows it took the mark, or how many executions it deleted."""
    n = head["n"]
    older = {COUNTED_IN: {"$not": {"$gte": n}}}
    if head["zero"]:
        all = await db.find(META, {"_id": {"$gte": _ALL, "$lt": _TASK[:-1] + "0"}}, BY_ID, fields=("_id",))
        nothing = {"$set": {**{kind: {} for kind in KINDS}, "applied": n}}
        await db.write_each(META, [UpdateMany({"_id": {"$in": [row["_id"] for row in all]}, "applied": {"$lt": n}}, nothing)])
    of_key: dict[str, dict[str, int]] = {}
    for key, field, change in head["sums"]:
        of_key.setdefault(key, {})[field] = change
    writes = [UpdateMany({"_id": key, "applied": {"$lt": n}}, {"$inc": sums, "$set": {"applied": n}}) for key, sums in of_key.items()]
    if await db.write_each(META, writes) < len(writes):
        await db.insert_missing(META, [{"_id": key, "applied": 0} for key in of_key])
        await db.write_each(META, writes)
    await db.write_each(JOBS, [UpdateMany({"_id": {"$in": one["ids"]}, **older}, _counted_as(one, n)) for one in head[JOBS]])
    still = [{"_id": {"$in": one["ids"]}, COUNTED_IN: n, "job_status": one["status"], "task_id": one["task"]} for one in head[JOBS]]
    changed = await db.write_each(JOBS, [UpdateMany(which, {"$unset": {TO_COUNT: ""}}) for which in still])
    over = [
        UpdateMany({"_id": {"$in": one["ids"]}, **older}, {"$set": {COUNTED: one["status"], COUNTED_IN: n}, "$unset": {TO_COUNT: ""}})
        for one in head[EXECUTIONS]
    ]
    changed += await db.write_each(EXECUTIONS, over)
    if head.get(TASKS):
        ids, born = ([one[place] for one in head[TASKS]] for place in (0, 1))
        there = {"$set": {COUNTED: THERE, COUNTED_IN: n}, "$unset": {TO_COUNT: ""}}
        changed += await db.write_each(TASKS, [UpdateMany({"_id": {"$in": ids}, BORN: {"$in": born}, **older}, there)])
    if head["deleted"]:
        kind = head.get("of", EXECUTIONS)
        if kind == TASKS:
            uncounted = {"$set": {TO_COUNT: True, COUNTED_IN: n}, "$unset": {COUNTED: ""}}
            await db.write_each(TASKS, [UpdateMany({"_id": {"$in": head["deleted"]}, **older}, uncounted)])
        changed += await db.delete(kind, {"_id": {"$in": head["deleted"]}, **head.get("where", {})})
    await db.update(META, HEAD, {"n": n, "done": False}, {"$set": {"done": True, **_NOTHING}})
    db.counted = max(n, db.counted or 0)
    return changed


def _counted_as(one: Document, n: int) -> Document:
    if one["status"] == GONE:
        return {"$set": {COUNTED_IN: n}, "$unset": {COUNTED: "", COUNTED_OF: ""}}
    return {"$set": {COUNTED: one["status"], COUNTED_OF: one["task"], COUNTED_IN: n}}


def _change(kind: str, status: str | None, task: str | None, change: int) -> list[tuple[str, str, str, int]]:
    return [] if status is None or task is None else [(kind, status, task, change)]


def _added(changes: Sequence[tuple[str, str, str, int]]) -> list[tuple[str, str, int]]:
    """The sums of these changes for each document of numbers, and each of its fields."""
    sums: Counter[tuple[str, str]] = Counter()
    for kind, status, task, change in changes:
        for key in (_ALL,) if kind == TASKS else (_ALL, _TASK + task):
            sums[key, f"{kind}.{status}"] += change
    return [(key, field, change) for (key, field), change in sums.items() if change]


def carried(row: Mapping[str, Any] | None) -> Document:
    """The fields by which a row in the place of this one is counted instead of it."""
    return {TO_COUNT: True, **{name: row[name] for name in (COUNTED, COUNTED_OF, COUNTED_IN) if row is not None and name in row}}


def as_counted(row: Mapping[str, Any]) -> Filter:
    """The condition for putting another row in the place of this one: it has not changed, and no batch has counted it."""
    return {"rev": row["rev"], COUNTED_IN: row.get(COUNTED_IN)}
