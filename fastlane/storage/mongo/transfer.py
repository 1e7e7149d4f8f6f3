"""What only an export or an import asks of the database."""

from collections.abc import Sequence
from functools import partial

from fastlane.models.execution import Execution
from fastlane.models.ids import IdempotencyRecord, nonce
from fastlane.models.job import Task
from fastlane.models.retention import TaskHour
from fastlane.storage import records
from fastlane.storage.base import Noted
from fastlane.storage.logic import TransferLogic
from fastlane.storage.mongo import history, logs
from fastlane.storage.mongo.commits import complete_pending, task_words
from fastlane.storage.mongo.database import Database
from fastlane.storage.mongo.rows import UNCOUNTED, MongoRows, document, filter_of, read
from fastlane.storage.mongo.schema import EXECUTIONS, RECEIPTS, TASKS
from fastlane.storage.mongo.statuses import JobStatuses
from fastlane.storage.records import Between
from fastlane.storage.rows import Part

_BY_AGE = records.Index(records.RECEIPTS, "receipts_by_age", (), ("created_at", "key"))


class MongoTransfer(TransferLogic):
    """A ``TransferStore`` of the database."""

    def __init__(self, db: Database, rows: MongoRows, statuses: JobStatuses) -> None:
        super().__init__(rows)
        self._db = db
        self._statuses = statuses
        self._written, self._committed = rows.written, rows.committed

    async def idempotency_records(self, since: int, limit: int, after: tuple[int, str] | None = None) -> Sequence[IdempotencyRecord]:
        """A reservation is none."""
        filter = filter_of(_BY_AGE, {"created_at": Between(low=since), "done": True}, Part(after=after))
        sort = [("created_at", 1), ("_id", 1)]

        async def look() -> list[IdempotencyRecord]:
            await complete_pending(self._db)
            rows = await self._db.find(RECEIPTS, filter, _BY_AGE.name, sort=sort, limit=limit)
            return [read(records.RECEIPTS, row) for row in rows]

        return await self._db.call(look)

    async def restore_task(self, task: Task) -> None:
        times = {"created_at": task.created_at, "modified_at": task.modified_at}
        change = {"$set": times, "$setOnInsert": {"words": task_words(task.id)}}
        await self._db.call(lambda: self._db.upsert(TASKS, task.id, change))
        self._committed()

    async def restore_record(self, record: IdempotencyRecord) -> None:
        op = nonce()
        row = {**document(records.RECEIPTS, record, op), "op": op, "done": True}
        await self._written(lambda: self._db.insert(RECEIPTS, row))

    async def logged(self, execution_ids: Sequence[str]) -> frozenset[str]:
        return frozenset(await self._db.call(lambda: logs.with_log(self._db, execution_ids)))

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
