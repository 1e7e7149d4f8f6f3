"""Jobs: single ones, and which of their executions may start. Their writes are ``commits``."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastlane.models.event import Event
from fastlane.models.execution import Execution
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.job import ExpectedVersions, Job, JobBounds
from fastlane.models.tick import Tick
from fastlane.storage.mongo import commits, idempotency
from fastlane.storage.mongo.commits import Finisher, complete, is_there
from fastlane.storage.mongo.database import Database, Document
from fastlane.storage.mongo.rows import BY_ID, MongoRows, read
from fastlane.storage.mongo.schema import GONE_AT, JOBS, TASKS
from fastlane.storage.mongo.statuses import bounds_of
from fastlane.storage.pages import after_all_with, literal_start
from fastlane.storage.records import JOBS as JOB_RECORD
from fastlane.storage.records import LAST

_BOUNDS = ("incarnation", "floor", "sequence", "stop_sequence", "intent", GONE_AT)


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


async def bounds(db: Database, job_id: str) -> JobBounds | None:
    """Which of a job's executions may start."""
    row = await db.one(JOBS, job_id, _BOUNDS)
    return None if row is None or not is_there(row) else bounds_of(row)


async def bounds_of_all(db: Database, job_ids: Sequence[str]) -> dict[str, JobBounds]:
    """The same for several jobs, by id. Their intents are completed before, so that their executions can be read after it."""
    rows = await db.with_ids(JOBS, job_ids, _BOUNDS)
    for row in rows.values():
        if row["intent"] is not None:
            await complete(db, row)
    return {id: bounds_of(row) for id, row in rows.items() if is_there(row)}


async def whole(db: Database, job_id: str) -> JobBounds | None:
    """A job's bounds once its intent is completed: what its last commit made can be read now."""
    return (await bounds_of_all(db, [job_id])).get(job_id)


def belonging(bounds: JobBounds) -> Mapping[str, Any]:
    """``JobBounds.include`` as a filter. A test compares both over generated rows."""
    return {"incarnation": {"$in": ["", bounds.incarnation]}, "sequence": {"$gt": bounds.floor, "$lte": LAST}}


async def visible_tasks(db: Database, pattern: str) -> list[str]:
    """The ids of the tasks that a pattern matches. Tasks whose ids begin differently are not read."""
    start = literal_start(pattern)
    range = {"$gte": start, "$lt": after_all_with(start)} if start else {"$gte": ""}
    rows = await db.find(TASKS, {"_id": range}, BY_ID, fields=("_id",))
    return [row["_id"] for row in rows if re.match(pattern, row["_id"])]
