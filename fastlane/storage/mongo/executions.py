"""Reads and changes of executions: each list follows an index.

A change is decided on the row as it was read, and written if its ``op`` is still the same. Each change has its own ``op``, so a row with
the same ``op`` is the same row.
"""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import orjson

from fastlane.errors import Unreadable
from fastlane.models.job import Execution, JobBounds, RunningContainer, is_under_way, standing
from fastlane.models.status import FINAL, Status
from fastlane.models.transitions import ExecutionChange
from fastlane.storage import records
from fastlane.storage.base import Claimed, Decide
from fastlane.storage.mongo.commits import belonging, bounds, bounds_of_all, complete_pending, visible_tasks, whole
from fastlane.storage.mongo.database import LIST_ADVICE, Database, Document, Turns
from fastlane.storage.mongo.rows import UNCOUNTED, MongoRows, flag_changes, read
from fastlane.storage.mongo.schema import DELETED, EXECUTIONS, UNDER_WAY, UNFINISHED, WAITING
from fastlane.storage.mongo.statuses import JobStatuses
from fastlane.storage.records import MAX_UNDER_WAY, NEVER_AGAIN
from fastlane.storage.rows import filled, readable

OLDEST = [("sequence", 1), ("attempt", 1)]
SHOWN = frozenset({"status", "waits"})
"""Values of an execution from which its job's status follows."""
UNBOUND = ("enqueued", "pulling")
"""Statuses in which an execution may not be bound to a service yet."""
NEWEST_OF_JOBS = {"job_id": -1, "sequence": -1, "attempt": -1}


class MongoExecutions:
    """The part of ``ExecutionStore`` that has its own calls: changes, and what a job's row decides."""

    _db: Database
    _rows: MongoRows
    _statuses: JobStatuses
    _turns: Turns

    async def insert(self, execution: Execution) -> bool:
        if inserted := await self._rows.insert(records.EXECUTIONS, execution):
            await self._statuses.follow(execution.job_id)
        return inserted

    async def execution(self, execution_id: str) -> Execution | None:
        return await self._db.call(lambda: get(self._db, execution_id))

    async def change(self, change: ExecutionChange) -> Execution | None:
        """Raises ValueError for a value whose name is not a field of an execution."""

        async def make() -> Execution | None:
            async with self._turns.turn(change.execution_id):
                return await apply(self._db, change)

        changed = await self._rows.written(make)
        if changed is not None and SHOWN.intersection(change.values):
            await self._statuses.follow(changed.job_id)
        return changed

    async def claim(self, execution_id: str, decide: Decide) -> Claimed | None:
        async def make() -> Claimed | None:
            async with self._turns.turn(execution_id):
                before = await get(self._db, execution_id)
                asked = None if before is None else decide(before)
                after = None if asked is None else await apply(self._db, asked)
            if before is None or after is None:
                return None if before is None else Claimed(before)
            return Claimed(after, True, await bounds(self._db, after.job_id))

        claimed = await self._rows.written(make)
        if claimed is not None and claimed.changed:
            await self._statuses.follow(claimed.execution.job_id)
        return claimed

    async def discard(self, execution: Execution) -> bool:
        """Notes the deletion first, so that a process that dies in between leaves no deleted execution without a note. A note about an
        existing execution does not count."""

        async def delete() -> bool:
            row = await self._db.one(EXECUTIONS, execution.id)
            if row is None or row["epoch"] != execution.epoch or row["service_id"] is not None or row["status"] not in UNBOUND:
                return False
            await note_deleted(self._db, [row])
            return await self._db.delete(EXECUTIONS, {"_id": execution.id, "op": row["op"]}) == 1

        if discarded := await self._rows.written(delete):
            await self._statuses.follow(execution.job_id)
        return discarded

    async def was_deleted(self, execution_id: str) -> bool:
        async def look() -> bool:
            return await self._db.one(DELETED, execution_id) is not None and await self._db.one(EXECUTIONS, execution_id, ("_id",)) is None

        return await self._db.call(look)

    async def latest(self, job_ids: Sequence[str]) -> Mapping[str, Execution]:
        async def look() -> dict[str, Execution]:
            bounds = await bounds_of_all(self._db, job_ids)
            found = await latest_under_way(self._db, bounds)
            others = [id for id in bounds if id not in found]
            ended = await self._db.with_ids(EXECUTIONS, [row["execution"] for row in await newest_ended(self._db, others)])
            return found | {execution.job_id: execution for execution in readable(list(ended.values()), read_execution)}

        return await self._db.call(look)

    async def waiting(self, job_id: str) -> Execution | None:
        async def look() -> Execution | None:
            await whole(self._db, job_id)
            return await waiting(self._db, job_id)

        return await self._db.call(look)

    async def waiting_of(self, task_id: str, most: int) -> int:
        filter = {"task_id": task_id, "status": Status.ENQUEUED.value}
        return min(most, await self._db.call(lambda: self._db.count(EXECUTIONS, filter, "executions_of_task_by_status")))

    async def under_way_of(self, task_id: str, job_id: str) -> Sequence[Execution]:
        return await self._db.call(lambda: under_way_of(self._db, task_id, job_id))

    async def unfinished(self, task_id: str, job_id: str, limit: int) -> Sequence[Execution]:
        return await self._db.call(lambda: unfinished(self._db, task_id, job_id, limit))

    async def running_containers(self, limit: int, visible: str | None = None) -> Sequence[RunningContainer]:
        sort, fields = [("scheduled_for", 1), ("_id", 1)], ("task_id", "job_id", "host", "container_id", "spec")

        async def look() -> list[RunningContainer]:
            tasks = None if visible is None else await visible_tasks(self._db, visible)
            filter = {"status": Status.RUNNING.value, **({} if tasks is None else {"task_id": {"$in": tasks}})}

            async def fetch(count: int) -> list[Document]:
                return await self._db.find(EXECUTIONS, filter, "executions_by_status", sort=sort, limit=count, fields=fields)

            return await filled(fetch, limit, _container)

        return await self._db.call(look, advice=LIST_ADVICE)

    async def images_under_way(self) -> frozenset[str]:
        stages = ({"$match": {UNDER_WAY: True}}, {"$group": {"_id": {"spec": "$spec", "reference": "$image_reference"}}})
        rows = await self._db.call(lambda: self._db.group(EXECUTIONS, stages, "executions_under_way"), advice=LIST_ADVICE)
        found = [row["_id"] for row in rows]
        names = {str(orjson.loads(row["spec"])["image"]) for row in found}
        return frozenset(names | {row["reference"] for row in found if row.get("reference")})


