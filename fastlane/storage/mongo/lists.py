"""The paged lists, each a walk along an index in its order, newest first, and the counts of everything.

Rows before the page are passed over in the index, from the nearer end. The length of a list is counted along an index: MongoDB has no
triggers to keep a counter, and a counter that each write raises is wrong after some crashes. The length of a long list is kept for a moment
(``Lengths``). Where a filter has several values, the server merges a walk for each. A job's status is the stored one.

A list of tasks that is filtered by words or by a pattern is found in the ids alone, which are short; the page's own rows are read whole.
The jobs of each task on a page are counted then."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from fastlane.clock import unless_cancelled
from fastlane.models.job import Execution, Job, Task
from fastlane.models.paging import After, JobPage, Page, Row, Wanted, WantedJobs, Window
from fastlane.models.status import Status
from fastlane.models.tick import Tick
from fastlane.storage import records
from fastlane.storage.base import Counts, StatusWalk
from fastlane.storage.mongo.commits import complete_pending, whole
from fastlane.storage.mongo.database import LIST_ADVICE, Database, Document
from fastlane.storage.mongo.jobs import complete_missing, walk
from fastlane.storage.mongo.rows import EXECUTIONS, JOBS, TASKS, TICKS, MongoRows, read, visible_tasks
from fastlane.storage.pages import FEW_TASKS, TextBudget, contains, stretch_of, words_of
from fastlane.storage.records import LAST, label_text, readable

T = TypeVar("T")


class MongoLists:
    """The part of the store that lists and"""

    _db: Database
    _rows: MongoRows

    async def task(self, task_id: str) -> Task | None:
        return await self._db.call(lambda: task(self._db, task_id))

    async def next_jobs(self, limit: int, now: int, visible: str | None = None) -> Sequence[Job]:
        return await self._listed(lambda: next_jobs(self._db, limit, now, visible))

    async def list_tasks(self, window: Window, *, visible: str | None = None) -> Page[Task]:
        return await self._listed(lambda: tasks(self._db, window, visible))

    async def search_tasks(self, words: Sequence[str], window: Window, *, visible: str | None = None) -> Page[Task]:
        return await self._listed(lambda: tasks_with(self._db, words, window, visible))

    async def list_jobs(self, task_id: str, window: Window, *, status: str | None = None) -> JobPage:
        return await self.list_all_jobs(WantedJobs(frozenset() if status is None else frozenset({status}), task_id), window)

    async def list_all_jobs(self, wanted: WantedJobs, window: Window) -> JobPage:
        return await self._listed(lambda: all_jobs(self._db, wanted, window))

    async def list_ticks(self, job_id: str, window: Window) -> Page[Tick]:
        return await self._listed(lambda: ticks(self._db, job_id, window))

    async def list_executions_of(self, job_id: str, window: Window) -> Page[Execution]:
        return await self._listed(lambda: executions_of(self._db, job_id, window))

    async def list_executions(self, wanted: Wanted, window: Window) -> Page[Execution]:
        return await self._listed(lambda: executions(self._db, wanted, window))

    async def counts(self, visible: str | None = None) -> Counts:
        return await self._listed(lambda: counts(self._db, visible))

    async def jobs_by_status(self, visible: str | None = None) -> Mapping[str, int]:
        return await self._listed(lambda: jobs_by_status(self._db, visible))

    async def walk_statuses(self, now: int, after: str, limit: int) -> StatusWalk:
        walked = await self._db.call(lambda: walk(self._db, now, after, limit))
        if walked.repaired:
            self._rows.committed()
        return walked

    async def _listed(self, read: Callable[[], Awaitable[T]]) -> T:
        return await self._db.call(read, advice=LIST_ADVICE)


Filter = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MongoListSource(Generic[Row]):
    """How rows of a collection become values, newest first by the two fields of ``key``."""

    collection: str
    key: tuple[str, str]
    read: Callable[[Document], Row]


JOB_ROWS: MongoListSource[tuple[Job, str | None]] = MongoListSource(
    JOBS, ("created_at", "_id"), lambda row: (read(records.JOBS, row), row.get("job_status"))
)
TICK_ROWS = MongoListSource(TICKS, ("due", "_id"), partial(read, records.TICKS))
EXECUTIONS_OF_JOB = MongoListSource(EXECUTIONS, ("sequence", "attempt"), partial(read, records.EXECUTIONS))
EXECUTION_ROWS = MongoListSource(EXECUTIONS, ("scheduled_for", "_id"), partial(read, records.EXECUTIONS))


async def ticks(db: Database, job_id: str, window: Window) -> Page[Tick]:
    """A job's ledger, the latest due first."""
    bounds = await whole(db, job_id)
    if bounds is None:
        return Page(window, 0, (), None)
    return await page(db, TICK_ROWS, {"job_id": job_id, "incarnation": bounds.incarnation}, "ticks_of_job", window)


