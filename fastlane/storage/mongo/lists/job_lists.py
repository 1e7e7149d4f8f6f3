"""The lists of jobs by label, by status and by task, and how many jobs have each status.

A label has an index in the list's order. A status has none: it follows from the job and its executions (``models.job.job_status``), so it
is found for each job of the tasks in question.
"""

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

from fastlane.models.job import Job, Spec, job_status
from fastlane.models.paging import Page, WantedJobs, Window
from fastlane.models.schedule.cron import Cron
from fastlane.models.schedule.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.storage import records
from fastlane.storage.mongo.commits import complete_pending
from fastlane.storage.mongo.database import Database, Document
from fastlane.storage.mongo.executions import latest_under_way, newest_ended
from fastlane.storage.mongo.jobs import bounds_of, visible_tasks
from fastlane.storage.mongo.lists.paged import JOB_ROWS, page, shown
from fastlane.storage.mongo.rows import read
from fastlane.storage.mongo.schema import JOBS
from fastlane.storage.pages import FEW_TASKS, TextBudget
from fastlane.storage.records import LAST, label_text
from fastlane.storage.rows import readable

BATCH = 500
"""Jobs whose statuses are found together."""

_CRON = Schedule(ScheduleKind.CRON, None, Cron("@daily"))
_ONCE = Schedule()
_FIELDS = (
    *("task_id", "created_at", "incarnation", "floor", "stop_sequence", "armed", "next_tick", "held_tick"),
    *("is_cron", "expiration"),
)
_NEWEST = [("created_at", -1), ("_id", -1)]


async def all_jobs(db: Database, wanted: WantedJobs, window: Window) -> Page[Job]:
    """Jobs of all tasks, or of one, newest first."""
    if wanted.visible is not None and wanted.task_id is not None:
        one = replace(wanted, visible=None)
        return await all_jobs(db, one, window) if re.match(wanted.visible, wanted.task_id) else Page(window, 0, (), None)
    await complete_pending(db)
    filter, index = await _found(db, wanted)
    if wanted.statuses:
        return await _with_status(db, wanted, window, filter, index)
    return await page(db, JOB_ROWS, filter, index, window)


async def jobs_with_status(db: Database, task_id: str, status: str, now: int, window: Window) -> Page[Job]:
    """A task's jobs with this status, newest first."""
    return await all_jobs(db, WantedJobs(frozenset({status}), task_id, now=now), window)


async def next_jobs(db: Database, limit: int, now: int, visible: str | None) -> list[Job]:
    """The jobs that run next by their schedules, soonest first. Jobs of other tasks are skipped along the index."""
    of_tasks = {} if visible is None else {"task_id": {"$in": await visible_tasks(db, visible)}}
    lasting = {"$or": [{"expiration": None}, {"expiration": {"$gt": now, "$lte": LAST}}]}
    filter, found = {"next_tick": {"$gte": -LAST - 1, "$lte": LAST}, **of_tasks, **lasting}, list[Job]()
    async with aclosing(db.walk(JOBS, filter, "jobs_due", [("next_tick", 1), ("_id", 1)])) as rows:
        async for row in rows:
            found += [job for job in readable([row], partial(read, records.JOBS)) if job.next_run(now) is not None]
            if len(found) == limit:
                break
    return found


async def jobs_by_status(db: Database, visible: str | None, now: int) -> Mapping[str, int]:
    """How many jobs have each status that any has."""
    await complete_pending(db)
    filter, index = await _found(db, WantedJobs(visible=visible))
    counts: dict[str, int] = {}
    async with aclosing(_statuses(db, filter, index, now)) as statuses:
        async for _, status in statuses:
            counts[status] = counts.get(status, 0) + 1
    return counts


async def _found(db: Database, wanted: WantedJobs) -> tuple[dict[str, Any], str]:
    """The filter of a list without its status, and the index whose order is the list's."""
    tasks = None if wanted.visible is None else await visible_tasks(db, wanted.visible)
    of_tasks: dict[str, Any] = {} if tasks is None else {"task_id": {"$in": tasks}}
    if wanted.task_id is not None:
        of_tasks = {"task_id": wanted.task_id}
    if wanted.label is not None:
        return {"labels": label_text(*wanted.label), **of_tasks}, "jobs_by_label"
    if wanted.task_id is not None or (tasks is not None and len(tasks) <= FEW_TASKS):
        return of_tasks, "jobs_of_task"
    return {"created_at": {"$gte": -LAST - 1, "$lte": LAST}, **of_tasks}, "jobs_by_creation"


async def _with_status(db: Database, wanted: WantedJobs, window: Window, filter: Mapping[str, Any], index: str) -> Page[Job]:
    """The page of those with one of the statuses. All are passed over to count them, once for each walk."""
    found: list[tuple[int, str]] = []
    async with aclosing(_statuses(db, filter, index, wanted.now)) as statuses:
        async for row, status in statuses:
            key = (row["created_at"], row["_id"])
            if status in wanted.statuses and (window.after is None or key < tuple(window.after.key)):
                found.append(key)
            if window.after is not None and len(found) > window.per_page:
                break
    total, start = (len(found), window.offset) if window.after is None else (window.after.total, 0)
    chosen, budget = [id for _, id in found[start : start + window.per_page]], TextBudget()
    rows = await db.with_ids(JOBS, chosen)
    for row in rows.values():
        budget.spend(row["spec"])
    return shown(JOB_ROWS, window, total, [rows[id] for id in chosen if id in rows], more=start + window.per_page < len(found))


async def _statuses(db: Database, filter: Mapping[str, Any], index: str, now: int) -> AsyncGenerator[tuple[Document, str]]:
    """Each job, newest first, with its status."""
    batch: list[Document] = []
    async with aclosing(db.walk(JOBS, filter, index, _NEWEST, fields=_FIELDS, batch=BATCH)) as rows:
        async for row in rows:
            batch.append(row)
            if len(batch) == BATCH:
                for found in await _with_statuses(db, batch, now):
                    yield found
                batch = []
    for found in await _with_statuses(db, batch, now):
        yield found


async def _with_statuses(db: Database, rows: list[Document], now: int) -> list[tuple[Document, str]]:
    bounds = {row["_id"]: bounds_of(row) for row in rows}
    latest = {id: execution.status for id, execution in (await latest_under_way(db, bounds)).items()}
    jobs = {row["_id"]: _job(row) for row in rows}
    unknown = [id for id, job in jobs.items() if id not in latest and _depends_on_latest(job, now)]
    latest |= {row["_id"]: Status(row["status"]) for row in await newest_ended(db, unknown)}
    return [(row, job_status(jobs[row["_id"]], latest.get(row["_id"]), now)) for row in rows]


def _depends_on_latest(job: Job, now: int) -> bool:
    """Whether the status of a job without an execution under way depends on how its last one ended."""
    return not job.paused and job.schedule.cron is None and (job.stopped or job.next_run(now) is None)


def _job(row: Document) -> Job:
    """A job with all that its status follows from, and nothing else: to read it whole takes ten times as long."""
    return Job(
        id=row["_id"],
        task_id=row["task_id"],
        incarnation=row["incarnation"],
        created_at=row["created_at"],
        modified_at=0,
        spec=Spec("", expiration=row["expiration"]),
        schedule=_CRON if row["is_cron"] else _ONCE,
        stop_sequence=row["stop_sequence"],
        armed=row["armed"],
        next_tick=row["next_tick"],
        held_tick=row["held_tick"],
        floor=row["floor"],
    )
