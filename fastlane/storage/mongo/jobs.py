"""The calls for executions that the verbs over records do not have, and the repair of stored statuses that no write corrects. The commits
are in ``commits``. Counted (``benchmarks/expected.json``): a dispatch takes 5 commands, an end 4; a claim writes while it reads the job
(decision 0087).

A stored status is missing or wrong where an older fastlane did not write it, where a crash left it behind, and where only the time has
changed it.

A change is decided on the row as it was read, and written if its ``op`` is still the same. Each change has its own ``op``, so a row with
the same ``op`` is the same row.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson

from fastlane.clock import unless_cancelled
from fastlane.models.event import Event
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.job import Execution, Job, JobBounds, Spec, by_standing, depends_on_latest, job_status
from fastlane.models.status import FINAL, UNDER_WAY as UNDER_WAY_STATUSES, Status
from fastlane.models.tick import Outcome
from fastlane.models.transitions import ExecutionChange, settle
from fastlane.storage import records
from fastlane.storage.base import DELETED_STAY, GIVEN_UP_STAYS, Claimed, Decide, StatusWalk
from fastlane.storage.mongo import history, idempotency, stored_counts
from fastlane.storage.mongo.commits import (
    JOB_FIELDS,
    Finisher,
    JobStatuses,
    bounds_of,
    bounds_of_all,
    commit_job,
    complete_pending,
    current,
    delete_task,
    is_there,
    job_of,
    store,
    whole,
    write,
)
from fastlane.storage.mongo.database import LIST_ADVICE, Database, Document, KeyedLock
from fastlane.storage.mongo.rows import (
    BY_ID,
    DELETED,
    DELIVERIES,
    EXECUTIONS,
    FOLLOWS,
    JOBS,
    LATE,
    UNCOUNTED,
    UNDER_WAY,
    CommitCounter,
    MongoRows,
    document,
    flag_changes,
    read,
)
from fastlane.storage.records import LAST, Commit, Place, Record, Value, Where, readable

SHOWN = frozenset({"status", "waits", "sequence"})
"""Values of an execution from which its job's status follows."""
NEWEST_OF_JOBS = {"job_id": -1, "sequence": -1, "attempt": -1}


OfJobs = Mapping[str, Sequence[str]]
"""Ids of executions, by their jobs."""


class CommittedRows(MongoRows):
    """``Rows`` of a database, with its commits, and with what follows a write: the job's status, the counts of ends, and notes of what was
    deleted. In SQLite, triggers do that."""

    def __init__(self, db: Database, commits: CommitCounter) -> None:
        super().__init__(db, commits)
        self.statuses = JobStatuses(db)
        self.finisher = Finisher(db)

    async def catch_up(self, job_id: str | None = None) -> None:
        if job_id is not None:
            await self.finisher.finished(job_id)
        await self._db.call(lambda: complete_pending(self._db) if job_id is None else whole(self._db, job_id))

    async def commit(self, commit: Commit) -> bool:
        await self.finisher.finished(commit.job_id)
        if commit.job is None:
            await self._db.call(lambda: _drop_deliveries(self._db, [commit.job_id]))
        made, written = await self._db.call(lambda: commit_job(self._db, commit))
        if made:
            self.committed()
        await self.finisher.finish(written)
        return made

    async def insert(self, record: Record[Value], value: Value) -> bool:
        inserted = await super().insert(record, value)
        if isinstance(value, Execution):  # also if it was there: the insert's answer, and this, may have been lost
            await self.statuses.follow(value.job_id)
        return inserted

    async def delete(self, record: Record[Any], keys: Sequence[Place], seen: Where | None = None) -> int:
        if record is not records.EXECUTIONS or not keys:
            return await super().delete(record, keys, seen)
        ids = [id for (id,) in keys]
        rows = await self._db.call(lambda: self._before_deletion(ids))
        # one with an ``op`` that is to be the same is under way, so it is not counted
        deleted = await (super().delete(record, keys, seen) if seen else self.written(lambda: stored_counts.delete(self._db, ids)))
        for job_id in {row["job_id"] for row in rows}:
            await self.statuses.follow(job_id)
        return deleted

    async def _before_deletion(self, ids: Sequence[str]) -> Sequence[Document]:
        """Writes what must be written before executions are deleted, so that a process that dies in between leaves none without it. A note
        about an existing execution does not count: it may have left a parked service on a host only once it is gone."""
        await history.count(self._db, ids)
        rows = list((await self._db.with_ids(EXECUTIONS, ids, ("epoch", "job_id"))).values())
        await note_deleted(self._db, rows)
        await _drop_deliveries(self._db, ids)
        return rows


async def note_deleted(db: Database, rows: Sequence[Document]) -> None:
    """Notes that these executions are deleted, if a worker had claimed them."""
    for row in rows:
        if row["epoch"] > 0:
            await db.upsert(DELETED, row["_id"], {"$max": {"deleted_at": datetime.now(UTC)}})  # what was given up is later


