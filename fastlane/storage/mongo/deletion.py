"""Deletes jobs in slices, and finds the open jobs of a task.

The job's floor is raised first: an execution with a sequence up to the floor never runs, so an attempt that is inserted late does no harm.
Then rows go whose ids were read. Before they go, the job is read again: while it is as it was then, all that was found is of it or of an
earlier job under the same id. So a process that slept deletes nothing of a job that ran again, or was made again, meanwhile.
"""

from collections.abc import Sequence
from contextlib import aclosing
from functools import partial

from fastlane.models.event import Event
from fastlane.models.ids import nonce
from fastlane.models.job import ExpectedVersions, Job
from fastlane.storage import records
from fastlane.storage.base import Deletion
from fastlane.storage.mongo import executions, history, logs
from fastlane.storage.mongo.commits import Finisher, complete_pending, current, delete_task, is_there
from fastlane.storage.mongo.database import Database, Document
from fastlane.storage.mongo.idempotency import tombstone
from fastlane.storage.mongo.jobs import bounds_of_all
from fastlane.storage.mongo.rows import MongoRows, document, read
from fastlane.storage.mongo.schema import DELIVERIES, EXECUTIONS, JOBS, PENDING, TICKS, TO_COME, UNFINISHED
from fastlane.storage.mongo.statuses import JobStatuses
from fastlane.storage.rows import readable

TICKS_AT_ONCE, EXECUTIONS_AT_ONCE, CHUNKS_AT_ONCE = 250, 100, 32
"""Rows that one step deletes at most."""
CANDIDATES = 100
"""Jobs that are looked at together."""


class MongoDeletion:
    """The part of the store that deletes, and that finds the open jobs of a task."""

    _db: Database
    _rows: MongoRows
    _finisher: Finisher
    _statuses: JobStatuses

    async def delete_job(
        self, job_id: str, incarnation: str, now: int, expected: ExpectedVersions | None = None, event: Event | None = None
    ) -> Deletion:
        step, written = await self._db.call(lambda: delete_job(self._db, job_id, incarnation, now, expected, event))
        if step is not Deletion.KEPT:
            self._rows.committed()
        await self._finisher.finish(written)
        if step is Deletion.MORE:
            await self._statuses.follow(job_id)
        return step

    async def delete_task(self, task_id: str, event: Event | None = None) -> bool:
        return await self._rows.written(lambda: delete_task(self._db, task_id, event))

    async def open_jobs(self, task_id: str, limit: int, after: str = "") -> Sequence[Job]:
        return await self._db.call(lambda: open_of_task(self._db, task_id, limit, after))


async def delete_job(
    db: Database, job_id: str, incarnation: str, now: int, expected: ExpectedVersions | None, event: Event | None = None
) -> tuple[Deletion, Document | None]:
    """Deletes one slice of a job's history, and with the last one the job: the row that was written then."""
    row = await _floored(db, job_id, incarnation, expected)
    if not isinstance(row, dict):
        return row, None
    more = await _delete_ticks(db, row) or await _delete_oldest(db, row)
    if more:
        return Deletion.MORE, None
    await _drop_deliveries(db, [job_id])
    op = nonce()
    change = {"op": op, "task_id": row["task_id"], "task_modified_at": now, "is_new": False, "ticks": [], "execution": None, "record": None}
    change |= {"events": [] if event is None else [document(records.EVENTS, event)]}
    gone = {**tombstone(job_id, row["rev"] + 1), "ops": [op], "intent": change, PENDING: True}
    if await db.replace(JOBS, job_id, {"rev": row["rev"]}, gone, lambda stored: op in stored["ops"]):
        return Deletion.DONE, gone
    return Deletion.MORE, None  # it has changed meanwhile: the next step looks again


async def _floored(db: Database, job_id: str, incarnation: str, expected: ExpectedVersions | None) -> Document | Deletion:
    """The job's row with its floor raised, or how the deletion ends before that. Raises Changed."""
    while True:
        row = await current(db, job_id)
        if row is None or not is_there(row) or row["incarnation"] != incarnation:
            return Deletion.DONE
        if expected is not None:
            expected.check(job_id, read(records.JOBS, row).version)
        if row.get(TO_COME) or await executions.unfinished(db, row["task_id"], job_id, 1):
            return Deletion.KEPT
        if row["floor"] == row["sequence"]:
            return row
        after = {"floor": row["sequence"], "rev": row["rev"] + 1}
        if await db.update(JOBS, job_id, {"rev": row["rev"]}, {"$set": after}):
            return row | after


