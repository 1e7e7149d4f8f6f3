"""Every count against what is counted: the store's counters, the totals of its lists, and the rows themselves, read past the store."""

import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from fastlane.config.types import SQLITE
from fastlane.models.job import job_status
from fastlane.models.paging import Page, Wanted, Window
from fastlane.models.status import Status
from tests.model.leftovers import left_in
from tests.support.ledger import ticks_of
from tests.support.stores import ON_MONGO

if TYPE_CHECKING:
    from tests.model.world import World

A_FEW = 3
"""Rows of a page, so that a list has several; and the jobs whose own lists are read."""
NOTHING = {
    "ledger rows of no job": "SELECT count(*) FROM ticks WHERE job_id NOT IN (SELECT id FROM jobs)",
    "executions of no job": "SELECT count(*) FROM executions WHERE job_id NOT IN (SELECT id FROM jobs)",
    "executions of no tick": "SELECT count(*) FROM executions WHERE tick_id NOT IN (SELECT id FROM ticks) AND job_id NOT IN ({partly})",
    "logs of no execution": "SELECT count(*) FROM log_chunks WHERE execution_id NOT IN (SELECT id FROM executions)",
    "jobs of no task": "SELECT count(*) FROM jobs WHERE task_id NOT IN (SELECT id FROM tasks)",
    "tasks that miscount their jobs": """SELECT count(*) FROM tasks
        WHERE jobs_count <> (SELECT count(*) FROM jobs WHERE task_id = tasks.id)""",
    "tasks not found by their words": "SELECT (SELECT count(*) FROM tasks) <> (SELECT count(*) FROM task_words)",
    "counts of no task": "SELECT count(*) FROM task_counts WHERE task_id NOT IN (SELECT id FROM tasks)",
    "wrong counts of a task": """SELECT count(*) FROM task_counts WHERE value <> (SELECT count(*) FROM executions
        WHERE task_id = task_counts.task_id AND name IN ('executions', status))""",
    "counts of no job": "SELECT count(*) FROM job_counts WHERE job_id NOT IN (SELECT id FROM jobs)",
    "wrong counts of a job": """SELECT count(*) FROM job_counts
        WHERE ticks <> (SELECT count(*) FROM ticks WHERE job_id = job_counts.job_id)
        OR executions <> (SELECT count(*) FROM executions WHERE job_id = job_counts.job_id)""",
    "wrong counters": """SELECT count(*) FROM counters WHERE value <> CASE name WHEN 'tasks' THEN (SELECT count(*) FROM tasks)
        WHEN 'jobs' THEN (SELECT count(*) FROM jobs)
        WHEN 'log_bytes' THEN (SELECT ifnull(sum(end_offset - start_offset), 0) FROM log_chunks)
        ELSE (SELECT count(*) FROM executions WHERE status = name) END""",
}
"""What the file has none of."""


class Counts:
    """The final look at what is counted; complains to the witness."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._witness = world.witness
        self._complain = world.witness.complain

    async def examine(self) -> None:
        """All of it."""
        self._examine_file()
        jobs, rows = self._witness.jobs, self._witness.rows.values()
        counts = await self._world.store.counts()
        if (counts.tasks, counts.jobs) != (len(self._witness.book.tasks), len(jobs)):
            self._complain(f"the store counts {counts}, there are {len(jobs)} jobs and the tasks {self._witness.book.tasks}")
        if self._witness.book.partly:
            return
        for status in Status:
            expected = {row.id for row in rows if row.status is status}
            if counts.executions[status] != len(expected):
                self._complain(f"the store counts {counts}, {len(expected)} are {status}")
        await self._walk("executions", lambda window: self._world.store.list_executions(Wanted(), window), {row.id for row in rows})
        await self._walk("tasks", self._world.store.list_tasks, self._witness.book.tasks)
        for task in sorted(self._witness.book.tasks):
            await self._examine_task(task)
        for job_id in list(jobs)[-A_FEW:]:
            await self._examine_job(job_id)

    def _examine_file(self) -> None:
        if ON_MONGO:
            for what, count in left_in(self._world.store_url, self._witness.book.partly).items():
                if count:
                    self._complain(f"the store has {count} {what}")
            return
        partly = ", ".join(f"'{id}'" for id in self._witness.book.partly) or "''"
        with closing(sqlite3.connect(self._world.store_url.removeprefix(SQLITE))) as db:
            for what, query in NOTHING.items():
                (count,) = db.execute(query.replace("{partly}", partly)).fetchone()
                if count:
                    self._complain(f"the store has {count} {what}")

    async def _examine_task(self, task: str) -> None:
        store = self._world.store
        jobs = {job.id for job in self._witness.jobs.values() if job.task_id == task}
        await self._walk(f"jobs of {task}", lambda window: store.list_jobs(task, window), jobs)
        rows = [row for row in self._witness.rows.values() if row.task_id == task]
        await self._walk(f"executions of {task}", lambda window: store.list_executions(Wanted(task_id=task), window), {r.id for r in rows})
        for status, count in Counter(row.status for row in rows).items():
            total = (await store.list_executions(Wanted(frozenset({status}), task), Window(1, 1))).total
            if total != count:
                self._complain(f"task {task} has {count} executions that are {status}, its list says {total}")
        await self._examine_statuses(task, jobs)

    async def _examine_statuses(self, task: str, jobs: set[str]) -> None:
        """Each stored status is the one by the rule, at this moment or as long as no tick is late; and lists count by it."""
        store, now = self._world.store, self._world.clock.now()
        if ON_MONGO:  # what a process that ended has left behind, the reconciler puts right
            await store.walk_statuses(now, "", 1_000)
        stored, latest = (await store.list_jobs(task, Window(1, 1_000))).statuses, await store.latest(list(jobs))
        for id in jobs:
            last = latest[id].status if id in latest else None
            if stored.get(id) not in {job_status(self._witness.jobs[id], last, at) for at in (now, 0)}:
                self._complain(f"job {id} is stored as {stored.get(id)}, and its last execution is {last}")
        for status, count in Counter(stored.values()).items():
            total = (await store.list_jobs(task, Window(1, 1), statuses=frozenset({status}))).total
            if total != count:
                self._complain(f"task {task} has {count} jobs that are {status}, its list says {total}")

    async def _examine_job(self, job_id: str) -> None:
        store = self._world.store
        rows = {row.id for row in self._witness.book.rows_of(job_id)}
        await self._walk(f"executions of {job_id}", lambda window: store.list_executions_of(job_id, window), rows)
        ledger = {tick.id for tick in await ticks_of(store, job_id, 1000)}
        await self._walk(f"ticks of {job_id}", lambda window: store.list_ticks(job_id, window), ledger)

    async def _walk(self, what: str, read: Callable[[Window], Awaitable[Page[Any]]], expected: set[str]) -> None:
        """A list says how long it is, and its pages have each row once."""
        page = await read(Window(1, A_FEW))
        total, found = page.total, [getattr(row, "id", row) for row in page.rows]
        while page.next is not None:
            page = await read(Window(2, A_FEW, page.next))
            found += [getattr(row, "id", row) for row in page.rows]
        if total != len(expected) or sorted(found) != sorted(expected):
            self._complain(f"the list of {what} has a total of {total} and the rows {found}, expected were {sorted(expected)}")
