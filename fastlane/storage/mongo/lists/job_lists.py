"""The lists of jobs by label, by status and by task, and how many jobs have each status.

A status is the stored one. Each filter has an index in the list's order; where it has several values, the server merges a walk for each.
"""

import re
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from fastlane.models.job import Job
from fastlane.models.paging import JobPage, WantedJobs, Window
from fastlane.storage.documents import label_text
from fastlane.storage.mongo.commits.intents import complete_pending
from fastlane.storage.mongo.driver.database import Database
from fastlane.storage.mongo.jobs import LAST
from fastlane.storage.mongo.lists.paged import JOB_ROWS, page
from fastlane.storage.mongo.lists.task_lists import visible_tasks
from fastlane.storage.mongo.rows import read_job
from fastlane.storage.mongo.schema import JOBS
from fastlane.storage.mongo.status_walks import complete_missing
from fastlane.storage.pages import FEW_TASKS
from fastlane.storage.readable import readable

_ANY_STATUS: dict[str, Any] = {"job_status": {"$gt": ""}}


async def all_jobs(db: Database, wanted: WantedJobs, window: Window) -> JobPage:
    """Jobs of all tasks, or of one, newest first."""
    if wanted.visible is not None and wanted.task_id is not None:
        one = replace(wanted, visible=None)
        return await all_jobs(db, one, window) if re.match(wanted.visible, wanted.task_id) else JobPage(window, 0, (), None)
    await (complete_missing(db) if wanted.statuses else complete_pending(db))
    filter, index = _found(wanted, None if wanted.visible is None else await visible_tasks(db, wanted.visible))
    return JobPage.listed(await page(db, JOB_ROWS, filter, index, window))


async def next_jobs(db: Database, limit: int, now: int, visible: str | None) -> list[Job]:
    """The jobs that run next by their schedules, soonest first. Jobs of other tasks are skipped along the index."""
    of_tasks = {} if visible is None else {"task_id": {"$in": await visible_tasks(db, visible)}}
    lasting = {"$or": [{"expiration": None}, {"expiration": {"$gt": now, "$lte": LAST}}]}
    filter, found = {"next_tick": {"$gte": -LAST - 1, "$lte": LAST}, **of_tasks, **lasting}, list[Job]()
    async with aclosing(db.walk(JOBS, filter, "jobs_due", [("next_tick", 1), ("_id", 1)])) as rows:
        async for row in rows:
            found += [job for job in readable([row], read_job) if job.next_run(now) is not None]
            if len(found) == limit:
                break
    return found


async def jobs_by_status(db: Database, visible: str | None) -> Mapping[str, int]:
    """How many jobs have each status that any has."""
    await complete_missing(db)
    filter: dict[str, Any] = _ANY_STATUS
    index = "jobs_by_status"
    if visible is not None:
        filter, index = {"task_id": {"$in": await visible_tasks(db, visible)}, **_ANY_STATUS}, "jobs_of_task_by_status"
    rows = await db.group(JOBS, [{"$match": filter}, {"$group": {"_id": "$job_status", "count": {"$sum": 1}}}], index)
    return {row["_id"]: row["count"] for row in rows}


def _found(wanted: WantedJobs, tasks: list[str] | None) -> tuple[dict[str, Any], str]:
    """The filter of a list, and the index whose order is the list's. Many tasks are filtered on the way."""
    of_tasks: dict[str, Any] = {} if tasks is None else {"task_id": {"$in": tasks}}
    if wanted.task_id is not None:
        of_tasks, tasks = {"task_id": wanted.task_id}, [wanted.task_id]
    of_status: dict[str, Any] = {"job_status": {"$in": sorted(wanted.statuses)}} if wanted.statuses else {}
    if wanted.label is not None:
        return {"labels": label_text(*wanted.label), **of_tasks, **of_status}, "jobs_by_label"
    by_status = "_by_status" if wanted.statuses else ""
    if tasks is not None and len(tasks) * max(1, len(wanted.statuses)) <= FEW_TASKS:
        return {**of_tasks, **of_status}, f"jobs_of_task{by_status}"
    return {"created_at": {"$gte": -LAST - 1, "$lte": LAST}, **of_tasks, **of_status}, "jobs_by_status" if by_status else "jobs_by_creation"
