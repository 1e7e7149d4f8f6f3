"""The lists of jobs: the jobs of one task, of all tasks, or of the tasks that a caller may see; by label and by status; and the jobs that
run next.

A job's status is the stored one. Each filter has an index in the list's order; where several statuses are wanted, a walk for each is
merged. Triggers write the statuses (``schema``), except when only the passing of time changes one: a walk finds and writes these.
"""

import asyncio
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastlane.models.job import Job
from fastlane.models.paging import JobPage, WantedJobs, Window
from fastlane.models.status import UNDER_WAY
from fastlane.storage.base import StatusWalk
from fastlane.storage.pages import is_near
from fastlane.storage.records import JOBS, label_text
from fastlane.storage.rows import filled
from fastlane.storage.sqlite.executions import visible_tasks
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.jobs import JOB_COLUMNS
from fastlane.storage.sqlite.lists import IS_SEEN, OF_TASKS, SEEN, ListSource, Values, Walks, number, page
from fastlane.storage.sqlite.rows import as_json, fetched
from fastlane.storage.sqlite.schema import AT_REST, is_over, job_status
from fastlane.storage.sqlite.schema import UNDER_WAY as UNDER_WAY_SQL

_LABELLED = "job_labels CROSS JOIN jobs ON jobs.id = job_labels.job_id WHERE label = :label"
_HAS_STATUS = "jobs.job_status IN (SELECT value FROM json_each(:statuses))"
_JOBS = ListSource(JOBS, ("created_at", "id"), lambda row: (JOBS.of(row[:-1]), row[-1]), ("job_status",))
_NOW = "max(ifnull(next_tick, :now), :now)"
_PAGE = "SELECT id FROM jobs WHERE id > :after ORDER BY id LIMIT :limit"
_LATE = f"SELECT id FROM jobs INDEXED BY jobs_due WHERE next_tick < :now AND {is_over(_NOW)} LIMIT :limit"
_WRONG = f"""SELECT asked.value FROM json_each(:ids) AS asked CROSS JOIN jobs ON jobs.id = asked.value
    WHERE job_status IS NOT {job_status(_NOW)}"""
_WRITE = f"""UPDATE jobs SET job_status = {job_status(_NOW)} WHERE id IN (SELECT value FROM json_each(:ids))
    AND job_status IS NOT {job_status(_NOW)}"""


class SqliteJobLists:
    """The part of the store that lists jobs, and counts them by their status."""

    _file: SqliteFile

    async def list_jobs(self, task_id: str, window: Window, *, status: str | None = None) -> JobPage:
        return await self.list_all_jobs(WantedJobs(frozenset() if status is None else frozenset({status}), task_id), window)

    async def list_all_jobs(self, wanted: WantedJobs, window: Window) -> JobPage:
        return await self._file.list(lambda db: all_jobs(db, wanted, window))

    async def next_jobs(self, limit: int, now: int, visible: str | None = None) -> Sequence[Job]:
        """Jobs of other tasks are skipped along the index."""

        def read(db: sqlite3.Connection, count: int) -> list[tuple[Any, ...]]:
            given: dict[str, Any] = {"now": now, "limit": count}
            before, seen = "", ""
            if visible is not None:
                before, seen = SEEN, f" AND {IS_SEEN}"
                given["tasks"] = as_json(visible_tasks(db, visible))
            query = f"""{before}SELECT {JOB_COLUMNS} FROM jobs INDEXED BY jobs_due
                WHERE next_tick IS NOT NULL{seen} AND NOT {is_over("max(next_tick, :now)")} ORDER BY next_tick, id LIMIT :limit"""
            return fetched(db, query, given)

        def fetch(count: int) -> "asyncio.Future[list[tuple[Any, ...]]]":
            return self._file.list(lambda db: read(db, count))

        return await filled(fetch, limit, lambda row: JOBS.of(list(row)))

    async def jobs_by_status(self, visible: str | None = None) -> Mapping[str, int]:
        def count(db: sqlite3.Connection) -> dict[str, int]:
            parts, given = ["jobs INDEXED BY jobs_by_status WHERE job_status > ''"], dict[str, str]()
            if visible is not None:
                at_rest = f"jobs INDEXED BY jobs_of_task_by_status WHERE task_id {OF_TASKS} AND {AT_REST}"
                parts = [at_rest, f"jobs INDEXED BY jobs_by_status WHERE job_{UNDER_WAY_SQL} AND task_id {OF_TASKS}"]
                given = {"tasks": as_json(visible_tasks(db, visible))}
            query = " UNION ALL ".join(f"SELECT job_status, count(*) FROM {found} GROUP BY job_status" for found in parts)
            return dict(db.execute(query, given).fetchall())

        return await self._file.list(count)

    async def walk_statuses(self, now: int, after: str, limit: int) -> StatusWalk:
        given = {"now": now, "after": after, "limit": limit}

        def look(db: sqlite3.Connection) -> tuple[StatusWalk, list[str]]:
            page, late = ([id for (id,) in db.execute(query, given).fetchall()] for query in (_PAGE, _LATE))
            found = db.execute(_WRONG, {"ids": as_json(sorted({*page, *late})), "now": now}).fetchall()
            return StatusWalk(page[-1] if len(page) == limit else None), [id for (id,) in found]

        walk, wrong = await self._file.read(look)
        written = {"ids": as_json(sorted(wrong)), "now": now}
        return replace(walk, repaired=await self._file.write(lambda db: db.execute(_WRITE, written).rowcount)) if wrong else walk