async def _drop_deliveries(db: Database, ids: Sequence[str]) -> None:
    """Deletes the deliveries of these executions, or jobs."""
    rows = await db.find(DELIVERIES, {"execution_id": {"$in": list(ids)}}, "deliveries_of_execution", fields=("_id",))
    if rows:
        await db.delete(DELIVERIES, {"_id": {"$in": [row["_id"] for row in rows]}})


class MongoJobs:
    """The methods of the store that have their own calls."""

    _db: Database
    _rows: CommittedRows
    _locks: KeyedLock

    async def execution(self, execution_id: str) -> Execution | None:
        return await self._db.call(lambda: get(self._db, execution_id))

    async def change(self, change: ExecutionChange) -> Execution | None:
        """Raises ValueError for a value whose name is not a field of an execution."""
        if change.settles_an_end and change.seen is not None:
            return await self._end(change, change.seen.job_id)
        changed = await self._written(change)
        if changed is None and change.seen is not None:
            await self._rows.statuses.follow_refused(change.seen.job_id)
        elif changed is not None and SHOWN.intersection(change.values):
            await self._rows.statuses.follow_change(changed)
        return changed

    async def _end(self, change: ExecutionChange, job_id: str) -> Execution | None:
        """Writes an end while it looks whether a job follows, and settles it beside the status of its job: so neither takes a round trip of
        its own. A process that dies in between leaves an end that another one settles."""
        written, look = self._written(change.without_settling()), self.followers(job_id, 1)
        ended, followers = await unless_cancelled(asyncio.gather(written, look))
        if ended is None:
            await self._rows.statuses.follow_refused(job_id)
            return None
        status = self._rows.statuses.follow_change(ended)
        if followers:
            await status
            return ended
        settled, _ = await unless_cancelled(asyncio.gather(self._written(settle(ended)), status))
        return settled or ended

    async def _written(self, change: ExecutionChange) -> Execution | None:
        async def make() -> Execution | None:
            async with self._locks.hold(change.execution_id):
                return await apply(self._db, change)

        return await self._rows.written(make)

    async def claim(self, execution_id: str, decide: Decide) -> Claimed | None:
        """Reads the job at the same time as it writes the claim. A stop of the job that this does not see has yet to look for executions to
        stop, finds the claim, or is refused by it and looks again."""

        async def make() -> Claimed | None:
            async with self._locks.hold(execution_id):
                before = await get(self._db, execution_id)
                asked = None if before is None else decide(before)
                if before is None or asked is None:
                    return None if before is None else Claimed(before)
                expected = asked.applied_to(before)
                after, row = await unless_cancelled(asyncio.gather(apply(self._db, asked), statuses.show_claim(before, expected)))
            if after is None:  # its job may show the claim
                await statuses.follow(before.job_id)
                return Claimed(before)
            return Claimed(after, True, await statuses.follow_claim(after, row if after == expected else None))

        statuses = self._rows.statuses
        return await self._rows.written(make)

    async def close_tick(self, tick_id: str, outcome: Outcome, reason: str | None) -> None:
        """An execution may come before its tick, since a commit inserts both at once."""
        changes = {"outcome": outcome, "reason": reason}
        if not await self._rows.update(records.TICKS, tick_id, changes):
            await self._db.call(lambda: complete_pending(self._db, {"intent.ticks._id": tick_id}))
            await self._rows.update(records.TICKS, tick_id, changes)

    async def latest(self, job_ids: Sequence[str]) -> Mapping[str, Execution]:
        async def look() -> dict[str, Execution]:
            bounds = await bounds_of_all(self._db, job_ids)
            under_way = await _ids_under_way(self._db, bounds)
            found = await self._whole(bounds, under_way, [id for id in bounds if id not in under_way])
            return found | await self._whole(bounds, {}, [id for id in under_way if id not in found])  # all of theirs have ended since

        await self._rows.finisher.finished(*job_ids)
        return await self._db.call(look)

    async def _whole(self, bounds: Mapping[str, JobBounds], under_way: OfJobs, others: Sequence[str]) -> dict[str, Execution]:
        """Reads the execution that stands for each of these jobs: the first under way, or for ``others`` the newest ended one."""
        ended = {row["_id"]: [row["execution"]] for row in await newest_ended(self._db, others)}
        return await _first_readable(self._db, {**under_way, **ended}, ended, bounded=len(bounds) > 1)

    async def followers(self, job_id: str, limit: int, after: str = "") -> Sequence[Job]:
        """The array of a job that an older fastlane has written may be outdated, so the schedule says it."""
        found = list[Job]()
        while rows := await self._db.call(partial(_following, self._db, job_id, after, limit - len(found))):
            jobs = readable(rows, lambda row: read(records.JOBS, row))
            found += [job for job in jobs if job.schedule.after is not None and job_id in job.schedule.after.jobs]
            if len(found) >= limit:
                break
            after = rows[-1]["_id"]
        return found

    async def idempotency_record(self, key: str, since: int) -> IdempotencyRecord | None:
        """A reservation whose request had no effect is not a record."""
        return await self._db.call(lambda: idempotency.get(self._db, key, since, lambda id: current(self._db, id)))

    async def delete_task(self, task_id: str, event: Event | None = None) -> bool:
        return await self._rows.written(lambda: delete_task(self._db, task_id, event))

    async def give_up(self, execution_id: str) -> None:
        until = {"deleted_at": datetime.now(UTC) + timedelta(seconds=GIVEN_UP_STAYS - DELETED_STAY)}
        await self._rows.written(lambda: self._db.upsert(DELETED, execution_id, {"$max": until}))

    async def images_under_way(self) -> frozenset[str]:
        stages = ({"$match": {UNDER_WAY: True}}, {"$group": {"_id": {"spec": "$spec", "reference": "$image_reference"}}})
        rows = await self._db.call(lambda: self._db.group(EXECUTIONS, stages, "executions_under_way"), advice=LIST_ADVICE)
        found = [row["_id"] for row in rows]
        names = {str(orjson.loads(row["spec"])["image"]) for row in found}
        return frozenset(names | {row["reference"] for row in found if row.get("reference")})


