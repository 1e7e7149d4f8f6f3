"""What only an export or an import asks of the database."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from fastlane.models.access import Requester
from fastlane.models.delivery import Delivery, MailQuota
from fastlane.models.execution import Execution
from fastlane.models.ids import IdempotencyRecord, nonce
from fastlane.models.job import Task
from fastlane.models.retention import TaskHour
from fastlane.storage.base.transfer import Noted
from fastlane.storage.event_rows import creator_of
from fastlane.storage.mongo import history, logs
from fastlane.storage.mongo.commits.intents import complete_pending
from fastlane.storage.mongo.driver.database import Database
from fastlane.storage.mongo.jobs import LAST, following
from fastlane.storage.mongo.notify import deliveries, quotas
from fastlane.storage.mongo.rows import execution_row, read_record, record_row, task_words
from fastlane.storage.mongo.schema import EXECUTIONS, JOBS, RECEIPTS, TASKS, UNCOUNTED
from fastlane.storage.mongo.statuses import JobStatuses
from fastlane.storage.mongo.version import CommitCounter
from fastlane.storage.readable import readable


class MongoTransfer:
    """A ``TransferStore`` beside the other verbs of the database."""

    def __init__(self, db: Database, commits: CommitCounter, statuses: JobStatuses) -> None:
        self._db = db
        self._commits = commits
        self._statuses = statuses

    async def idempotency_records(self, since: int, limit: int, after: tuple[int, str] | None = None) -> Sequence[IdempotencyRecord]:
        return await self._db.call(lambda: _records(self._db, since, limit, after))

    async def restore_task(self, task: Task) -> None:
        await self._written(lambda: _restore_task(self._db, task))

    async def restore_record(self, record: IdempotencyRecord) -> None:
        op = nonce()
        row = {**record_row(record), "op": op, "made": op, "done": True}
        await self._written(lambda: self._db.insert(RECEIPTS, row))

    async def creators(self, job_ids: Sequence[str]) -> Mapping[str, Requester | None]:
        fields = ("created_by", "requested_by")
        rows = await self._db.call(lambda: self._db.with_ids(JOBS, job_ids, fields))
        found = [(id, row.get("created_by"), row["requested_by"]) for id, row in rows.items()]
        return dict(readable(found, lambda row: (row[0], creator_of(*row))))

    async def noted(self, execution_ids: Sequence[str]) -> Mapping[str, Noted]:
        fields = ("start_noted_at", "end_noted_at")
        rows = await self._db.call(lambda: self._db.with_ids(EXECUTIONS, execution_ids, fields))
        return {id: Noted(*(row.get(name) for name in fields)) for id, row in rows.items()}

    async def deliveries(self, ids: Sequence[str]) -> Mapping[str, Sequence[Delivery]]:
        return await self._db.call(lambda: deliveries.of_all(self._db, ids))

    async def logged(self, execution_ids: Sequence[str]) -> frozenset[str]:
        return frozenset(await self._db.call(lambda: logs.with_log(self._db, execution_ids)))

    async def restore_execution(self, execution: Execution, noted: Noted, *, is_counted: bool) -> bool:
        times = {"start_noted_at": noted.start, "end_noted_at": noted.end}
        row = execution_row(execution, nonce()) | {name: time for name, time in times.items() if time is not None}
        if is_counted:
            row.pop(UNCOUNTED, None)
        inserted = await self._written(lambda: self._db.insert(EXECUTIONS, row))
        if inserted:
            await self._statuses.follow(execution.job_id)
        return inserted

    async def hour_rows(self, limit: int, after: TaskHour | None = None) -> Sequence[TaskHour]:
        return await self._db.call(lambda: history.rows(self._db, limit, after))

    async def restore_hours(self, rows: Sequence[TaskHour]) -> None:
        for row in rows:
            await self._written(partial(history.restore, self._db, row))

    async def mail_quotas(self, limit: int, after: str = "") -> Sequence[MailQuota]:
        return await self._db.call(lambda: quotas.after(self._db, limit, after))

    async def _written(self, write: Callable[[], Awaitable[bool]]) -> bool:
        written = await self._db.call(write)
        if written:
            self._commits.committed()
        return written


async def _records(db: Database, since: int, limit: int, after: tuple[int, str] | None) -> Sequence[IdempotencyRecord]:
    """A reservation is none."""
    await complete_pending(db)
    filter = {"created_at": {"$gte": max(since, after[0] if after else since), "$lte": LAST}, **following("created_at", after)}
    sort = [("created_at", 1), ("_id", 1)]
    rows = await db.find(RECEIPTS, {**filter, "done": True}, "receipts_by_age", sort=sort, limit=limit)
    return [read_record(row) for row in rows]


async def _restore_task(db: Database, task: Task) -> bool:
    times = {"created_at": task.created_at, "modified_at": task.modified_at}
    await db.upsert(TASKS, task.id, {"$set": times, "$setOnInsert": {"words": task_words(task.id)}})
    return True
