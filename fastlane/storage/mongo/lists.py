"""The paged lists, each a walk along an index in its order, newest first, and the counts of everything.

Rows before the page are passed over in the index, from the nearer end. How many jobs or executions there are, of some tasks and in some
statuses, and how many tasks, is stored (``stored_counts``). The length of another list is counted along an index, and kept for a moment
when the list is long (``Lengths``). Where a filter has several values, the server merges a walk for each. A job's status is the stored one.

A list of tasks that is filtered by words or by a pattern is found in the ids alone, which are short; the page's own rows are read whole.
The jobs of each task on a page are counted then.

Measured: a list takes ten commands at most (decision 0086). On the tests' server, with 5,000 jobs, the first page of 20 takes 520 ms, and
the server alone 206 ms for a count and a find; the first page of a search takes 115 ms (docs/internals/mongodb-figures.md)."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any, TypeVar

from fastlane.clock import unless_cancelled
from fastlane.models.access import may_see
from fastlane.models.job import FailedJob, Job, Task, TaskSummary
from fastlane.models.notify import FAILURES
from fastlane.models.paging import Key, Row, Window
from fastlane.models.status import Status
from fastlane.storage import records
from fastlane.storage.base import Counts, StatusWalk
from fastlane.storage.lists import JOBS as JOB_INDEXES, ListLogic, ListReader, PagedRows, Selection
from fastlane.storage.mongo import stored_counts
from fastlane.storage.mongo.commits import complete_pending, whole
from fastlane.storage.mongo.database import LIST_ADVICE, Database, Document, Filter, behind
from fastlane.storage.mongo.jobs import complete_missing, read_execution, walk
from fastlane.storage.mongo.rows import EXECUTIONS, JOBS, LATE, TASKS, MongoRows, read, visible_tasks
from fastlane.storage.pages import FEW_TASKS, MOST_FAILURES, Stretch, TextBudget, contains, words_of
from fastlane.storage.records import LAST, Index, readable

Answer = TypeVar("Answer")

ANY = {"$gte": -LAST - 1, "$lte": LAST}
"""Every number. It has two sides, since some servers find null below every number."""


class MongoLists(ListLogic):
    """The part of the store that lists and counts."""

    _db: Database
    _rows: MongoRows

    async def task(self, task_id: str) -> Task | None:
        """How many jobs it has is counted, since a number in the task would be wrong after some crashes."""

        async def look() -> Task | None:
            await complete_pending(self._db)
            row, jobs = await unless_cancelled(asyncio.gather(self._db.one(TASKS, task_id), job_counts(self._db, [task_id])))
            return None if row is None else _task(row, jobs.get(task_id, 0))

        return await self._db.call(look)

    async def walk_statuses(self, now: int, after: str, limit: int) -> StatusWalk:
        walked = await self._db.call(lambda: walk(self._db, now, after, limit))
        if walked.repaired:
            self._rows.committed()
        return walked

    def _listed(self, read: Callable[[ListReader], Coroutine[Any, Any, Answer]], _: bool = False, /) -> Awaitable[Answer]:
        return self._db.call(lambda: read(MongoListReader(self._db)), advice=LIST_ADVICE)


class MongoListReader:
    """A ``ListReader`` of the database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def visible_tasks(self, pattern: str) -> Sequence[str]:
        return await visible_tasks(self._db, pattern)

    async def tasks(self, visible: str | None) -> PagedRows[Task]:
        await complete_pending(self._db)
        filter = {"modified_at": ANY}
        if visible is None:
            return TaskList(self._db, records.TASKS_BY_CHANGE, filter, StoredLength(None, ()))
        rows = await self._db.find(TASKS, filter, "tasks_by_change", fields=("modified_at",))
        return FoundTasks(self._db, [row for row in rows if may_see(visible, row["_id"])])

    async def tasks_with(self, words: Sequence[str], visible: str | None) -> PagedRows[Task]:
        phrases = [phrase for phrase in map(words_of, words) if phrase]
        if not phrases:
            return FoundTasks(self._db, [])
        await complete_pending(self._db)
        filter = {"$and": [condition for phrase in phrases for condition in _conditions(phrase)]}
        rows = await self._db.find(TASKS, filter, "tasks_by_word", fields=("modified_at",))
        return FoundTasks(self._db, [row for row in rows if _matches(row["_id"], phrases) and may_see(visible, row["_id"])])

    async def of_job(self, index: Index[Row], job_id: str) -> PagedRows[Row]:
        bounds = await whole(self._db, job_id)
        own = {"incarnation": "" if bounds is None else bounds.incarnation} if index is records.TICKS_OF_JOB else {}
        return MongoList(self._db, index, {"job_id": job_id, **own})

    async def selected(self, wanted: Selection, window: Window, /) -> PagedRows[Any]:
        """Many tasks are filtered on the way. A stored length tells whether jobs have no status."""
        indexes, tasks = wanted.indexes, wanted.tasks
        stored = None if wanted.late or wanted.label is not None or wanted.since is not None else StoredLength(tasks, wanted.statuses)
        needs_statuses = indexes is JOB_INDEXES and wanted.statuses and (stored is None or window.after is not None)
        await (complete_missing if needs_statuses else complete_pending)(self._db)
        (first, *_), status = indexes.every.order, indexes.by_status.equal[0]
        filter: dict[str, Any] = {} if tasks is None else {"task_id": {"$in": list(tasks)} if len(tasks) != 1 else tasks[0]}
        filter |= {status: {"$in": list(wanted.statuses)}} if wanted.statuses else {}
        if wanted.late:
            filter |= {LATE: True, first: ANY, **({} if wanted.label is None else {"labels": wanted.label})}
            name = records.JOBS_LATE_BY_CREATION.name
        elif wanted.label is not None:
            of_few = tasks is not None and len(tasks) <= FEW_TASKS
            name = "jobs_by_label_and_status" if wanted.statuses else "jobs_of_task_by_label" if of_few else "jobs_by_label"
            filter = {"labels": wanted.label, **filter}
        else:
            filter[first] = ANY if wanted.since is None else {**ANY, "$gte": wanted.since}
            if tasks is not None and len(tasks) * max(1, len(wanted.statuses)) <= FEW_TASKS:
                name = f"{indexes.of_task.name}{'_by_status' if wanted.statuses else ''}"
            else:
                name = (indexes.by_status if wanted.walked else indexes.every).name
                filter |= {status: {"$in": list(wanted.walked)}} if wanted.walked else {}
        found = MongoJobList if indexes is JOB_INDEXES else MongoList
        return found(self._db, Index(indexes.every.record, name, (), indexes.every.order), filter, stored)

    async def failures(self, tasks: Sequence[str] | None, since: int) -> PagedRows[FailedJob]:
        of_tasks = {} if tasks is None else {"task_id": {"$in": list(tasks)}}
        ended = {"status": {"$in": sorted(FAILURES)}, "finished_at": {"$gte": max(1, since), "$lte": LAST}}
        return FailedJobs(self._db, ended, of_tasks)

    async def summaries(self, tasks: Sequence[Task], now: int) -> Mapping[str, TaskSummary]:
        """Each part is found in an index; of the latest executions, only those are read whole. (They are found in one step of each task:
        see ``jobs.newest_ended``.)"""
        ids, known = [task.id for task in tasks], {task.id: task.by_status for task in tasks if task.by_status is not None}
        wanted = {"task_id": {"$in": ids}}

        def group(collection: str, filter: Filter, index: str, sums: Document, *before: Document) -> Awaitable[list[Document]]:
            return self._db.group(collection, [{"$match": filter}, *before, {"$group": sums}], index)

        is_over = {"$and": [{"$gt": ["$expiration", None]}, {"$lte": ["$expiration", {"$max": ["$next_tick", now]}]}]}
        by_status, late, following, newest = await unless_cancelled(
            asyncio.gather(
                job_statuses_of(self._db, ids) if len(known) < len(ids) else asyncio.sleep(0, known),
                group(JOBS, {LATE: True, "created_at": ANY, **wanted}, "jobs_late_by_creation", {"_id": "$task_id", "jobs": _EACH}),
                group(
                    *(JOBS, {**wanted, "next_tick": {"$gt": 0, "$lte": LAST}}, "jobs_next_of_task"),
                    {"_id": "$task_id", "next": {"$min": {"$cond": [is_over, None, "$next_tick"]}}},
                ),
                group(
                    *(EXECUTIONS, wanted, "executions_of_task", {"_id": "$task_id", "execution": {"$first": "$_id"}}),
                    {"$sort": {"task_id": -1, "scheduled_for": -1, "_id": -1}},
                ),
            )
        )
        rows = await self._db.with_ids(EXECUTIONS, [row["execution"] for row in newest], bounded=True)
        latest = {one.task_id: one for one in readable(list(rows.values()), read_execution)}
        late_of, next_of = {row["_id"]: row["jobs"] for row in late}, {row["_id"]: row["next"] for row in following}
        return {id: TaskSummary(by_status.get(id, {}), late_of.get(id, 0), next_of.get(id), latest.get(id)) for id in ids}

    async def counts(self, tasks: Sequence[str] | None) -> Counts:
        await complete_pending(self._db)
        of_tasks: dict[str, Any] = {} if tasks is None else {"task_id": {"$in": list(tasks)}}
        if (stored := await stored_by_status(self._db, tasks, *_kinds(tasks))) is not None:
            jobs, executions = (sum(stored[kind].values(), Counter()) for kind in (JOBS, EXECUTIONS))
            there = stored[TASKS][""].total() if tasks is None else len(tasks)
            return Counts(there, jobs.total(), {status: executions[status.value] for status in Status})
        return await self._db.lengths.get(("counts", _digest(of_tasks)), lambda: self._counts(tasks, of_tasks), _length)

    async def _counts(self, tasks: Sequence[str] | None, of_tasks: Filter) -> Counts:
        """The counts read nothing but indexes."""
        index, statuses = "executions_by_status" if tasks is None else "executions_of_task_by_status", {"$in": sorted(Status)}
        all_tasks = [self._db.count(TASKS, {"modified_at": ANY}, "tasks_by_change")] if tasks is None else []
        grouped = _grouped(self._db, EXECUTIONS, {**of_tasks, "status": statuses}, index, "status")
        found, jobs, counted = await unless_cancelled(
            asyncio.gather(grouped, self._job_statuses(tasks, of_tasks), unless_cancelled(asyncio.gather(*all_tasks)))
        )
        executions = {status: found.get(status.value, 0) for status in Status}
        return Counts(len(tasks) if tasks is not None else counted[0], sum(jobs.values()), executions)

    async def job_statuses(self, tasks: Sequence[str] | None) -> Mapping[str, int]:
        await complete_pending(self._db)
        if (stored := await stored_by_status(self._db, tasks, *_kinds(tasks))) is not None:
            return _named(sum(stored[JOBS].values(), Counter()))
        return await self._job_statuses(tasks, {} if tasks is None else {"task_id": {"$in": list(tasks)}})

    async def _job_statuses(self, tasks: Sequence[str] | None, of_tasks: Filter) -> dict[str, int]:
        """How many jobs there are in each status. Callers at the same time share the answer: ``/status`` counts jobs, too."""
        return await self._db.joined(("jobs by status", _digest(of_tasks)), lambda: self._count_job_statuses(tasks, of_tasks))

    async def _count_job_statuses(self, tasks: Sequence[str] | None, of_tasks: Filter) -> dict[str, int]:
        """Jobs without a status are looked for beside the group: a filter that names null makes a server fetch every document."""
        index = "jobs_by_status" if tasks is None else "jobs_of_task_by_status"
        without = {**of_tasks, "job_status": None, "created_at": ANY}

        def group() -> Awaitable[dict[str, int]]:
            return _grouped(self._db, JOBS, {**of_tasks, "job_status": {"$gt": ""}, "created_at": ANY}, index, "job_status")

        missing = self._db.find(JOBS, without, index, limit=1, fields=("_id",))
        found, others = await unless_cancelled(asyncio.gather(group(), missing))
        if others:
            await complete_missing(self._db)
            found = await group()
        return found

    async def next_jobs(self, limit: int, now: int, tasks: Sequence[str] | None) -> Sequence[Job]:
        """Jobs of other tasks are skipped along the index."""
        of_tasks = {} if tasks is None else {"task_id": {"$in": list(tasks)}}
        lasting = {"$or": [{"expiration": None}, {"expiration": {"$gt": now, "$lte": LAST}}]}
        filter, found = {"next_tick": ANY, **of_tasks, **lasting}, list[Job]()
        async with aclosing(self._db.walk(JOBS, filter, "jobs_due", [("next_tick", 1), ("_id", 1)])) as rows:
            async for row in rows:
                found += [job for job in readable([row], partial(read, records.JOBS)) if job.next_tick_to_come(now) is not None]
                if len(found) == limit:
                    break
        return found