def read_execution(row: Document) -> Execution:
    """The execution of a row. Raises Unreadable."""
    return read(records.EXECUTIONS, row)


async def row_of(db: Database, execution_id: str) -> Document | None:
    """An execution's row. When there is none, a commit may not have been carried out yet, or another carries it out just now."""
    row = await db.one(EXECUTIONS, execution_id)
    if row is None:
        await complete_pending(db)
        row = await db.one(EXECUTIONS, execution_id)
    return row


async def get(db: Database, execution_id: str) -> Execution | None:
    """One execution."""
    row = await row_of(db, execution_id)
    return None if row is None else read_execution(row)


async def apply(db: Database, asked: ExecutionChange) -> Execution | None:
    """The execution after the change; None when its condition does not hold and it was not applied before. Raises ValueError for a value
    whose name is not a field."""
    values = records.EXECUTIONS.changes(asked.values)
    before = asked.seen  # as it was read: if it is another row by now, the condition on its ``op`` says so
    if before is None or not asked.permitted(before):
        before = await get(db, asked.execution_id)
    while before is not None:
        if before.op == asked.op:
            return before
        if not asked.permitted(before):
            return None
        after = asked.applied_to(before)
        changes = flag_changes(records.EXECUTIONS, after)
        changes["$set"] |= {**values, **asked.noted, "op": asked.op}
        if after.status.final and not before.status.final:
            changes["$set"][UNCOUNTED] = True  # ``history`` counts it
        if await db.update(EXECUTIONS, before.id, {"op": before.op}, changes, lambda stored: stored["op"] == asked.op):
            return after
        before = await get(db, asked.execution_id)
    return None


async def note_deleted(db: Database, rows: Sequence[Document]) -> None:
    """Notes that these are deleted, if a worker had claimed them: each may have left a parked service on a host."""
    for row in rows:
        if row["epoch"] > 0:
            await db.upsert(DELETED, row["_id"], {"$set": {"deleted_at": datetime.now(UTC)}})


