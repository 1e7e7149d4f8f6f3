"""The store in a MongoDB database, which processes on several machines share.

The calls are in the modules named for what they read and write, the collections and indexes in ``rows``, the driver in ``database``.
Retention, exports and imports are here. WiredTiger reuses freed space for later writes.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from pymongo import ReplaceOne, UpdateOne

from fastlane.models.ids import nonce
from fastlane.models.job import Execution, Task
from fastlane.models.retention import Cuts, JobHistory, TaskHour
from fastlane.models.store_version import StoreVersion
from fastlane.storage import records
from fastlane.storage.base import Noted
from fastlane.storage.logic import HistoryLogic, StoreLogic, TransferLogic
from fastlane.storage.logs import logged
from fastlane.storage.mongo import history
from fastlane.storage.mongo.commits import complete_pending, delete_empty_tasks, is_there, task_words
from fastlane.storage.mongo.database import Database, Document, KeyedLock, read_url
from fastlane.storage.mongo.idempotency import tombstone
from fastlane.storage.mongo.jobs import CommittedRows, MongoJobs
from fastlane.storage.mongo.lists import MongoLists
from fastlane.storage.mongo.logs import MongoLogs
from fastlane.storage.mongo.migration import prepare
from fastlane.storage.mongo.rows import (
    CHUNKS,
    DELETED,
    DELIVERIES,
    EXECUTIONS,
    GONE_AT,
    JOBS,
    TASKS,
    TICKS,
    UNCOUNTED,
    CommitCounter,
    document,
)
from fastlane.storage.records import Among, Part, Where
from fastlane.storage.retention import SEEN, RetentionLogic, WholeJob

A_FEW = 4
"""Executions, and ticks, of a job that has given out one number at most; it has more after retries and pauses."""
_EXECUTIONS, _TICKS = replace(records.EXECUTIONS_OF_JOB, order=()), replace(records.TICKS_OF_JOB, order=())


class MongoHistory(HistoryLogic):
    """The ``HistoryStore`` of the database."""

    def __init__(self, db: Database, rows: CommittedRows) -> None:
        super().__init__(rows)
        self._db = db
        self._written = rows.written

    async def count_ends(self, limit: int) -> int:
        return await self._written(lambda: history.count_some(self._db, limit))


class MongoRetention(RetentionLogic):
    """A ``RetentionStore`` of the database."""

    def __init__(self, db: Database, rows: CommittedRows) -> None:
        super().__init__(rows)
        self._db = db
        self._written, self._finished = rows.written, rows.finisher.finished

    async def candidates(self, jobs: Sequence[JobHistory], cuts: Cuts) -> Set[str]:
        found, short = {job.job_id for job in jobs if job.sequence > 1}, [job.job_id for job in jobs if job.sequence <= 1]
        where, part = {"job_id": Among(short)}, Part(A_FEW * len(short))
        if not short:
            return found
        rows = await self._rows.select(_EXECUTIONS, where, ("id", "job_id", "finished_at", "settled", "cleaned"), part)
        ticks = await self._rows.select(_TICKS, where, ("id", "job_id", "due", "execution_id"), part)
        if part.limit in (len(rows), len(ticks)):
            return found | set(short)
        found |= {job_id for some in (rows, ticks) for job_id, count in Counter(row["job_id"] for row in some).items() if count > 1}
        without = await self._without_execution([tick for tick in ticks if tick["due"] < cuts.executions])
        ended = [row["id"] for row in rows if row["settled"] and row["cleaned"] and (row["finished_at"] or cuts.logs) < cuts.logs]
        there = await logged(self._rows, ended)
        return found | {row["job_id"] for row in rows if row["id"] in there} | {tick["job_id"] for tick in ticks if tick["id"] in without}

    async def _seen(self, job_ids: Sequence[str]) -> dict[str, Document]:
        await self._finished(*job_ids)
        rows = await self._db.call(lambda: self._db.with_ids(JOBS, job_ids, (*SEEN, "rev", "intent", GONE_AT)))
        return {id: {"id": id, **row} for id, row in rows.items() if is_there(row) and row["intent"] is None}

    async def _delete_jobs(self, jobs: Sequence[WholeJob], now: int) -> frozenset[str]:
        going = await self._written(lambda: _raise_floors(self._db, jobs))
        if not going:
            return frozenset()
        gone = await self._written(lambda: _delete_jobs(self._db, going, now))
        tasks = sorted({job.row["task_id"] for job in going})
        await self._db.call(lambda: delete_empty_tasks(self._db, tasks))
        return gone

    async def log_bytes(self) -> int:
        return await self._db.call(lambda: self._db.size(CHUNKS))

    async def release_space(self) -> bool:
        return False

    def _ticks_of(self, job: JobHistory) -> Where:
        return {"job_id": job.job_id, "incarnation": job.incarnation}


async def _raise_floors(db: Database, jobs: Sequence[WholeJob]) -> list[WholeJob]:
    """Raises the jobs' floors, so that nothing that is inserted late ever runs. The jobs that have not changed since they were seen, with
    their new ``rev``."""
    wanted = {
        job.row["id"]: {"floor": job.row["sequence"], "rev": job.row["rev"] + (job.row["floor"] != job.row["sequence"])} for job in jobs
    }
    low = [job.row for job in jobs if job.row["floor"] != job.row["sequence"]]
    await db.write_each(JOBS, [UpdateOne({"_id": row["id"], "rev": row["rev"]}, {"$set": wanted[row["id"]]}) for row in low])
    stored = await db.with_ids(JOBS, list(wanted), ("rev", *SEEN, GONE_AT))
    same = {id for id, after in wanted.items() if is_there(row := stored.get(id)) and row is not None and after.items() <= row.items()}
    unchanged = ("incarnation", "sequence", "modified_at")
    return [
        replace(job, row={**job.row, **wanted[id]})
        for job in jobs
        if (id := job.row["id"]) in same and all(stored[id][name] == job.row[name] for name in unchanged)
    ]


async def _delete_jobs(db: Database, jobs: Sequence[WholeJob], now: int) -> frozenset[str]:
    """Deletes jobs whose floors are raised with all that they have, each row by its id. The tasks' times go first: a process that ends in
    between leaves the rest to the next one."""
    ids, executions = [job.row["id"] for job in jobs], [id for job in jobs for id in job.executions]
    chunks = [f"{id}/{sequence}" for job in jobs for id, sequence in job.chunks]
    await history.count(db, executions)
    rows = (await db.with_ids(EXECUTIONS, executions, ("epoch",))).values()
    claimed = [{"_id": row["_id"], "deleted_at": datetime.now(UTC)} for row in rows if row["epoch"] > 0]
    await db.insert_missing(DELETED, claimed)
    await db.update_all(TASKS, sorted({job.row["task_id"] for job in jobs}), {"$max": {"modified_at": now}})
    owners = {"execution_id": {"$in": [*executions, *ids]}}
    deliveries = [row["_id"] for row in await db.find(DELIVERIES, owners, "deliveries_of_execution", fields=("_id",))]
    parts = {TICKS: [id for job in jobs for id in job.ticks], CHUNKS: chunks, DELIVERIES: deliveries, EXECUTIONS: executions}
    for collection, of_jobs in parts.items():
        if of_jobs:
            await db.delete(collection, {"_id": {"$in": of_jobs}})
    op = nonce()
    stones = {job.row["id"]: {**tombstone(job.row["id"], job.row["rev"] + 1), "ops": [op]} for job in jobs}
    await db.write_each(JOBS, [ReplaceOne({"_id": job.row["id"], "rev": job.row["rev"]}, stones[job.row["id"]]) for job in jobs])
    stored = await db.with_ids(JOBS, ids, ("ops",))
    return frozenset(id for id, row in stored.items() if op in row["ops"])


class MongoTransfer(TransferLogic):
    """A ``TransferStore`` of the database."""

    def __init__(self, db: Database, rows: CommittedRows) -> None:
        super().__init__(rows)
        self._db = db
        self._statuses = rows.statuses
        self._written, self._committed = rows.written, rows.committed

    async def restore_task(self, task: Task) -> None:
        times = {"created_at": task.created_at, "modified_at": task.modified_at}
        change = {"$set": times, "$setOnInsert": {"words": task_words(task.id)}}
        await self._db.call(lambda: self._db.upsert(TASKS, task.id, change))
        self._committed()

    async def restore_execution(self, execution: Execution, noted: Noted, *, is_counted: bool) -> bool:
        times = {"start_noted_at": noted.start, "end_noted_at": noted.end}
        row = document(records.EXECUTIONS, execution) | {name: time for name, time in times.items() if time is not None}
        if is_counted:
            row.pop(UNCOUNTED, None)
        if inserted := await self._written(lambda: self._db.insert(EXECUTIONS, row)):
            await self._statuses.follow(execution.job_id)
        return inserted

    async def hour_rows(self, limit: int, after: TaskHour | None = None) -> Sequence[TaskHour]:
        return await self._db.call(lambda: history.rows(self._db, limit, after))

    async def restore_hours(self, rows: Sequence[TaskHour]) -> None:
        for row in rows:
            await self._written(partial(history.restore, self._db, row))


DEADLINE = 5.0
"""Seconds that a call may take."""


class MongoStore(MongoJobs, MongoLists, MongoLogs, StoreLogic):
    """A ``Store`` in the database that a URL names. Every call ends within ``deadline`` seconds, with StoreDown if it must."""

    _rows: CommittedRows

    def __init__(self, url: str, *, deadline: float = DEADLINE) -> None:
        self._db = Database(read_url(url), deadline)
        self._commits = CommitCounter(self._db)
        self._locks = KeyedLock()
        self._rows = CommittedRows(self._db, self._commits)
        self.history = MongoHistory(self._db, self._rows)
        self.retention = MongoRetention(self._db, self._rows)
        self.transfer = MongoTransfer(self._db, self._rows)

    async def open(self) -> None:
        """Raises FastlaneError for a database that only a newer fastlane may use."""
        await asyncio.to_thread(self._db.open)  # a URL with +srv asks DNS
        try:
            await prepare(self._db)
            await self._db.call(self._commits.open)
            await self._db.call(lambda: complete_pending(self._db, {}))
        except BaseException:
            await self._db.close()
            raise
        self._rows.finisher.start()

    async def close(self) -> None:
        await self._rows.finisher.close()
        await self._rows.statuses.close()
        await self._commits.close()
        await self._db.close()

    async def check(self) -> None:
        await self._db.call(self._commits.check)

    async def version(self, confirmed: bool = False, /) -> StoreVersion:
        return await self._db.call(lambda: self._commits.version(confirmed=confirmed))
