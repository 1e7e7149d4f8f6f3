"""The lists of jobs over several tasks: of all, of one, or of those that a caller may see; by label and by status, or those that run next.

A label has an index in the list's order. A status has none: it is computed for each job that is passed over, a microsecond or two each.
Where few jobs can have one of the wanted statuses, by what is stored of their executions and ticks, it is computed for those alone.
"""

import re
import sqlite3
from dataclasses import dataclass, replace
from typing import Any

from fastlane.models.job import Job
from fastlane.models.paging import Page, WantedJobs, Window
from fastlane.models.status import UNDER_WAY, Status
from fastlane.storage.pages import is_near
from fastlane.storage.records import label_text
from fastlane.storage.sqlite.executions import visible_tasks
from fastlane.storage.sqlite.jobs import JOB_COLUMNS
from fastlane.storage.sqlite.lists.execution_lists import IS_SEEN, SEEN, quoted
from fastlane.storage.sqlite.lists.paged import IS_OVER, JOB_STATUS, JOBS, Values, Walks, number, page
from fastlane.storage.sqlite.rows import as_json, fetched
from fastlane.storage.sqlite.schema import TO_COME

MAX_CANDIDATES = 2_000
"""So many jobs may have a status are looked at one by one: their rows are all over the file, and those of all jobs are side by side."""
MAX_SORTED = 1_000
"""So many of them are sorted for a page; with more of them, a walk along the list meets enough soon."""
TO_COME_STATUSES = frozenset({"scheduled", "paused"})
BY_EXECUTION = frozenset({*UNDER_WAY, Status.DONE, Status.FAILED, Status.TIMEDOUT})
"""Statuses that a job only has by an execution that has it. (A job without any may be stopped or expired.)"""

_STATUS = f"{JOB_STATUS} IN (SELECT value FROM json_each(:statuses))"
_LABELLED = "job_labels CROSS JOIN jobs ON jobs.id = job_labels.job_id WHERE label = :label"


def all_jobs(db: sqlite3.Connection, wanted: WantedJobs, window: Window) -> Page[Job]:
    """Jobs of all tasks, or of one, newest first."""
    if wanted.visible is not None and wanted.task_id is not None:
        one = replace(wanted, visible=None)
        return all_jobs(db, one, window) if re.match(wanted.visible, wanted.task_id) else Page(window, 0, (), None)
    tasks = [] if wanted.visible is None else visible_tasks(db, wanted.visible)
    given: dict[str, Any] = {
        "task_id": wanted.task_id,
        "label": None if wanted.label is None else label_text(*wanted.label),
        "statuses": as_json(sorted(wanted.statuses)),
        "tasks": as_json(tasks),
        "now": wanted.now,
    }
    each = is_near(window, len(tasks))
    candidates = None if wanted.label is not None else _candidates(db, wanted.statuses)
    walks = _walks(wanted, each=each) if candidates is None or candidates.most > MAX_SORTED else _walk_of(candidates, wanted)
    return page(db, JOBS, walks, window, given, lambda: _count(db, wanted, given, candidates))


@dataclass(frozen=True, slots=True)
class Candidates:
    """The jobs that may have a wanted status: a query of their ids, each perhaps several times, and how many ids that gives at most."""

    ids: str
    most: int

    @property
    def found(self) -> str:
        """A FROM and a WHERE of these jobs."""
        ids = f"SELECT DISTINCT id AS candidate FROM ({self.ids}) AS candidates"
        return f"({ids}) AS candidates CROSS JOIN jobs ON jobs.id = candidate WHERE TRUE"


def _candidates(db: sqlite3.Connection, statuses: frozenset[str]) -> Candidates | None:
    """None where there are too many, or where a status may be that of a job of which nothing is stored that says so."""
    if not statuses or statuses - BY_EXECUTION - TO_COME_STATUSES:
        return None
    queries, most = [], 0
    if by_execution := frozenset(Status(status) for status in statuses & BY_EXECUTION):
        queries.append(f"SELECT job_id AS id FROM executions INDEXED BY executions_by_status WHERE status IN ({quoted(by_execution)})")
        most = number(db, f"SELECT sum(value) FROM counters WHERE name IN ({quoted(by_execution)})", {})
    if statuses & TO_COME_STATUSES and most <= MAX_CANDIDATES:
        queries.append(f"SELECT id FROM jobs INDEXED BY jobs_to_come WHERE {TO_COME}")
        most += number(db, f"SELECT count(*) FROM ({queries[-1]} LIMIT {MAX_CANDIDATES}) AS candidates", {})
    return Candidates(" UNION ALL ".join(queries), most) if most <= MAX_CANDIDATES else None


