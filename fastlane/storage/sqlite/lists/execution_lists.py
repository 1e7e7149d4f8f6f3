"""The list of executions over several jobs: of all tasks, of one, or of those that a caller may see.

Executions of tasks that the caller may not see cost nothing, with one exception: when the caller sees many tasks, and these have few of all
executions, the others are skipped in the index.
"""

import re
import sqlite3
from dataclasses import replace
from typing import Any

from fastlane.models.execution import Execution
from fastlane.models.paging import Page, Wanted, Window
from fastlane.models.status import FINAL, UNDER_WAY, Status
from fastlane.storage.pages import is_near
from fastlane.storage.sqlite.executions import visible_tasks
from fastlane.storage.sqlite.lists.paged import EXECUTIONS, Values, Walks, number, page
from fastlane.storage.sqlite.rows import as_json
from fastlane.storage.sqlite.schema import ENDED

SEEN = "WITH seen_tasks AS MATERIALIZED (SELECT value AS task FROM json_each(:tasks)) "
IS_SEEN = "task_id IN (SELECT task FROM seen_tasks)"
"""The tasks in ``:tasks``, a JSON list, as a table; and the condition that a row is of one of them."""


def executions(db: sqlite3.Connection, wanted: Wanted, window: Window) -> Page[Execution]:
    """Executions of all tasks, or of one, the latest due first."""
    given: dict[str, Any] = {"task_id": wanted.task_id, "since": wanted.since, "tasks": "[]"}
    if wanted.visible is None:
        return page(db, EXECUTIONS, _walks_of_any(wanted), window, given, lambda: _count_of_any(db, wanted, given))
    if wanted.task_id is not None:
        one = replace(wanted, visible=None)
        return executions(db, one, window) if re.match(wanted.visible, wanted.task_id) else Page(window, 0, (), None)
    tasks = visible_tasks(db, wanted.visible)
    given["tasks"] = as_json(tasks)
    walks = _walks_of_each(wanted) if is_near(window, len(tasks)) else _walks_of_seen(wanted)
    return page(db, EXECUTIONS, walks, window, given, lambda: _count_of_seen(db, wanted, given))


def _walks_of_any(wanted: Wanted) -> Walks:
    """The walks through all tasks, or through one."""
    task = None if wanted.task_id is None else ":task_id"
    return Walks([f"{source}{_since(wanted)}" for source in _sources(wanted.statuses, task)])


def _walks_of_seen(wanted: Wanted) -> Walks:
    """The walks through all tasks, which skip those that are not visible."""
    return Walks([f"{source} AND {IS_SEEN}{_since(wanted)}" for source in _sources(wanted.statuses, None)], before=SEEN)


def _walks_of_each(wanted: Wanted) -> Walks:
    """The walks through each visible task, as far as the page may reach. Executions under way have no index by task, because they are
    few."""
    found = "(scheduled_for, id) < (:first, :second) ORDER BY scheduled_for DESC, id DESC LIMIT :skipped + :size"
    ended = wanted.statuses & FINAL
    whole = [] if wanted.statuses and not ended else _sources(ended, "seen_tasks.task")
    parts = [
        f"seen_tasks CROSS JOIN executions ON executions.rowid IN (SELECT rowid FROM {source}{_since(wanted)} AND {found}) WHERE TRUE"
        for source in whole
    ]
    under_way = wanted.statuses & UNDER_WAY
    parts += _walks_of_seen(replace(wanted, statuses=under_way)).parts if under_way else ()
    return Walks(parts, before=SEEN, forwards=True)


def _sources(statuses: frozenset[Status], task: str | None) -> list[str]:
    """A FROM and a WHERE for each part of a task's executions, or of all, that has an index in the list's order."""
    if task is not None and not statuses:
        return [f"executions INDEXED BY executions_of_task WHERE task_id = {task}"]
    return [_source(status, task) for status in sorted(statuses or Status)]


def _source(status: Status, task: str | None) -> str:
    if task is None:
        return f"executions INDEXED BY executions_by_status WHERE status = '{status}'"
    if status.final:
        return f"executions INDEXED BY executions_ended WHERE task_id = {task} AND status = '{status}' AND {ENDED}"
    return f"executions INDEXED BY executions_by_status WHERE status = '{status}' AND task_id = {task}"


def _since(wanted: Wanted) -> str:
    return "" if wanted.since is None else " AND scheduled_for >= :since"


def _count_of_any(db: sqlite3.Connection, wanted: Wanted, given: Values) -> int:
    """Reads the counters where there are any. A task's executions under way have none, since they are few."""
    if wanted.since is not None:
        return _count(db, _walks_of_any(wanted), given)
    if wanted.task_id is None:
        return number(db, f"SELECT sum(value) FROM counters WHERE name IN ({quoted(wanted.statuses or frozenset(Status))})", {})
    under_way = wanted.statuses & UNDER_WAY
    walked = _count(db, _walks_of_any(replace(wanted, statuses=under_way)), given) if under_way else 0
    return _counted(db, wanted, "task_id = :task_id", given) + walked


def _count_of_seen(db: sqlite3.Connection, wanted: Wanted, given: Values) -> int:
    """Counts task by task, so that no one else's executions are read."""
    under_way, ended = (replace(wanted, statuses=wanted.statuses & some) for some in (UNDER_WAY, FINAL))
    walked = _count(db, _walks_of_seen(under_way), given) if under_way.statuses else 0
    if wanted.statuses and not ended.statuses:
        return walked
    if wanted.since is None:
        return walked + _counted(db, ended, "task_id IN (SELECT value FROM json_each(:tasks))", given)
    sources = [f"(SELECT count(*) FROM {source}{_since(ended)})" for source in _sources(ended.statuses, "seen_tasks.task")]
    return walked + number(db, f"{SEEN}SELECT ifnull(sum({' + '.join(sources)}), 0) FROM seen_tasks", given)


def _counted(db: sqlite3.Connection, wanted: Wanted, condition: str, given: Values) -> int:
    """The sum of the counters of some tasks."""
    kept = quoted(wanted.statuses & FINAL) if wanted.statuses else "'executions'"
    return number(db, f"SELECT ifnull(sum(value), 0) FROM task_counts WHERE name IN ({kept}) AND {condition}", given)


def _count(db: sqlite3.Connection, walks: Walks, given: Values) -> int:
    counts = " + ".join(f"(SELECT count(*) FROM {walk})" for walk in walks.parts)
    return number(db, f"{walks.before}SELECT {counts}", given)


def quoted(words: frozenset[Status]) -> str:
    """Statuses for an IN (…)."""
    return ", ".join(f"'{word}'" for word in sorted(words))
