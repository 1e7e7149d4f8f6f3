"""The collections and their indexes, which ``migration`` makes.

A job, a tick, an execution, a chunk of a log, a task and a record are a document each, with the fields of ``storage.documents``; what is
under ``id`` there is under ``_id`` here. Some fields are added, from which indexes are made: MongoDB cannot make an index from a condition
over several fields. Every query names its index (``calls`` pass it as a hint), so none scans a collection.
"""

from collections.abc import Mapping, Sequence

from pymongo import ASCENDING, IndexModel

JOBS, TICKS, EXECUTIONS, TASKS, CHUNKS = "jobs", "ticks", "executions", "tasks", "log_chunks"
HOSTS, RECEIPTS, DELETED, META, IMAGES = "hosts", "receipts", "deleted_executions", "meta", "images"
DELIVERIES, RECEIVERS, QUOTAS, HOURS, EVENTS = "deliveries", "receivers", "mail_quotas", "hours", "events"

BY_ID = "_id_"
DAY, WEEK = 86_400, 7 * 86_400

UNDER_WAY, UNSETTLED, UNCLEANED, UNFINISHED, WAITING = "is_under_way", "is_unsettled", "is_uncleaned", "is_unfinished", "is_waiting"
ON_HOST, UNCOUNTED = "is_on_host", "is_uncounted"
"""Fields of an execution that are true, or missing: see ``executions.flags``."""
TO_SEND = "is_to_send"
"""A field of a delivery that is true, or missing: something is still to be sent."""
TO_COME, PENDING, GONE_AT, TO_CHECK = "is_to_come", "is_pending", "gone_at", "is_to_check"
"""Fields of a job: a tick is to come or held; it has an intent; when it was deleted (on a tombstone); somebody is to look whether it is
late."""


def _index(name: str, *keys: str, where: Mapping[str, object] | None = None, seconds: int | None = None) -> IndexModel:
    options: dict[str, object] = {"name": name}
    if where is not None:
        options["partialFilterExpression"] = where
    if seconds is not None:
        options["expireAfterSeconds"] = seconds
    return IndexModel([(key, ASCENDING) for key in keys], **options)


# A new index of a collection that an earlier migration names needs a later one, with a part of its own.
INDEXES: Mapping[str, Sequence[IndexModel]] = {
    TASKS: (_index("tasks_by_change", "modified_at", "_id"), _index("tasks_by_word", "words")),
    JOBS: (
        _index("jobs_of_task", "task_id", "created_at", "_id"),
        _index("jobs_by_creation", "created_at", "_id", "task_id"),
        _index("jobs_by_label", "labels", "created_at", "_id", "task_id"),
        _index("jobs_due", "next_tick", "_id"),
        _index("jobs_to_come", "task_id", "_id", where={TO_COME: True}),
        _index("jobs_pending", PENDING, where={PENDING: True}),
        _index("jobs_gone", GONE_AT, seconds=WEEK),
        _index("jobs_to_check", "check_at", "_id", where={TO_CHECK: True}),
        _index("jobs_by_status", "job_status", "created_at", "_id", "task_id"),
        _index("jobs_of_task_by_status", "task_id", "job_status", "created_at", "_id"),
    ),
    TICKS: (_index("ticks_of_job", "job_id", "incarnation", "due", "_id"),),
    EXECUTIONS: (
        _index("executions_of_job", "job_id", "sequence", "attempt", "status"),
        _index("executions_of_task", "task_id", "scheduled_for", "_id"),
        _index("executions_by_status", "status", "scheduled_for", "_id", "task_id"),
        _index("executions_of_task_by_status", "task_id", "status", "scheduled_for", "_id"),
        _index("executions_under_way", "job_id", "sequence", "attempt", where={UNDER_WAY: True}),
        _index("executions_waiting", "job_id", "sequence", where={WAITING: True}),
        _index("executions_unsettled", "finished_at", "_id", where={UNSETTLED: True}),
        _index("executions_uncleaned", "finished_at", "_id", "host", where={UNCLEANED: True}),
        _index("executions_on_host", "host", where={ON_HOST: True}),
        _index("executions_uncounted", UNCOUNTED, where={UNCOUNTED: True}),
        _index("executions_by_creation", "created_at", "_id", "task_id"),
        _index("executions_by_start", "start_noted_at", "_id", "task_id", where={"start_noted_at": {"$gt": 0}}),
        _index("executions_by_end", "end_noted_at", "_id", "task_id", where={"end_noted_at": {"$gt": 0}}),
        _index("executions_unfinished", "task_id", "job_id", "sequence", "attempt", where={UNFINISHED: True}),
    ),
    CHUNKS: (
        _index("chunks_of_execution", "execution_id", "sequence"),
        _index("logs", "execution_id", where={"sequence": 0}),
        _index("chunks_by_offset", "execution_id", "start_offset", where={"bytes": {"$gt": 0}}),
        _index("chunks_by_stdout", "execution_id", "start_stdout", where={"stdout_bytes": {"$gt": 0}}),
        _index("chunks_by_stderr", "execution_id", "start_stderr", where={"stderr_bytes": {"$gt": 0}}),
    ),
    RECEIPTS: (_index("receipts_by_age", "created_at", "_id"),),
    DELIVERIES: (
        _index("deliveries_of_execution", "execution_id", "_id"),
        _index("deliveries_due", "due", "_id", "origin", where={TO_SEND: True}),
        _index("deliveries_by_age", "created_at", "_id"),
    ),
    RECEIVERS: (_index("receivers_by_age", "failing_since", "_id"), _index("receivers_by_failure", "failed_at")),
    QUOTAS: (_index("mail_quotas_by_age", "told_at"),),
    HOURS: (_index("hours_of_task", "task_id", "hour", "pool"), _index("hours_by_age", "hour")),
    EVENTS: (
        _index("events_by_time", "time", "_id", "task_id"),
        _index("events_of_job", "job_id", "time", "_id"),
        _index("events_of_execution", "execution_id", "time", "_id"),
    ),
    DELETED: (_index("deleted_by_age", "deleted_at", seconds=DAY),),
}