def _walk_of(candidates: Candidates, wanted: WantedJobs) -> Walks:
    """The walk through the candidates, sorted: as far as the page may reach."""
    before = "" if wanted.visible is None else SEEN
    found = f"{candidates.found}{_of_tasks(wanted, 'jobs.')} AND {_STATUS}{_next('jobs.created_at', 'jobs.id')}"
    return Walks([f"jobs WHERE jobs.rowid IN (SELECT jobs.rowid FROM {found})"], before, forwards=True)


def next_jobs(db: sqlite3.Connection, limit: int, now: int, visible: str | None) -> list[tuple[Any, ...]]:
    """The rows of the jobs that run next by their schedules, soonest first. Jobs of other tasks are skipped along the index."""
    given: dict[str, Any] = {"now": now, "limit": limit}
    before, seen = "", ""
    if visible is not None:
        before, seen = SEEN, f" AND {IS_SEEN}"
        given["tasks"] = as_json(visible_tasks(db, visible))
    query = f"""{before}SELECT {JOB_COLUMNS} FROM jobs INDEXED BY jobs_due
        WHERE next_tick IS NOT NULL{seen} AND NOT {IS_OVER} ORDER BY next_tick, id LIMIT :limit"""
    return fetched(db, query, given)


def _walks(wanted: WantedJobs, *, each: bool) -> Walks:
    """``each``: the visible tasks are walked one by one, and the walks merged."""
    status = f" AND {_STATUS}" if wanted.statuses else ""
    before = "" if wanted.visible is None else SEEN
    if wanted.label is not None:
        found = f"{_LABELLED}{_of_tasks(wanted, 'job_labels.')}{status}{_next('job_labels.created_at', 'job_labels.job_id')}"
        return Walks([f"jobs WHERE jobs.rowid IN (SELECT jobs.rowid FROM {found})"], before, forwards=True)
    if wanted.task_id is not None:
        return Walks([f"jobs INDEXED BY jobs_of_task WHERE task_id = :task_id{status}"])
    if wanted.visible is not None and each:
        found = f"jobs INDEXED BY jobs_of_task WHERE task_id = seen_tasks.task{status}{_next('created_at', 'id')}"
        walk = f"seen_tasks CROSS JOIN jobs ON jobs.rowid IN (SELECT jobs.rowid FROM {found}) WHERE TRUE"
        return Walks([walk], before, forwards=True)
    return Walks([f"jobs INDEXED BY jobs_by_creation WHERE TRUE{_of_tasks(wanted, 'jobs.')}{status}"], before)


def _next(first: str, second: str) -> str:
    """As many of a walk's rows as the page may reach."""
    return f" AND ({first}, {second}) < (:first, :second) ORDER BY {first} DESC, {second} DESC LIMIT :skipped + :size"


def _of_tasks(wanted: WantedJobs, table: str) -> str:
    if wanted.task_id is not None:
        return f" AND {table}task_id = :task_id"
    return "" if wanted.visible is None else f" AND {table}{IS_SEEN}"


def _count(db: sqlite3.Connection, wanted: WantedJobs, given: Values, candidates: Candidates | None) -> int:
    """Reads the counters where there are any."""
    before = "" if wanted.visible is None else SEEN
    if wanted.label is not None:
        found = f"{_LABELLED}{_of_tasks(wanted, 'job_labels.')} AND {_STATUS}"
        indexed = f"job_labels WHERE label = :label{_of_tasks(wanted, '')}"
        return number(db, f"{before}SELECT count(*) FROM {found if wanted.statuses else indexed}", given)
    if wanted.statuses:
        source = "jobs WHERE TRUE" if candidates is None else candidates.found
        return number(db, f"{before}SELECT count(*) FROM {source} AND {_STATUS}{_of_tasks(wanted, 'jobs.')}", given)
    if wanted.task_id is not None:
        return number(db, "SELECT jobs_count FROM tasks WHERE id = :task_id", given)
    if wanted.visible is not None:
        return number(db, f"{SEEN}SELECT ifnull(sum(jobs_count), 0) FROM tasks WHERE id IN (SELECT task FROM seen_tasks)", given)
    return number(db, "SELECT value FROM counters WHERE name = 'jobs'", given)
