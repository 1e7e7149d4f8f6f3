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

from pymongo import ReplaceOne, UpdateMany

from fastlane.models.ids import nonce
from fastlane.models.job import Execution, Task
from fastlane.models.retention import Cuts, JobHistory, TaskHour
from fastlane.models.store_version import StoreVersion
from fastlane.storage import records
from fastlane.storage.archive import LogArchiveLogic
from fastlane.storage.backfills import BackfillLogic
from fastlane.storage.base import Noted
from fastlane.storage.calendars import CalendarLogic
from fastlane.storage.logic import HistoryLogic, StoreLogic, TransferLogic
from fastlane.storage.logs import MAX_CHUNKS
from fastlane.storage.mongo import history, stored_counts
from fastlane.storage.mongo.commits import complete_pending, delete_empty_tasks, is_there, new_task
from fastlane.storage.mongo.database import Database, Document, KeyedLock, read_url
from fastlane.storage.mongo.idempotency import tombstone
from fastlane.storage.mongo.jobs import CommittedRows, MongoJobs
from fastlane.storage.mongo.lists import MongoLists
from fastlane.storage.mongo.logs import MongoLogs
from fastlane.storage.mongo.migration import LONGEST_PART, MigrationWatch, prepare
from fastlane.storage.mongo.rows import (
    CHUNKS,
    COUNTED,
    COUNTED_IN,
    COUNTED_OF,
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
from fastlane.storage.retention_port import ONE_STEP, Most
from fastlane.storage.seals import SealLogic

A_FEW = 4
"""Executions, and ticks, of a job that has given out one number at most; it has more after retries and pauses."""
_EXECUTIONS, _TICKS = replace(records.EXECUTIONS_OF_JOB, order=()), replace(records.TICKS_OF_JOB, order=())


class MongoHistory(HistoryLogic):
    """The ``HistoryStore`` of the database."""

    def __init__(self, db: Database, rows: CommittedRows) -> None:
        super().__init__(rows)
        self._db = db
        self._written = rows.written

        self._others: int | None = None

    async def count_ends(self, limit: int) -> int:
        await self._recount_after_others()
        ended = await self._written(lambda: history.count_some(self._db, limit))
        return max(ended, min(limit, await self._db.call(lambda: stored_counts.fold(self._db, limit))))

    async def _recount_after_others(self) -> None:
        """Counts everything anew when an older fastlane has written since it was counted, and not since the last look."""
        others = await self._db.call(lambda: stored_counts.is_outdated(self._db))
        if others is not None and others == self._others:
            await self._db.call(lambda: stored_counts.recount(self._db), LONGEST_PART)
        self._others = others


class MongoRetention(RetentionLogic):
    """A ``RetentionStore`` of the database. Each step takes the same commands, so it is larger than on SQLite, where others wait for it."""

    shares_commits = False
    _most, _chunks = Most(4 * ONE_STEP.executions, 4 * ONE_STEP.ticks, ONE_STEP.logs), 8 * MAX_CHUNKS

    def __init__(self, db: Database, rows: CommittedRows, log_archive: LogArchiveLogic) -> None:
        super().__init__(rows, log_archive)
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
        there = await self._logged(ended)
        return found | {row["job_id"] for row in rows if row["id"] in there} | {tick["job_id"] for tick in ticks if tick["id"] in without}

    async def _seen(self, job_ids: Sequence[str]) -> dict[str, Document]:
        await self._finished(*job_ids)
        fields = (*SEEN, "rev", "intent", GONE_AT, COUNTED, COUNTED_OF, COUNTED_IN)
        rows = await self._db.call(lambda: self._db.with_ids(JOBS, job_ids, fields))
        return {id: {"id": id, **row} for id, row in rows.items() if is_there(row) and row["intent"] is None}

    async def _delete_jobs(self, jobs: Sequence[WholeJob], now: int) -> frozenset[str]:
        going = await self._written(lambda: _raise_floors(self._db, jobs))
        if not going:
            return frozenset()
        await self._db.call(lambda: _delete_parts(self._db, going, now))
        gone = await self._written(lambda: _bury(self._db, going))
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
    their new ``rev``. Jobs whose rows are alike in both are one write: most have run once."""
    alike: dict[tuple[int, int], list[str]] = {}
    for job in jobs:
        alike.setdefault((job.row["rev"], job.row["sequence"]), []).append(job.row["id"])
    after = {(rev, sequence): {"floor": sequence, "rev": rev + 1} for rev, sequence in alike}
    writes = [UpdateMany({"_id": {"$in": ids}, "rev": key[0]}, {"$set": after[key]}) for key, ids in alike.items()]
    raised = [replace(job, row={**job.row, **after[job.row["rev"], job.row["sequence"]]}) for job in jobs]
    if await db.write_each(JOBS, writes) == len(jobs):
        return raised
    fields = ("floor", "rev", "incarnation", "sequence", "modified_at")
    stored = await db.with_ids(JOBS, [job.row["id"] for job in jobs], fields)
    return [job for job in raised if all(stored.get(job.row["id"], {}).get(name) == job.row[name] for name in fields)]


async def _delete_parts(db: Database, jobs: Sequence[WholeJob], now: int) -> None:
    """Deletes all that these jobs have, whose floors are raised, each row by its id. The tasks' times go first: a process that ends in
    between leaves the rest to the next one."""
    ids, executions = [job.row["id"] for job in jobs], [id for job in jobs for id in job.executions]
    chunks = [f"{id}/{sequence}" for job in jobs for id, sequence in job.chunks]
    rows = await history.count(db, executions, "epoch")
    await db.insert_missing(DELETED, [{"_id": row["_id"], "deleted_at": datetime.now(UTC)} for row in rows if row["epoch"] > 0])
    await db.update_all(TASKS, sorted({job.row["task_id"] for job in jobs}), {"$max": {"modified_at": now}})
    owners = {"execution_id": {"$in": [*executions, *ids]}}
    deliveries = [row["_id"] for row in await db.find(DELIVERIES, owners, "deliveries_of_execution", fields=("_id",))]
    parts = {TICKS: [id for job in jobs for id in job.ticks], CHUNKS: chunks, DELIVERIES: deliveries}
    for collection, of_jobs in parts.items():
        if of_jobs:
            await db.delete(collection, {"_id": {"$in": of_jobs}})
    if executions:
        await stored_counts.delete(db, executions)


async def _bury(db: Database, jobs: Sequence[WholeJob]) -> frozenset[str]:
    """Puts a tombstone in the place of each of these jobs that has not changed since its floor was raised. Which of them went."""
    op = nonce()
    stones = [{**tombstone(job.row["id"], job.row["rev"] + 1), "ops": [op], **stored_counts.carried(job.row)} for job in jobs]
    seen = [{"_id": job.row["id"], **stored_counts.as_counted(job.row)} for job in jobs]
    writes = [ReplaceOne(which, stone) for which, stone in zip(seen, stones, strict=True)]
    ids = [job.row["id"] for job in jobs]
    if await db.write_each(JOBS, writes) == len(jobs):
        return frozenset(ids)
    stored = await db.with_ids(JOBS, ids, ("ops",))
    return frozenset(id for id, row in stored.items() if op in row["ops"])


class MongoTransfer(TransferLogic):
    """A ``TransferStore`` of the database."""

    def __init__(self, db: Database, rows: CommittedRows, log_archive: LogArchiveLogic) -> None:
        super().__init__(rows, log_archive)
        self._db = db
        self._statuses = rows.statuses
        self._written, self._committed = rows.written, rows.committed

    async def restore_task(self, task: Task) -> None:
        times = {"created_at": task.created_at, "modified_at": task.modified_at}
        change = {"$set": times, "$setOnInsert": new_task(task.id)}
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
    log_archive: LogArchiveLogic

    def __init__(self, url: str, *, deadline: float = DEADLINE) -> None:
        self._db = Database(read_url(url), deadline)
        self._commits = CommitCounter(self._db)
        self._migration = MigrationWatch(self._db)
        self._locks = KeyedLock()
        self._rows = CommittedRows(self._db, self._commits)
        self.history = MongoHistory(self._db, self._rows)
        self.backfills = BackfillLogic(self._rows)
        self.calendars = CalendarLogic(self._rows)
        self.log_archive = LogArchiveLogic(self._rows)
        self.seals = SealLogic(self._rows, self.log_archive)
        self.retention = MongoRetention(self._db, self._rows, self.log_archive)
        self.transfer = MongoTransfer(self._db, self._rows, self.log_archive)

    async def open(self) -> None:
        """Raises FastlaneError for a database that only a newer fastlane may use."""
        await asyncio.to_thread(self._db.open)  # a URL with +srv asks DNS
        try:
            await prepare(self._db)
            await self._db.call(self._commits.open)
            await self._db.call(lambda: stored_counts.open_empty(self._db))
            await self._db.call(lambda: complete_pending(self._db, {}))
            await self.log_archive.open()
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

    async def is_migrating(self) -> bool:
        return await self._migration.is_under_way()

    async def version(self, confirmed: bool = False, /) -> StoreVersion:
        return await self._db.call(lambda: self._commits.version(confirmed=confirmed))