async def executions_of(db: Database, job_id: str, window: Window) -> Page[Execution]:
    """A job's executions, newest first."""
    await whole(db, job_id)
    return await page(db, EXECUTIONS_OF_JOB, {"job_id": job_id}, "executions_of_job", window)


async def page(db: Database, source: MongoListSource[Row], filter: Filter, index: str, window: Window) -> Page[Row]:
    """A page of the rows that match, along this index."""
    if window.after is not None:
        after, size = window.after, window.per_page
        rows = await rows_of(db, source, _after(source, filter, after), index, limit=size + 1)
        return shown(source, window, after.total, rows[:size], more=len(rows) > size)
    counted = (source.collection, index, repr(filter))
    total = await db.lengths.get(counted, lambda: db.count(source.collection, filter, index), int)
    stretch = stretch_of(window, total)
    if stretch is None:
        return Page(window, total, (), None)
    rows = await rows_of(db, source, filter, index, skip=stretch.skip, limit=stretch.size, backwards=stretch.backwards)
    return shown(source, window, total, rows, more=window.offset + window.per_page < total)


async def rows_of(
    db: Database, source: MongoListSource[Any], filter: Filter, index: str, *, skip: int = 0, limit: int, backwards: bool = False
) -> list[Document]:
    """These rows, newest first. Raises Invalid when their specs are too large to hold."""
    direction, budget, found = (1 if backwards else -1), TextBudget(), list[Document]()
    sort = [(name, direction) for name in source.key]
    async with aclosing(db.walk(source.collection, filter, index, sort, skip=skip, limit=limit, batch=limit)) as rows:
        async for row in rows:
            budget.spend(row.get("spec", ""))
            found.append(row)
    return found[::-1] if backwards else found


def shown(source: MongoListSource[Row], window: Window, total: int, rows: Sequence[Document], *, more: bool) -> Page[Row]:
    """The page of these rows."""
    key = (rows[-1][source.key[0]], rows[-1][source.key[1]]) if more and rows else None
    return Page(window, total, tuple(readable(rows, source.read)), None if key is None else After(total, key))


def _after(source: MongoListSource[Any], filter: Filter, after: After) -> Filter:
    """The rows after this key. The range of the first field is where the walk begins in the index."""
    first, second = source.key
    moment, id = after.key[:2]
    further = {"$or": [{first: {"$lt": moment}}, {first: moment, second: {"$lt": id}}]}
    return {"$and": [filter, {first: {"$gte": -LAST - 1, "$lte": moment}}, further]}


_ANY_STATUS: dict[str, Any] = {"job_status": {"$gt": ""}}


async def all_jobs(db: Database, wanted: WantedJobs, window: Window) -> JobPage:
    """Jobs of all tasks, or of one, newest first."""
    if wanted.visible is not None and wanted.task_id is not None:
        one = replace(wanted, visible=None)
        return await all_jobs(db, one, window) if re.match(wanted.visible, wanted.task_id) else JobPage(window, 0, (), None)
    await (complete_missing(db) if wanted.statuses else complete_pending(db))
    filter, index = _found_jobs(wanted, None if wanted.visible is None else await visible_tasks(db, wanted.visible))
    return JobPage.listed(await page(db, JOB_ROWS, filter, index, window))


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


async def jobs_by_status(db: Database, visible: str | None) -> Mapping[str, int]:
    """How many jobs have each status that any has."""
    await complete_missing(db)
    filter: dict[str, Any] = _ANY_STATUS
    index = "jobs_by_status"
    if visible is not None:
        filter, index = {"task_id": {"$in": await visible_tasks(db, visible)}, **_ANY_STATUS}, "jobs_of_task_by_status"
    rows = await db.group(JOBS, [{"$match": filter}, {"$group": {"_id": "$job_status", "count": {"$sum": 1}}}], index)
    return {row["_id"]: row["count"] for row in rows}