@dataclass(frozen=True, slots=True)
class StoredLength:
    """A list whose length is stored: the rows of these tasks (None: of all) in these statuses (none: in any)."""

    tasks: Sequence[str] | None
    statuses: Sequence[str]

    async def read(self, db: Database, kind: str) -> int | None:
        """The length; None where the stored counts are not to be trusted now, and the list is counted by its statuses."""
        found = await stored_by_status(db, self.tasks, kind)
        if found is None:
            if kind == JOBS and self.statuses:
                await complete_missing(db)
            return None
        by_status = sum(found[kind].values(), Counter())
        return sum(by_status[status] for status in self.statuses) if self.statuses else by_status.total()


@dataclass
class MongoList:
    """``PagedRows`` along an index, in its order."""

    db: Database
    index: Index[Any]
    filter: Filter
    stored: StoredLength | None = None

    @property
    def forwards(self) -> bool:
        return False

    async def total(self) -> int:
        collection, name = self.index.record.name, self.index.name
        if self.stored is not None and (length := await self.stored.read(self.db, collection)) is not None:
            return length
        return await self.db.lengths.get((name, _digest(self.filter)), lambda: self.db.count(collection, self.filter, name), int)

    async def after(self, key: Key, limit: int) -> Sequence[Any]:
        sort = [(name, -1) for name in self._order]
        return await self._found(behind(self.filter, sort, dict(zip(self._order, key, strict=False))), Stretch(0, limit))

    async def part(self, stretch: Stretch) -> Sequence[Any]:
        return await self._found(self.filter, stretch)

    def key(self, row: Any) -> Key:
        first, second = self._order
        return (row[first], row[second])

    async def values(self, rows: Sequence[Any]) -> Sequence[Any]:
        return readable(rows, partial(read, self.index.record))

    @property
    def _order(self) -> tuple[str, ...]:
        return tuple("_id" if name == "id" else name for name in self.index.order)

    async def _found(self, filter: Filter, stretch: Stretch) -> list[Document]:
        budget, found, size = TextBudget(), list[Document](), stretch.size
        sort = [(name, 1 if stretch.backwards else -1) for name in self._order]
        rows = self.db.walk(self.index.record.name, filter, self.index.name, sort, skip=stretch.skip, limit=size)
        async with aclosing(rows):
            async for row in rows:
                budget.spend(row.get("spec", ""))
                found.append(row)
        return found[::-1] if stretch.backwards else found