async def latest_under_way(db: Database, bounds: Mapping[str, JobBounds]) -> dict[str, Execution]:
    """For each of these jobs that has executions under way, the newest of them, one that waits only without others."""
    if not bounds:
        return {}
    filter = {"job_id": {"$in": list(bounds)}, UNDER_WAY: True}
    rows = await db.find(EXECUTIONS, filter, "executions_under_way")
    of_job: dict[str, list[Execution]] = {}
    for execution in readable(rows, read_execution):
        if not execution.status.final:  # it has not ended since it was found
            of_job.setdefault(execution.job_id, []).append(execution)
    found = {id: standing(some, bounds[id]) for id, some in of_job.items()}
    return {id: execution for id, execution in found.items() if execution is not None}


async def newest_ended(db: Database, job_ids: Sequence[str]) -> list[Document]:
    """For each job that has executions that ended, the id (``execution``) and the status of the newest; the job's is ``_id``. It is the
    newest of all but for jobs that have others under way. Without a status in the filter, the server finds it in one step along the index
    (a DISTINCT_SCAN), however many the job has."""
    newest = await _newest(db, {"job_id": {"$in": list(job_ids)}}) if job_ids else []
    others = [row["_id"] for row in newest if row["status"] not in FINAL]
    before = await _newest(db, {"job_id": {"$in": others}, "status": {"$in": sorted(FINAL)}}) if others else []
    return [*(row for row in newest if row["status"] in FINAL), *before]


async def _newest(db: Database, filter: Mapping[str, Any]) -> list[Document]:
    newest = {"_id": "$job_id", "execution": {"$first": "$_id"}, "status": {"$first": "$status"}}
    return await db.group(EXECUTIONS, [{"$match": filter}, {"$sort": NEWEST_OF_JOBS}, {"$group": newest}], "executions_of_job")


async def unfinished(db: Database, task_id: str, job_id: str, limit: int) -> list[Execution]:
    """The executions that belong to the job and are under way, not settled or not cleaned, oldest first."""
    bounds = await whole(db, job_id)
    if bounds is None:
        return []
    filter = {"task_id": task_id, "job_id": job_id, UNFINISHED: True, **belonging(bounds)}
    rows = await db.find(EXECUTIONS, filter, "executions_unfinished", sort=OLDEST, limit=limit)
    return [read_execution(row) for row in rows]


async def under_way_of(db: Database, task_id: str, job_id: str) -> list[Execution]:
    """The oldest ``MAX_UNDER_WAY`` executions of the job that are under way, and its newest one that waits, oldest first. Raises
    Unreadable: one that cannot be read may run.

    They are walked from the oldest on. A failed one is settled after the attempt after it was inserted, so a walk that comes too late
    for the first still comes to the second.
    """
    bounds = await whole(db, job_id)
    if bounds is None:
        return []
    found: list[Execution] = []
    filter = {
        "task_id": task_id,
        "job_id": job_id,
        UNFINISHED: True,
        **belonging(bounds),
        "settled": False,
        "status": {"$nin": list(NEVER_AGAIN)},
    }
    async with aclosing(db.walk(EXECUTIONS, filter, "executions_unfinished", OLDEST)) as rows:
        async for row in rows:
            if is_under_way(execution := read_execution(row)):
                found.append(execution)
            if len(found) == MAX_UNDER_WAY:
                break
    if len(found) < MAX_UNDER_WAY:
        return found
    last = await waiting(db, job_id)
    return found if last is None or last in found else [*found, last]


async def waiting(db: Database, job_id: str) -> Execution | None:
    rows = await db.find(EXECUTIONS, {"job_id": job_id, WAITING: True}, "executions_waiting")
    return max(readable(rows, read_execution), key=attrgetter("sequence"), default=None)


def _container(row: Document) -> RunningContainer:
    try:
        image = orjson.loads(row["spec"])["image"]
    except (ValueError, LookupError, TypeError):
        image = None
    if not isinstance(image, str) or not image.isascii():
        raise Unreadable(f"execution {row['_id']} cannot be read from the store: its spec has no image")
    return RunningContainer(row["_id"], row["task_id"], row["job_id"], row["host"], row["container_id"], image)