def _found_jobs(wanted: WantedJobs, tasks: list[str] | None) -> tuple[dict[str, Any], str]:
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


async def executions(db: Database, wanted: Wanted, window: Window) -> Page[Execution]:
    """Executions of all tasks, or of one, the latest due first."""
    if wanted.visible is not None and wanted.task_id is not None:
        one = replace(wanted, visible=None)
        return await executions(db, one, window) if re.match(wanted.visible, wanted.task_id) else Page(window, 0, (), None)
    await complete_pending(db)
    tasks = None if wanted.visible is None else await visible_tasks(db, wanted.visible)
    filter, index = _found(wanted, tasks)
    return await page(db, EXECUTION_ROWS, filter, index, window)


def _found(wanted: Wanted, tasks: list[str] | None) -> tuple[dict[str, Any], str]:
    """The filter of a list, and the index whose order is the list's. Many tasks are filtered on the way."""
    statuses = sorted(wanted.statuses or Status)
    due = {"scheduled_for": {"$gte": -LAST - 1 if wanted.since is None else wanted.since, "$lte": LAST}}
    of_tasks: dict[str, Any] = {}
    if tasks is not None:
        of_tasks = {"task_id": {"$in": tasks}}
    elif wanted.task_id is not None:
        of_tasks, tasks = {"task_id": wanted.task_id}, [wanted.task_id]
    if tasks is None or len(tasks) * (len(statuses) if wanted.statuses else 1) > FEW_TASKS:
        return {"status": {"$in": statuses}, **due, **of_tasks}, "executions_by_status"
    if not wanted.statuses:
        return {**of_tasks, **due}, "executions_of_task"
    return {**of_tasks, "status": {"$in": statuses}, **due}, "executions_of_task_by_status"


_ANY = {"$gte": -LAST - 1, "$lte": LAST}


async def counts(db: Database, visible: str | None) -> Counts:
    """All tasks, jobs and executions by status, or only of the tasks whose id matches ``visible``."""
    await complete_pending(db)
    return await db.lengths.get(("counts", visible), lambda: _counts(db, visible), _length)


async def _counts(db: Database, visible: str | None) -> Counts:
    tasks = None if visible is None else await visible_tasks(db, visible)
    of_tasks: dict[str, Any] = {} if tasks is None else {"task_id": {"$in": tasks}}
    of_jobs = ({"created_at": _ANY}, "jobs_by_creation") if tasks is None else (of_tasks, "jobs_of_task")
    index = "executions_by_status" if tasks is None else "executions_of_task_by_status"
    jobs, *executions = await unless_cancelled(
        asyncio.gather(db.count(JOBS, *of_jobs), *(db.count(EXECUTIONS, {**of_tasks, "status": status.value}, index) for status in Status))
    )
    count = len(tasks) if tasks is not None else await db.count(TASKS, {"modified_at": _ANY}, "tasks_by_change")
    return Counts(count, jobs, dict(zip(Status, executions, strict=True)))


def _length(found: Counts) -> int:
    return found.jobs + sum(found.executions.values())


_NEWEST = [("modified_at", -1), ("_id", -1)]
TASK_ROWS: MongoListSource[Document] = MongoListSource(TASKS, ("modified_at", "_id"), lambda row: row)
_ALL_TASKS = {"modified_at": {"$gte": -LAST - 1, "$lte": LAST}}


async def task(db: Database, task_id: str) -> Task | None:
    """One task. How many jobs it has is counted, since a number in the task would be wrong after some crashes."""
    await complete_pending(db)
    row = await db.one(TASKS, task_id)
    return None if row is None else _task(row, (await job_counts(db, [task_id])).get(task_id, 0))


