"""The collections and their indexes, which ``migration`` makes.

A job, a tick, an execution, a chunk of a log, a task and a record are a document each, made by ``rows`` from the declarations in
``records``. Documents have additional fields for indexes, because MongoDB cannot make an index from a condition over several fields. Every
query names its index, so none scans a collection.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, IndexModel

from fastlane.storage import records
from fastlane.storage.mongo.rows import UNCOUNTED

JOBS, TICKS, EXECUTIONS, TASKS, RECEIPTS = (
    one.name for one in (records.JOBS, records.TICKS, records.EXECUTIONS, records.TASKS, records.RECEIPTS)
)
DELIVERIES, RECEIVERS, QUOTAS, EVENTS = (one.name for one in (records.DELIVERIES, records.RECEIVERS, records.QUOTAS, records.EVENTS))
CHUNKS, HOURS, DELETED = "log_chunks", "hours", "deleted_executions"

DAY, WEEK = 86_400, 7 * 86_400

UNDER_WAY, UNFINISHED, WAITING = (str(one.flag) for one in (records.UNDER_WAY, records.UNFINISHED, records.WAITING))
TO_COME, TO_CHECK = str(records.TO_COME.flag), str(records.TO_CHECK.flag)
PENDING, GONE_AT = "is_pending", "gone_at"
"""Fields of a job: it has an intent; when it was deleted (on a tombstone)."""


def _index(name: str, *keys: str, where: Mapping[str, object] | None = None, seconds: int | None = None) -> IndexModel:
    options: dict[str, object] = {"name": name}
    if where is not None:
        options["partialFilterExpression"] = where
    if seconds is not None:
        options["expireAfterSeconds"] = seconds
    return IndexModel([(key, ASCENDING) for key in keys], **options)


def _declared(index: records.Index[Any]) -> IndexModel:
    condition = index.where
    where: Mapping[str, object] | None = {condition.flag: True} if condition is not None and condition.flag is not None else None
    if condition is not None and any(isinstance(wanted, records.Between) for wanted in condition.where.values()):
        where = {name: {"$gt": 0} for name in condition.where}
    return _index(index.name, *("_id" if name == "id" else name for name in index.keys), where=where)


# A new index of a collection that an earlier migration names needs a later one, with a part of its own.
_OWN: Mapping[str, Sequence[IndexModel]] = {
    TASKS: (_index("tasks_by_word", "words"),),
    JOBS: (
        _index("jobs_by_label", "labels", "created_at", "_id", "task_id"),
        _index("jobs_pending", PENDING, where={PENDING: True}),
        _index("jobs_gone", GONE_AT, seconds=WEEK),
    ),
    TICKS: (_index("ticks_of_job", "job_id", "incarnation", "due", "_id"),),
    EXECUTIONS: (
        _index("executions_of_task_by_status", "task_id", "status", "scheduled_for", "_id"),
        _index("executions_uncounted", UNCOUNTED, where={UNCOUNTED: True}),
    ),
    CHUNKS: (
        _index("chunks_of_execution", "execution_id", "sequence"),
        _index("logs", "execution_id", where={"sequence": 0}),
        _index("chunks_by_offset", "execution_id", "start_offset", where={"bytes": {"$gt": 0}}),
        _index("chunks_by_stdout", "execution_id", "start_stdout", where={"stdout_bytes": {"$gt": 0}}),
        _index("chunks_by_stderr", "execution_id", "start_stderr", where={"stderr_bytes": {"$gt": 0}}),
    ),
    RECEIPTS: (_index("receipts_by_age", "created_at", "_id"),),
    HOURS: (_index("hours_of_task", "task_id", "hour", "pool"), _index("hours_by_age", "hour")),
    DELETED: (_index("deleted_by_age", "deleted_at", seconds=DAY),),
}
INDEXES: Mapping[str, Sequence[IndexModel]] = {
    collection: (
        *(_declared(one) for one in records.INDEXES if one.record.name == collection and collection != TICKS),
        *_OWN.get(collection, ()),
    )
    for collection in (TASKS, JOBS, TICKS, EXECUTIONS, CHUNKS, RECEIPTS, DELIVERIES, RECEIVERS, QUOTAS, HOURS, EVENTS, DELETED)
}
