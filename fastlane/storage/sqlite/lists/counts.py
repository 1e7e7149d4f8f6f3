"""How much there is: of all tasks, as triggers count it, or of the tasks that a caller may see."""

import sqlite3
from collections.abc import Mapping

import orjson

from fastlane.models.status import Status
from fastlane.storage.base import Counts
from fastlane.storage.sqlite.lists.execution_lists import visible_tasks
from fastlane.storage.sqlite.schema import UNDER_WAY
from fastlane.storage.sqlite.status_tables import AT_REST

_SEEN = "IN (SELECT value FROM json_each(:tasks))"


def counts(db: sqlite3.Connection, visible: str | None) -> Counts:
    """All tasks, jobs and executions by status, or those of the tasks whose id matches ``visible``."""
    if visible is None:
        stored = dict(db.execute("SELECT name, value FROM counters").fetchall())
        return Counts(stored["tasks"], stored["jobs"], {status: stored[status.value] for status in Status})
    given = {"tasks": orjson.dumps(visible_tasks(db, visible)).decode()}
    tasks, jobs = db.execute(f"SELECT count(*), ifnull(sum(jobs_count), 0) FROM tasks WHERE id {_SEEN}", given).fetchone()
    ended = f"SELECT name, sum(value) FROM task_counts WHERE name <> 'executions' AND task_id {_SEEN} GROUP BY name"
    under_way = f"""SELECT status, count(*) FROM executions INDEXED BY executions_under_way
        WHERE {UNDER_WAY} AND task_id {_SEEN} GROUP BY status"""
    found = dict([*db.execute(ended, given).fetchall(), *db.execute(under_way, given).fetchall()])
    return Counts(tasks, jobs, {status: found.get(status.value, 0) for status in Status})


def jobs_by_status(db: sqlite3.Connection, visible: str | None) -> Mapping[str, int]:
    """How many jobs have each status that any has."""
    if visible is None:
        query = "SELECT job_status, count(*) FROM jobs INDEXED BY jobs_by_status WHERE job_status > '' GROUP BY job_status"
        return dict(db.execute(query).fetchall())
    at_rest = f"jobs INDEXED BY jobs_of_task_by_status WHERE task_id {_SEEN} AND {AT_REST}"
    under_way = f"jobs INDEXED BY jobs_by_status WHERE job_{UNDER_WAY} AND task_id {_SEEN}"
    query = " UNION ALL ".join(f"SELECT job_status, count(*) FROM {found} GROUP BY job_status" for found in (at_rest, under_way))
    return dict(db.execute(query, {"tasks": orjson.dumps(visible_tasks(db, visible)).decode()}).fetchall())
