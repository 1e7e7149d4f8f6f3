"""Tasks: a task is made by its first job, and deleted when it has none.

A deletion and a new job may come at once. The deletion marks the task, looks for jobs once more, and deletes the task only with its mark. A
new job's task is changed after the job is stored, and that takes the mark away, or makes the task again. So either the deletion sees the
job, or the task is there after both.
"""

from fastlane.models.event import Event
from fastlane.models.ids import nonce
from fastlane.storage.mongo.driver.database import Database
from fastlane.storage.mongo.rows import event_row, task_words
from fastlane.storage.mongo.schema import EVENTS, JOBS, TASKS

_MARK = "deletion"


async def change(db: Database, task_id: str, modified_at: int | None, *, is_new: bool) -> bool:
    """Takes note of a change of one of the task's jobs. ``is_new``: a new job, which makes the task if need be. Whether it was made."""
    if modified_at is None:
        return False
    times = {"$max": {"modified_at": modified_at}, "$unset": {_MARK: ""}}
    if not is_new:
        await db.update(TASKS, task_id, {}, times)
        return False
    first = {"created_at": modified_at, "words": task_words(task_id)}
    return await db.upsert(TASKS, task_id, {**times, "$setOnInsert": first})


async def delete(db: Database, task_id: str, event: Event | None = None) -> bool:
    """Deletes a task without jobs; False when it has any. The event is recorded before the task goes."""
    if await _has_jobs(db, task_id):
        return False
    mark = nonce()
    if not await db.update(TASKS, task_id, {}, {"$set": {_MARK: mark}}, lambda row: row.get(_MARK) == mark):
        return True
    if await _has_jobs(db, task_id):
        await db.update(TASKS, task_id, {}, {"$unset": {_MARK: ""}})
        return False
    await db.insert_missing(EVENTS, [] if event is None else [event_row(event)])
    await db.delete(TASKS, {"_id": task_id, _MARK: mark})
    return True


async def _has_jobs(db: Database, task_id: str) -> bool:
    return bool(await db.find(JOBS, {"task_id": task_id}, "jobs_of_task", limit=1, fields=("task_id",)))