async def _delete_ticks(db: Database, job: Document) -> bool:
    """Deletes the oldest rows of the ledger; whether there may be more."""
    sort = [("incarnation", 1), ("due", 1), ("_id", 1)]
    rows = await db.find(TICKS, {"job_id": job["_id"]}, "ticks_of_job", sort=sort, limit=TICKS_AT_ONCE, fields=("job_id",))
    if rows:
        if not await _is_still(db, job):
            return True
        await db.delete(TICKS, {"_id": {"$in": [row["_id"] for row in rows]}})
    return len(rows) == TICKS_AT_ONCE


async def _delete_oldest(db: Database, job: Document) -> bool:
    """Deletes the oldest executions with their logs; whether there may be more."""
    filter, limit = {"job_id": job["_id"]}, EXECUTIONS_AT_ONCE
    rows = await db.find(EXECUTIONS, filter, "executions_of_job", sort=executions.OLDEST, limit=limit, fields=("_id",))
    if rows and not await _is_still(db, job):
        return True
    _, chunks = await delete_executions(db, [row["_id"] for row in rows])
    return chunks == 0 or len(rows) == limit


async def delete_executions(db: Database, ids: Sequence[str]) -> tuple[int, int]:
    """Deletes these executions with their logs, as far as one step may: how many, and how many chunks it may still delete. A log goes from
    its end, so that its beginning is left."""
    chunks, gone = CHUNKS_AT_ONCE, list[str]()
    for id in ids:
        chunks -= await logs.delete_chunks(db, id, chunks)
        if chunks == 0:
            break
        gone.append(id)
    await history.count(db, gone)
    await executions.note_deleted(db, list((await db.with_ids(EXECUTIONS, gone, ("epoch",))).values()))
    await _drop_deliveries(db, gone)
    if gone:
        await db.delete(EXECUTIONS, {"_id": {"$in": gone}})
    return len(gone), chunks


async def _drop_deliveries(db: Database, execution_ids: Sequence[str]) -> None:
    """Deletes those of these executions, or jobs."""
    if execution_ids:
        rows = await db.find(DELIVERIES, {"execution_id": {"$in": list(execution_ids)}}, "deliveries_of_execution", fields=("_id",))
        if rows:
            await db.delete(DELIVERIES, {"_id": {"$in": [row["_id"] for row in rows]}})


async def _is_still(db: Database, job: Document) -> bool:
    """Whether the job was not changed, deleted or made again since its floor was raised."""
    stored = await db.one(JOBS, job["_id"], ("rev",))
    return stored is not None and stored["rev"] == job["rev"]


async def open_of_task(db: Database, task_id: str, limit: int, after: str) -> list[Job]:
    """A task's jobs with a tick to come, or an execution under way or not settled, by id."""
    await complete_pending(db)
    found: list[Job] = []
    until: str | None = after
    while until is not None and len(found) < limit:
        ids, until = await _open_ids(db, task_id, until)
        rows = await db.with_ids(JOBS, ids)
        found += readable([rows[id] for id in ids if is_there(rows.get(id))], partial(read, records.JOBS))
    return found[:limit]


async def _open_ids(db: Database, task_id: str, after: str) -> tuple[list[str], str | None]:
    """Ids of the next open jobs after this one, and up to which id it was looked; None: there are no more."""
    filter = {"task_id": task_id, TO_COME: True, "_id": {"$gt": after}}
    to_come = await db.find(JOBS, filter, "jobs_to_come", sort=[("_id", 1)], limit=CANDIDATES, fields=("task_id",))
    ends = [to_come[-1]["_id"]] if len(to_come) == CANDIDATES else []
    candidates: dict[str, list[Document]] = {}
    unsettled = {"task_id": task_id, "job_id": {"$gt": after}, UNFINISHED: True, "settled": False}
    sort = [("job_id", 1), ("sequence", 1), ("attempt", 1)]
    fields = ("job_id", "sequence", "incarnation")
    async with aclosing(db.walk(EXECUTIONS, unsettled, "executions_unfinished", sort, fields=fields)) as found:
        async for row in found:
            if row["job_id"] not in candidates and len(candidates) == CANDIDATES:
                ends.append(max(candidates))
                break
            candidates.setdefault(row["job_id"], []).append(row)
    bounds = await bounds_of_all(db, list(candidates))
    pairs = [(row, bounds[id]) for id, rows in candidates.items() if id in bounds for row in rows]
    belonging = {row["job_id"] for row, limits in pairs if limits.include(row["incarnation"], row["sequence"])}
    until = min(ends, default=None)
    ids = sorted({row["_id"] for row in to_come} | belonging)
    return [id for id in ids if until is None or id <= until], until
