"""Single jobs and their executions, deletion in slices, and the repair of stored statuses that no write corrects. The commits are in
``commits``.

A deletion raises the job's floor first: an execution with a sequence up to the floor never runs, so an attempt that is inserted late does
no harm. Then rows are deleted by ids that were read before. Just before the deletion the job is read again: if it has not changed, all
found rows belong to it or to an earlier job under the same id. So a process that slept deletes nothing from a job that ran again, or was
made again, meanwhile.

A stored status is missing or wrong where an older fastlane did not write it, where a crash left it behind, and where only the time has
changed it.

Each list of executions follows an index. A change is decided on the row as it was read, and written if its ``op`` is still the same. Each
change has its own ``op``, so a row with the same ``op`` is the same row.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from typing import Any

import orjson

from fastlane.clock import unless_cancelled
from fastlane.errors import Unreadable
from fastlane.models.event import Event
from fastlane.models.ids import IdempotencyRecord, nonce
from fastlane.models.job import (
    Execution,
    ExpectedVersions,
    Job,
    JobBounds,
    RunningContainer,
    depends_on_latest,
    is_under_way,
    job_status,
    standing,
)
from fastlane.models.status import FINAL, UNDER_WAY as UNDER_WAY_STATUSES, Status
from fastlane.models.tick import Tick
from fastlane.models.transitions import ExecutionChange
from fastlane.storage import records
from fastlane.storage.base import Claimed, Decide, Deletion, StatusWalk
from fastlane.storage.mongo import commits, history, idempotency, logs
from fastlane.storage.mongo.commits import (
    JOB_FIELDS,
    Finisher,
    JobStatuses,
    belonging,
    bounds,
    bounds_of,
    bounds_of_all,
    complete_pending,
    current,
    delete_task,
    is_there,
    job_of,
    store,
    visible_tasks,
    whole,
    write,
)
from fastlane.storage.mongo.database import LIST_ADVICE, Database, Document, Turns
from fastlane.storage.mongo.idempotency import tombstone
from fastlane.storage.mongo.rows import (
    BY_ID,
    DELETED,
    DELIVERIES,
    EXECUTIONS,
    JOBS,
    PENDING,
    TICKS,
    TO_COME,
    UNCOUNTED,
    UNDER_WAY,
    UNFINISHED,
    WAITING,
    MongoRows,
    document,
    flag_changes,
    read,
)
from fastlane.storage.records import JOBS as JOB_RECORD, LAST, MAX_UNDER_WAY, NEVER_AGAIN, filled, readable

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
        inserted = await self._rows.insert(records.EXECUTIONS, execution)
        await self._statuses.follow(execution.job_id)  # also if it was there: the insert's answer, and this, may have been lost
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
        await complete_pending(db, {"intent.execution._id": execution_id})
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


class MongoJobs:
    """The part of ``JobStore`` that writes jobs, and reads single ones."""

    _db: Database
    _rows: MongoRows
    _finisher: Finisher

    async def create(self, job: Job, tick: Tick | None, execution: Execution | None, record: IdempotencyRecord | None = None) -> None:
        written = await self._db.call(lambda: commits.create(self._db, job, tick, execution, record))
        await self._finished(written, is_written=True)

    async def advance(
        self,
        seen: Job,
        job: Job,
        ticks: Sequence[Tick],
        execution: Execution | None,
        record: IdempotencyRecord | None = None,
        events: Sequence[Event] = (),
    ) -> bool:
        advanced, written = await self._db.call(lambda: commits.advance(self._db, seen, job, ticks, execution, record, events))
        await self._finished(written, is_written=advanced)
        return advanced

    async def stop_job(self, job_id: str, now: int, expected: ExpectedVersions | None = None, event: Event | None = None) -> Job | None:
        stopped, written = await self._db.call(lambda: commits.stop(self._db, job_id, now, expected, event))
        await self._finished(written, is_written=stopped is not None)
        return stopped

    async def idempotency_record(self, key: str, since: int) -> IdempotencyRecord | None:
        return await self._db.call(lambda: idempotency.get(self._db, key, since, lambda id: commits.current(self._db, id)))

    async def job(self, job_id: str) -> Job | None:
        row = await self._db.call(lambda: self._db.one(JOBS, job_id))
        return read(JOB_RECORD, row) if row is not None and is_there(row) else None

    async def job_bounds(self, job_id: str) -> JobBounds | None:
        return await self._db.call(lambda: bounds(self._db, job_id))

    async def _finished(self, written: Document | None, *, is_written: bool) -> None:
        """Counts a commit, and completes its intent."""
        if is_written:
            self._rows.committed()
        await self._finisher.finish(written)


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
    """Deletes one slice of a job's history, and with the last one the job. Returns the row that was written then."""
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
        if row.get(TO_COME) or await unfinished(db, row["task_id"], job_id, 1):
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
    rows = await db.find(EXECUTIONS, filter, "executions_of_job", sort=OLDEST, limit=limit, fields=("_id",))
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
    await note_deleted(db, list((await db.with_ids(EXECUTIONS, gone, ("epoch",))).values()))
    await _drop_deliveries(db, gone)
    if gone:
        await db.delete(EXECUTIONS, {"_id": {"$in": gone}})
    return len(gone), chunks