class MongoJobList(MongoList):
    """Jobs, each with its stored status."""

    async def values(self, rows: Sequence[Any]) -> Sequence[tuple[Job, str | None]]:
        return readable(rows, lambda row: (read(records.JOBS, row), row.get("job_status")))


class TaskList(MongoList):
    """Tasks, each with how many jobs it has."""

    async def values(self, rows: Sequence[Any]) -> Sequence[Task]:
        if not rows:
            return []
        ids = [row["_id"] for row in rows]
        if (stored := await stored_by_status(self.db, ids, JOBS)) is not None:
            return [_task(row, stored[JOBS][row["_id"]]) for row in rows]
        counts = await job_counts(self.db, ids)
        return [_task(row, counts.get(row["_id"], 0)) for row in rows]


class FoundTasks(TaskList):
    """Tasks whose keys are at hand."""

    def __init__(self, db: Database, found: Sequence[Document]) -> None:
        super().__init__(db, records.TASKS_BY_CHANGE, {})
        self._keys = sorted(found, key=self.key, reverse=True)

    async def total(self) -> int:
        return len(self._keys)

    async def after(self, key: Key, limit: int) -> Sequence[Any]:
        return [row for row in self._keys if self.key(row) < tuple(key)][:limit]

    async def part(self, stretch: Stretch) -> Sequence[Any]:
        start = len(self._keys) - stretch.skip - stretch.size if stretch.backwards else stretch.skip
        return self._keys[start : start + stretch.size]

    async def values(self, rows: Sequence[Any]) -> Sequence[Task]:
        whole = await self.db.with_ids(TASKS, [row["_id"] for row in rows])
        return await super().values([whole[row["_id"]] for row in rows if row["_id"] in whole])


