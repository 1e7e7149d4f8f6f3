"""The lists of jobs: of a task, of all tasks, or of those that a caller may see; by label and by status, or those that run next.

A status is the stored one. Each filter has an index in the list's order; where several statuses are wanted, a walk for each is merged.
"""

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from fastlane.models.job import Job
from fastlane.models.paging import JobPage, WantedJobs, Window
from fastlane.models.status import UNDER_WAY
from fastlane.storage.documents import JOB_FIELDS, job_from, label_text
from fastlane.storage.pages import is_near
from fastlane.storage.sqlite.lists.execution_lists import IS_SEEN, SEEN, visible_tasks
from fastlane.storage.sqlite.lists.paged import ListSource, Values, Walks, number, page
from fastlane.storage.sqlite.rows import fetched, filled
from fastlane.storage.sqlite.status_tables import AT_REST, is_over

_LABELLED = "job_labels CROSS JOIN jobs ON jobs.id = job_labels.job_id WHERE label = :label"
_HAS_STATUS = "jobs.job_status IN (SELECT value FROM json_each(:statuses))"


def _listed(row: Values) -> tuple[Job, str | None]:
    return job_from(row), row["job_status"]


_JOBS = ListSource("jobs", (*JOB_FIELDS, "job_status"), ("created_at", "id"), _listed)


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
        "statuses": orjson.dumps(statuses).decode(),
        "tasks": orjson.dumps(tasks).decode(),
        **{f"status_{place}": status for place, status in enumerate(statuses)},
    }
    walks = _walks(wanted, each=is_near(window, len(tasks)))
    return JobPage.listed(page(db, _JOBS, walks, window, given, lambda: _count(db, wanted, given)))


def next_jobs(db: sqlite3.Connection, limit: int, now: int, visible: str | None) -> list[Job]:
    """The jobs that run next by their schedules, soonest first. Jobs of other tasks are skipped along the index."""
    given: dict[str, Any] = {"now": now}
    before, seen = "", ""
    if visible is not None:
        before, seen = SEEN, f" AND {IS_SEEN}"
        given["tasks"] = orjson.dumps(visible_tasks(db, visible)).decode()
    query = f"""{before}SELECT {", ".join(JOB_FIELDS)} FROM jobs INDEXED BY jobs_due
        WHERE next_tick IS NOT NULL{seen} AND NOT {is_over("max(next_tick, :now)")} ORDER BY next_tick, id LIMIT :limit"""

    def read(row: Sequence[Any]) -> Job:
        return job_from(dict(zip(JOB_FIELDS, row, strict=True)))

    return filled(lambda count: fetched(db, query, {**given, "limit": count}), limit, read)


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
    """A FROM and a WHERE for each part of a task's jobs that has an index in the list's order, but for those under way: these have no index
    by task, because they are few."""
    if not wanted.statuses:
        return [f"jobs INDEXED BY jobs_of_task WHERE task_id = {task}"]
    found = f"jobs INDEXED BY jobs_of_task_by_status WHERE task_id = {task} AND {AT_REST} AND job_status = :status_"
    return [f"{found}{place}" for place, status in enumerate(sorted(wanted.statuses)) if status not in UNDER_WAY]


def _under_way(wanted: WantedJobs) -> list[str]:
    """The same of the jobs under way, of all tasks in question."""
    return [found for status, found in zip(sorted(wanted.statuses), _of_all(wanted), strict=False) if status in UNDER_WAY]


def _of_all(wanted: WantedJobs) -> list[str]:
    """The same of all jobs. Those of other tasks are skipped along the index."""
    of_tasks = _of_tasks(wanted, "jobs.")
    if not wanted.statuses:
        return [f"jobs INDEXED BY jobs_by_creation WHERE TRUE{of_tasks}"]
    return [f"jobs INDEXED BY jobs_by_status WHERE job_status = :status_{place}{of_tasks}" for place in range(len(wanted.statuses))]


def _next(first: str, second: str) -> str:
    """As many of a walk's rows as the page may reach."""
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