def all_jobs(db: sqlite3.Connection, wanted: WantedJobs, window: Window) -> JobPage:
    """Jobs of all tasks, or of one, newest first."""
    if wanted.visible is not None and wanted.task_id is not None:
        one = replace(wanted, visible=None)
        return all_jobs(db, one, window) if re.match(wanted.visible, wanted.task_id) else JobPage(window, 0, (), None)
    tasks = [] if wanted.visible is None else visible_tasks(db, wanted.visible)
    statuses = sorted(wanted.statuses)
    given: dict[str, Any] = {
        "task_id": wanted.task_id,
        "label": None if wanted.label is None else label_text(*wanted.label),
        "statuses": as_json(statuses),
        "tasks": as_json(tasks),
        **{f"status_{place}": status for place, status in enumerate(statuses)},
    }
    walks = _walks(wanted, each=is_near(window, len(tasks)))
    return JobPage.listed(page(db, _JOBS, walks, window, given, lambda: _count(db, wanted, given)))


def _walks(wanted: WantedJobs, *, each: bool) -> Walks:
    """``each``: the visible tasks are walked one by one, and the walks merged."""
    before = "" if wanted.visible is None else SEEN
    if wanted.label is not None:
        status = f" AND {_HAS_STATUS}" if wanted.statuses else ""
        found = f"{_LABELLED}{_of_tasks(wanted, 'job_labels.')}{status}{_next('job_labels.created_at', 'job_labels.job_id')}"
        return Walks([f"jobs WHERE jobs.rowid IN (SELECT jobs.rowid FROM {found})"], before, forwards=True)
    if wanted.task_id is not None:
        return Walks([*_at_rest(wanted, ":task_id"), *_under_way(wanted)])
    if wanted.visible is not None and each:
        walks = [f"{found}{_next('created_at', 'id')}" for found in _at_rest(wanted, "seen_tasks.task")]
        parts = [f"seen_tasks CROSS JOIN jobs ON jobs.rowid IN (SELECT jobs.rowid FROM {walk}) WHERE TRUE" for walk in walks]
        return Walks([*parts, *_under_way(wanted)], before, forwards=True)
    return Walks(_of_all(wanted), before)


def _at_rest(wanted: WantedJobs, task: str) -> list[str]:
    """A FROM and a WHERE for each part of a task's jobs that has an index in the list's order, except jobs under way: these have no index
    by task, because they are few."""
    if not wanted.statuses:
        return [f"jobs INDEXED BY jobs_of_task WHERE task_id = {task}"]
    found = f"jobs INDEXED BY jobs_of_task_by_status WHERE task_id = {task} AND {AT_REST} AND job_status = :status_"
    return [f"{found}{place}" for place, status in enumerate(sorted(wanted.statuses)) if status not in UNDER_WAY]


def _under_way(wanted: WantedJobs) -> list[str]:
    """A FROM and a WHERE for the jobs under way, of all tasks in question."""
    return [found for status, found in zip(sorted(wanted.statuses), _of_all(wanted), strict=False) if status in UNDER_WAY]


def _of_all(wanted: WantedJobs) -> list[str]:
    """A FROM and a WHERE for all jobs. Jobs of other tasks are skipped along the index."""
    of_tasks = _of_tasks(wanted, "jobs.")
    if not wanted.statuses:
        return [f"jobs INDEXED BY jobs_by_creation WHERE TRUE{of_tasks}"]
    return [f"jobs INDEXED BY jobs_by_status WHERE job_status = :status_{place}{of_tasks}" for place in range(len(wanted.statuses))]


def _next(first: str, second: str) -> str:
    """The next rows of a walk, as many as the page may reach."""
    return f" AND ({first}, {second}) < (:first, :second) ORDER BY {first} DESC, {second} DESC LIMIT :skipped + :size"


def _of_tasks(wanted: WantedJobs, table: str) -> str:
    if wanted.task_id is not None:
        return f" AND {table}task_id = :task_id"
    return "" if wanted.visible is None else f" AND {table}{IS_SEEN}"


def _count(db: sqlite3.Connection, wanted: WantedJobs, given: Values) -> int:
    """Reads the counters where there are any, or else an index."""
    before = "" if wanted.visible is None else SEEN
    if wanted.label is not None:
        found = f"{_LABELLED}{_of_tasks(wanted, 'job_labels.')} AND {_HAS_STATUS}"
        indexed = f"job_labels WHERE label = :label{_of_tasks(wanted, '')}"
        return number(db, f"{before}SELECT count(*) FROM {found if wanted.statuses else indexed}", given)
    if wanted.statuses:
        if wanted.task_id is None and wanted.visible is None:
            return number(db, f"SELECT {_counts(_of_all(wanted))}", given)
        at_rest = _counts(_at_rest(wanted, "seen_tasks.task" if wanted.task_id is None else ":task_id"))
        if wanted.task_id is None:
            at_rest = f"(SELECT ifnull(sum({at_rest}), 0) FROM seen_tasks)"
        return number(db, f"{before}SELECT {at_rest} + {_counts(_under_way(wanted))}", given)
    if wanted.task_id is not None:
        return number(db, "SELECT jobs_count FROM tasks WHERE id = :task_id", given)
    if wanted.visible is not None:
        return number(db, f"{SEEN}SELECT ifnull(sum(jobs_count), 0) FROM tasks WHERE id IN (SELECT task FROM seen_tasks)", given)
    return number(db, "SELECT value FROM counters WHERE name = 'jobs'", given)


def _counts(parts: Sequence[str]) -> str:
    return " + ".join(f"(SELECT count(*) FROM {found})" for found in parts) or "0"