@dataclass(frozen=True, slots=True)
class FailedJobs:
    """``PagedRows`` of jobs that failed, which are found along an index of failures, in nothing but that. ``filter``: the failures,
    of which the newest are looked at; ``of_tasks``: which tasks are wanted."""

    db: Database
    filter: Filter
    of_tasks: Filter

    @property
    def forwards(self) -> bool:
        return False

    async def total(self) -> int:
        async def count() -> int:
            rows = await self._group({"$group": {"_id": "$job_id"}}, {"$count": "jobs"})
            return int(rows[0]["jobs"]) if rows else 0

        return await self.db.lengths.get(("failures", _digest({**self.filter, **self.of_tasks})), count, int)

    async def after(self, key: Key, limit: int) -> Sequence[Any]:
        first, second = key
        behind = {"$or": [{"ended": {"$lt": first}}, {"ended": first, "_id": {"$lt": second}}]}
        return await self._found(Stretch(0, limit), {"$match": behind})

    async def part(self, stretch: Stretch) -> Sequence[Any]:
        return await self._found(stretch)

    def key(self, row: Any) -> Key:
        return (row["ended"], row["_id"])

    async def values(self, rows: Sequence[Any]) -> Sequence[FailedJob]:
        whole = await self.db.with_ids(EXECUTIONS, [row["last"] for row in rows], bounded=True)
        found = [row for row in rows if row["last"] in whole]
        return readable(found, lambda row: FailedJob(read_execution(whole[row["last"]]), row["failures"]))

    async def _found(self, stretch: Stretch, *where: Document) -> list[Document]:
        jobs = {"_id": "$job_id", "ended": {"$first": "$finished_at"}, "last": {"$first": "$_id"}, "failures": _EACH}
        direction = 1 if stretch.backwards else -1
        page: list[Document] = [{"$sort": {"ended": direction, "_id": direction}}, {"$skip": stretch.skip}, {"$limit": stretch.size}]
        rows = await self._group({"$group": jobs}, *where, *page)
        return rows[::-1] if stretch.backwards else rows

    async def _group(self, *stages: Document) -> list[Document]:
        newest: list[Document] = [{"$match": self.filter}, {"$sort": {"finished_at": -1, "_id": -1}}, {"$limit": MOST_FAILURES}]
        return await self.db.group(EXECUTIONS, [*newest, {"$match": self.of_tasks}, *stages], "executions_failed")