async def _following(db: Database, job_id: str, after: str, limit: int) -> list[Document]:
    filter = {"after": job_id, FOLLOWS: True, "_id": {"$gt": after}}
    return await db.find(JOBS, filter, "jobs_following", sort=[("_id", 1)], limit=limit)


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


_OUTLINE = ("job_id", "sequence", "attempt", "status", "waits", "incarnation")
"""The fields of an execution from which it follows whether it stands for its job."""
_OTHERS = document(records.EXECUTIONS, Execution("", "", "", "", 1, 1, Spec("none"), 0, 0))
"""What an execution has in place of its other fields where only these were read."""


async def latest_under_way(db: Database, bounds: Mapping[str, JobBounds]) -> dict[str, Execution]:
    """For each of these jobs that has executions under way, the newest of them, one that waits only without others."""
    return await _first_readable(db, await _ids_under_way(db, bounds))


async def _ids_under_way(db: Database, bounds: Mapping[str, JobBounds]) -> dict[str, list[str]]:
    """The ids of the executions under way of each of these jobs that has any, ``by_standing``. They are read without their specs, since a
    job may have a long backlog."""
    if not bounds:
        return {}
    rows = await db.find(EXECUTIONS, {"job_id": {"$in": list(bounds)}, UNDER_WAY: True}, "executions_under_way", fields=_OUTLINE)
    of_job: dict[str, list[Execution]] = {}
    for execution in readable(rows, lambda row: read_execution({**_OTHERS, **row})):
        if not execution.status.final:  # it has not ended since it was found
            of_job.setdefault(execution.job_id, []).append(execution)
    sorted_ids = {id: [one.id for one in by_standing(some, bounds[id])] for id, some in of_job.items()}
    return {id: ids for id, ids in sorted_ids.items() if ids}


async def _first_readable(db: Database, wanted: OfJobs, ended: OfJobs | None = None, *, bounded: bool = False) -> dict[str, Execution]:
    """Reads the first readable execution of each job. One that ended after its id was found does not count, unless its job is in ``ended``.
    ``bounded``: raises Invalid when the specs are too large to hold."""
    left, found, size = dict(wanted), dict[str, Execution](), 1
    while left:
        rows = await db.with_ids(EXECUTIONS, [one for ids in left.values() for one in ids[:size]], bounded=bounded)
        whole = {
            one.id: one for one in readable(list(rows.values()), read_execution) if not one.status.final or one.job_id in (ended or {})
        }
        for id, ids in left.items():
            if first := next((whole[one] for one in ids[:size] if one in whole), None):
                found[id] = first
        left = {id: ids[size:] for id, ids in left.items() if id not in found and len(ids) > size}
        size *= 2
    return found


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
    await _mark_late(db, page)
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


async def mark_all_late(db: Database) -> None:
    """Marks all jobs that are late, before there is an index of them."""
    after: str | None = ""
    while after is not None:
        page = await _page(db, after, BATCH)
        await _mark_late(db, page)
        after = page[-1]["_id"] if len(page) == BATCH else None


async def _mark_late(db: Database, rows: Sequence[Document]) -> None:
    """Corrects which of these jobs are marked as late: an older fastlane does not mark them."""
    for job, row in readable([row for row in rows if is_there(row)], lambda row: (job_of(row), row)):
        if job.is_late != (LATE in row):
            await db.update(JOBS, job.id, {"rev": row["rev"]}, {"$set": {LATE: True}} if job.is_late else {"$unset": {LATE: ""}})


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