async def tasks(db: Database, window: Window, visible: str | None) -> Page[Task]:
    """All tasks, those changed last first."""
    await complete_pending(db)
    if visible is not None:
        seen = set(await visible_tasks(db, visible))
        rows = await db.find(TASKS, _ALL_TASKS, "tasks_by_change", sort=_NEWEST, fields=("modified_at",))
        return await _page_of(db, window, [row for row in rows if row["_id"] in seen])
    if window.after is not None:
        moment, id = window.after.key
        range = {"modified_at": {"$gte": -LAST - 1, "$lte": moment}}
        further = {"$or": [{"modified_at": {"$lt": moment}}, {"modified_at": moment, "_id": {"$lt": id}}]}
        rows = await rows_of(db, TASK_ROWS, {**range, **further}, "tasks_by_change", limit=window.per_page + 1)
        return await _shown_tasks(db, window, window.after.total, rows[: window.per_page], more=len(rows) > window.per_page)
    total = await db.lengths.get("tasks", lambda: db.count(TASKS, _ALL_TASKS, "tasks_by_change"), int)
    stretch = stretch_of(window, total)
    if stretch is None:
        return Page(window, total, (), None)
    rows = await rows_of(db, TASK_ROWS, _ALL_TASKS, "tasks_by_change", skip=stretch.skip, limit=stretch.size, backwards=stretch.backwards)
    return await _shown_tasks(db, window, total, rows, more=window.offset + window.per_page < total)


async def tasks_with(db: Database, words: Sequence[str], window: Window, visible: str | None) -> Page[Task]:
    """Tasks whose id contains all of these words, each whole or as the beginning of a word; those changed last first."""
    phrases = [phrase for phrase in map(words_of, words) if phrase]
    if not phrases:
        return Page(window, 0, (), None)
    await complete_pending(db)
    filter = {"$and": [condition for phrase in phrases for condition in _conditions(phrase)]}
    rows = await db.find(TASKS, filter, "tasks_by_word", fields=("modified_at",))
    found = [row for row in rows if _matches(row["_id"], phrases) and (visible is None or re.match(visible, row["_id"]))]
    return await _page_of(db, window, sorted(found, key=_task_key, reverse=True))


async def _page_of(db: Database, window: Window, found: Sequence[Document]) -> Page[Task]:
    """The page of a list whose keys are at hand."""
    if window.after is not None:
        total, start = window.after.total, 0
        found = [row for row in found if _task_key(row) < tuple(window.after.key)]
    else:
        total, start = len(found), window.offset
    rows = found[start : start + window.per_page]
    return await _shown_tasks(db, window, total, rows, more=start + window.per_page < len(found))


async def _shown_tasks(db: Database, window: Window, total: int, rows: Sequence[Document], *, more: bool) -> Page[Task]:
    ids = [row["_id"] for row in rows]
    whole, counts = await db.with_ids(TASKS, ids), await job_counts(db, ids)
    shown = tuple(_task(whole[id], counts.get(id, 0)) for id in ids if id in whole)
    return Page(window, total, shown, After(total, _task_key(rows[-1])) if more and rows else None)


async def job_counts(db: Database, task_ids: Sequence[str]) -> dict[str, int]:
    """How many jobs each of these tasks has, if it has any."""
    if not task_ids:
        return {}
    counted = ("job_counts", *sorted(task_ids))
    return await db.lengths.get(counted, lambda: _job_counts(db, task_ids), lambda found: sum(found.values()))


async def _job_counts(db: Database, task_ids: Sequence[str]) -> dict[str, int]:
    stages: list[dict[str, Any]] = [{"$match": {"task_id": {"$in": list(task_ids)}}}, {"$group": {"_id": "$task_id", "count": {"$sum": 1}}}]
    return {row["_id"]: row["count"] for row in await db.group(JOBS, stages, "jobs_of_task")}


def _task_key(row: Document) -> tuple[int, str]:
    return row["modified_at"], row["_id"]


def _conditions(phrase: Sequence[str]) -> list[dict[str, Any]]:
    """Filters by the words of a phrase, each of which one word of a task meets. The last one may be the beginning of a word."""
    *whole, last = phrase
    return [*({"words": word} for word in whole), {"words": {"$elemMatch": {"$gte": last, "$lt": last + chr(0x10FFFF)}}}]


def _matches(task_id: str, phrases: Sequence[Sequence[str]]) -> bool:
    words = words_of(task_id)
    return all(contains(words, phrase) for phrase in phrases)


def _task(row: Document, jobs_count: int) -> Task:
    return Task(row["_id"], row["created_at"], row["modified_at"], jobs_count)