_EACH = {"$sum": 1}


def _digest(filter: Filter) -> bytes:
    """Stands for a filter, which may name very many tasks."""
    return blake2b(repr(filter).encode(), digest_size=16).digest()


def _length(found: Counts) -> int:
    return found.jobs + sum(found.executions.values())


def _kinds(tasks: Sequence[str] | None) -> Sequence[str]:
    """What ``/status`` counts, whose parts are read at the same time: how many tasks there are is at hand where some are asked for."""
    return stored_counts.KINDS if tasks is None else (JOBS, EXECUTIONS)


async def stored_by_status(db: Database, tasks: Sequence[str] | None, *kinds: str) -> Mapping[str, stored_counts.Found] | None:
    """The stored counts of these collections; None where they are not to be trusted now. Jobs without a status get one first."""
    found = await stored_counts.read(db, tasks, *kinds)
    if found is None or not any(None in of for of in found.get(JOBS, {}).values()):
        return found
    await complete_missing(db)
    return await stored_counts.read(db, tasks, *kinds)


async def job_counts(db: Database, task_ids: Sequence[str]) -> dict[str, int]:
    """How many jobs each of these tasks has, if it has any."""
    if not task_ids:
        return {}
    if (stored := await stored_counts.read(db, task_ids, JOBS)) is not None:
        return {id: of.total() for id, of in stored[JOBS].items()}
    filter, counted = {"task_id": {"$in": list(task_ids)}}, ("job_counts", *sorted(task_ids))
    return await db.lengths.get(counted, lambda: _grouped(db, JOBS, filter, "jobs_of_task", "task_id"), lambda found: sum(found.values()))