async def _drop_deliveries(db: Database, execution_ids: Sequence[str]) -> None:
    """Deletes the deliveries of these executions, or jobs."""
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


BATCH = 500
"""Jobs whose statuses are found together."""
AT_ONCE = 16
"""Statuses that are written concurrently."""

_SHOWN = {"created_at": {"$gte": -LAST - 1, "$lte": LAST}}
"""All jobs, and no tombstone."""
_OLDEST = [("created_at", 1), ("_id", 1)]


async def walk(db: Database, now: int, after: str, limit: int) -> StatusWalk:
    """Corrects the statuses of the next jobs by id, and of jobs whose status is likely to be wrong: jobs that are shown as under way, since
    a crash leaves them so, and jobs that may have expired before their tick."""
    await complete_missing(db)
    page = await _page(db, after, limit)
    under_way = {"job_status": {"$in": sorted(UNDER_WAY_STATUSES)}, **_SHOWN}
    rows = await db.find(JOBS, under_way, "jobs_by_status", sort=_OLDEST, limit=limit, fields=JOB_FIELDS)
    late = {"next_tick": {"$gte": -LAST - 1, "$lt": now}, "expiration": {"$gt": -LAST - 1, "$lte": now}}
    rows += await db.find(JOBS, late, "jobs_due", sort=[("next_tick", 1), ("_id", 1)], limit=limit, fields=JOB_FIELDS)
    found = list({row["_id"]: row for row in (*page, *rows)}.values())
    repaired = 0
    for start in range(0, len(found), BATCH):
        repaired += await _put_right(db, found[start : start + BATCH], now)
    return StatusWalk(page[-1]["_id"] if len(page) == limit else None, repaired)


async def complete_missing(db: Database) -> None:
    """Completes all commits, and writes the statuses of jobs that have none: an older fastlane has written them since."""
    await complete_pending(db)
    if rows := await db.find(JOBS, {"job_status": None, **_SHOWN}, "jobs_by_status", limit=BATCH, fields=JOB_FIELDS):
        await _put_right(db, rows, 0)


async def write_all(db: Database) -> None:
    """Writes the statuses of all jobs that have none, before there is an index of them."""
    after: str | None = ""
    while after is not None:
        page = await _page(db, after, BATCH)
        await _put_right(db, [row for row in page if row.get("job_status") is None], 0)
        after = page[-1]["_id"] if len(page) == BATCH else None


async def _page(db: Database, after: str, limit: int) -> list[Document]:
    return await db.find(JOBS, {"_id": {"$gt": after}}, BY_ID, sort=[("_id", 1)], limit=limit, fields=JOB_FIELDS)


async def _put_right(db: Database, rows: Sequence[Document], now: int) -> int:
    """Corrects the stored statuses of these jobs. Returns how many were wrong."""
    jobs = {job.id: row for row in rows if is_there(row) for job in readable([row], job_of)}
    latest = {id: execution.status for id, execution in (await latest_under_way(db, {id: bounds_of(jobs[id]) for id in jobs})).items()}
    unknown = [id for id, row in jobs.items() if id not in latest and depends_on_latest(job_of(row), now)]
    latest |= {row["_id"]: Status(row["status"]) for row in await newest_ended(db, unknown)}
    statuses = {id: job_status(job_of(row), latest.get(id), now) for id, row in jobs.items()}
    wrong = [id for id, row in jobs.items() if row.get("job_status") != statuses[id]]
    written = 0
    for start in range(0, len(wrong), AT_ONCE):
        some = wrong[start : start + AT_ONCE]
        answers: list[bool] = await unless_cancelled(asyncio.gather(*(_write(db, jobs[id], statuses[id], now) for id in some)))
        written += sum(answers)
    return written


async def _write(db: Database, row: Document, status: str, now: int) -> bool:
    return await store(db, row, status) or await write(db, row["_id"], now)