async def job_statuses_of(db: Database, task_ids: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
    """How many jobs each of these tasks has in each status."""
    if (stored := await stored_by_status(db, task_ids, JOBS)) is not None:
        return {id: _named(of) for id, of in stored[JOBS].items()}
    key, filter = {"task": "$task_id", "status": "$job_status"}, {"task_id": {"$in": list(task_ids)}}
    by_status: dict[str, dict[str, int]] = {}
    for row in await db.group(JOBS, [{"$match": filter}, {"$group": {"_id": key, "jobs": _EACH}}], "jobs_of_task_by_status"):
        if row["_id"].get("status") is not None:
            by_status.setdefault(row["_id"]["task"], {})[row["_id"]["status"]] = row["jobs"]
    return by_status


async def _grouped(db: Database, collection: str, filter: Filter, index: str, field: str) -> dict[str, int]:
    """How many documents that match have each value of a field."""
    rows = await db.group(collection, [{"$match": filter}, {"$group": {"_id": f"${field}", "count": {"$sum": 1}}}], index)
    return {row["_id"]: row["count"] for row in rows}


def _conditions(phrase: Sequence[str]) -> list[dict[str, Any]]:
    """Filters by the words of a phrase, each of which one word of a task meets. The last one may be the beginning of a word."""
    *whole, last = phrase
    return [*({"words": word} for word in whole), {"words": {"$elemMatch": {"$gte": last, "$lt": last + chr(0x10FFFF)}}}]


def _matches(task_id: str, phrases: Sequence[Sequence[str]]) -> bool:
    words = words_of(task_id)
    return all(contains(words, phrase) for phrase in phrases)


def _task(row: Document, jobs: int | Counter[str | None]) -> Task:
    """The task of a row. ``jobs``: the number of its jobs, or that number for each status."""
    count, by_status = (jobs, None) if isinstance(jobs, int) else (jobs.total(), _named(jobs))
    return Task(row["_id"], row["created_at"], row["modified_at"], count, by_status)


def _named(jobs: Mapping[str | None, int]) -> dict[str, int]:
    """Those that have a status."""
    return {status: count for status, count in jobs.items() if status is not None}
