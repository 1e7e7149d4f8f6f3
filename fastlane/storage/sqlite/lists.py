"""The paged lists and the counts. Each list is a walk along an index in its order, and ``page`` finds a page of it.

Rows before the page are passed over in the index alone, from the nearer end of the list; only the page's own rows are read whole. Triggers
keep the lengths of the lists (``schema``). Lists that are filtered by a moment, a pattern or a job's status are counted along an index,
once for each walk.

Executions of tasks that the caller may not see cost nothing, with one exception: when the caller sees many tasks, and these have few of all
executions, the others are skipped in the index.

The lists of jobs: the jobs of one task, of all tasks, or of the tasks that a caller may see; by label and by status; and the jobs that
run next.

A job's status is the stored one. Each filter has an index in the list's order; where several statuses are wanted, a walk for each is
merged. Triggers write the statuses (``schema``), except when only the passing of time changes one: a walk finds and writes these.
"""

import asyncio
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic

from fastlane.models.job import Execution, Job, Task
from fastlane.models.paging import After, JobPage, Page, Row, Wanted, WantedJobs, Window
from fastlane.models.status import FINAL, UNDER_WAY, Status
from fastlane.models.tick import Tick
from fastlane.storage import records
from fastlane.storage.base import Counts, StatusWalk
from fastlane.storage.pages import TextBudget, is_near, stretch_of
from fastlane.storage.records import JOBS, Record, filled, label_text, readable
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.jobs import JOB_COLUMNS, visible_tasks
from fastlane.storage.sqlite.rows import as_json, fetched, with_any_text
from fastlane.storage.sqlite.schema import AT_REST, ENDED, UNDER_WAY as UNDER_WAY_SQL, is_over, job_status

Values = Mapping[str, Any]
Count = Callable[[], int]

BEFORE_ALL = (2**63 - 1, "")
"""A key before the key of every row, newest first."""
SEEN = "WITH seen_tasks AS MATERIALIZED (SELECT value AS task FROM json_each(:tasks)) "
IS_SEEN = "task_id IN (SELECT task FROM seen_tasks)"
"""The tasks in ``:tasks``, a JSON list, as a table; and the condition that a row is of one of them."""
OF_TASKS = "IN (SELECT value FROM json_each(:tasks))"


@dataclass(frozen=True, slots=True)
class ListSource(Generic[Row]):
    """How rows of a record become values, newest first by the two columns of ``key``."""

    record: Record[Any]
    key: tuple[str, str]
    read: Callable[[list[Any]], Row]
    more: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read behind a row's key."""
        return (*self.record.fields, *self.more)


def _list_of(record: Record[Row], first: str, second: str = "id") -> ListSource[Row]:
    return ListSource(record, (first, second), record.of)


TASKS, TICKS = _list_of(records.TASKS, "modified_at"), _list_of(records.TICKS, "due")
EXECUTIONS_OF_JOB, EXECUTIONS = _list_of(records.EXECUTIONS, "sequence", "attempt"), _list_of(records.EXECUTIONS, "scheduled_for")


class SqliteLists:
    """The part of the store that lists and counts."""

    _file: SqliteFile

    async def list_tasks(self, window: Window, *, visible: str | None = None) -> Page[Task]:
        return await self._file.list(lambda db: tasks(db, window, visible))

    async def search_tasks(self, words: Sequence[str], window: Window, *, visible: str | None = None) -> Page[Task]:
        return await self._file.list(lambda db: tasks_with(db, words, window, visible))

    async def list_ticks(self, job_id: str, window: Window) -> Page[Tick]:
        return await self._file.list(lambda db: ticks(db, job_id, window))

    async def list_executions_of(self, job_id: str, window: Window) -> Page[Execution]:
        return await self._file.list(lambda db: executions_of(db, job_id, window))

    async def list_executions(self, wanted: Wanted, window: Window) -> Page[Execution]:
        return await self._file.list(lambda db: executions(db, wanted, window))

    async def counts(self, visible: str | None = None) -> Counts:
        return await (self._file.read if visible is None else self._file.list)(lambda db: counts(db, visible))


def tasks(db: sqlite3.Connection, window: Window, visible: str | None) -> Page[Task]:
    """All tasks, those changed last first."""
    seen = "" if visible is None else "WHERE visible(:visible, tasks.id)"
    counted = "SELECT value FROM counters WHERE name = 'tasks'" if visible is None else f"SELECT count(*) FROM tasks {seen}"
    given = {"visible": visible}
    return page(db, TASKS, Walks([f"tasks {seen or 'WHERE TRUE'}"]), window, given, lambda: number(db, counted, given))


def tasks_with(db: sqlite3.Connection, words: Sequence[str], window: Window, visible: str | None) -> Page[Task]:
    """Tasks whose id contains all of these words, each whole or as the beginning of a word; those changed last first."""
    found = "task_words CROSS JOIN tasks ON tasks.id = task_words.id WHERE task_words MATCH :words"
    if visible is not None:
        found += " AND visible(:visible, tasks.id)"
    given = {"words": _phrases(words), "visible": visible}
    return page(db, TASKS, Walks([found]), window, given, lambda: number(db, f"SELECT count(*) FROM {found}", given))


def ticks(db: sqlite3.Connection, job_id: str, window: Window) -> Page[Tick]:
    """A job's ledger, the latest due first."""
    return page(db, TICKS, Walks(["ticks WHERE job_id = :job_id"]), window, {"job_id": job_id}, lambda: count_of_job(db, "ticks", job_id))


def executions_of(db: sqlite3.Connection, job_id: str, window: Window) -> Page[Execution]:
    """A job's executions, newest first."""
    walk = "executions WHERE job_id = :job_id"
    return page(db, EXECUTIONS_OF_JOB, Walks([walk]), window, {"job_id": job_id}, lambda: count_of_job(db, "executions", job_id))


@dataclass(frozen=True, slots=True)
class Walks:
    """Walks whose merged rows are a list: each is a FROM and a WHERE that follow an index in the list's order. ``before`` comes before the
    query that contains them. ``forwards``: they cannot be walked from the end."""

    parts: Sequence[str]
    before: str = ""
    forwards: bool = False


def page(db: sqlite3.Connection, source: ListSource[Row], walks: Walks, window: Window, given: Values, count: Count) -> Page[Row]:
    """A page of a list."""
    with _snapshot(db):
        if window.after is not None:
            after, size = window.after, window.per_page
            rows = _rows(db, source, walks, {**given, **_bounds(after.key, 0, size + 1)})
            return _shown(source, window, after.total, rows[:size], more=len(rows) > size)
        total = count()
        stretch = stretch_of(window, total, forwards=walks.forwards)
        if stretch is None:
            return Page(window, total, (), None)
        bounds = _bounds(BEFORE_ALL, stretch.skip, stretch.size)
        rows = _rows(db, source, walks, {**given, **bounds}, backwards=stretch.backwards)
        return _shown(source, window, total, rows, more=window.offset + window.per_page < total)


def _bounds(key: Sequence[Any], skipped: int, size: int) -> Values:
    return {"first": key[0], "second": key[1], "skipped": skipped, "size": size}


def _rows(
    db: sqlite3.Connection, source: ListSource[Any], walks: Walks, given: Values, *, backwards: bool = False
) -> list[tuple[Any, ...]]:
    """The key and the fields of each row, newest first."""
    table, columns, (first, second) = source.record.name, source.columns, source.key
    places = f"SELECT {table}.rowid AS place, {table}.{first} AS first, {table}.{second} AS second"
    after = f"({table}.{first}, {table}.{second}) < (:first, :second)"
    direction = "ASC" if backwards else "DESC"
    found = " UNION ALL ".join(f"{places} FROM {walk} AND {after}" for walk in walks.parts)
    ordered = f"{found} ORDER BY first {direction}, second {direction} LIMIT :size OFFSET :skipped"
    wanted = ", ".join(f"{table}.{column}" for column in columns)
    query = f"{walks.before}SELECT first, second, {wanted} FROM ({ordered}) AS found CROSS JOIN {table} ON {table}.rowid = found.place"
    return sorted(_bounded(db, query, given, columns), key=lambda row: (row[0], row[1]), reverse=True)


def _bounded(db: sqlite3.Connection, query: str, given: Values, fields: Sequence[str]) -> list[tuple[Any, ...]]:
    """The rows of a query. Raises Invalid when their specs are too large to hold."""
    if "spec" not in fields:
        return fetched(db, query, given)
    return with_any_text(db, lambda: _limited(db, query, given, 2 + fields.index("spec")))


def _limited(db: sqlite3.Connection, query: str, given: Values, spec: int) -> list[tuple[Any, ...]]:
    rows, budget = [], TextBudget()
    with closing(db.execute(query, given)) as cursor:
        for row in cursor:
            rows.append(row)
            budget.spend(row[spec])
    return rows


def _shown(source: ListSource[Row], window: Window, total: int, rows: Sequence[tuple[Any, ...]], *, more: bool) -> Page[Row]:
    values = readable(rows, lambda row: source.read(list(row[2:])))
    return Page(window, total, tuple(values), After(total, rows[-1][:2]) if more else None)


@contextmanager
def _snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """Makes all reads inside see the same state, so that a list and its count agree."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("COMMIT")


def count_of_job(db: sqlite3.Connection, what: str, job_id: str) -> int:
    """How many ticks or executions a job has. A job without a counter has one at most."""
    query = f"SELECT ifnull((SELECT {what} FROM job_counts WHERE job_id = :id), (SELECT count(*) FROM {what} WHERE job_id = :id))"
    return number(db, query, {"id": job_id})


def number(db: sqlite3.Connection, query: str, given: Values) -> int:
    """The number that a query returns; 0 when it returns no row."""
    row = db.execute(query, given).fetchone()
    return int(row[0]) if row else 0


def _phrases(words: Sequence[str]) -> str:
    """A query for FTS5: all of these phrases, the last word of each as a prefix."""
    return " ".join('"' + word.replace('"', '""') + '" *' for word in words or [""])


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


def counts(db: sqlite3.Connection, visible: str | None) -> Counts:
    """All tasks, jobs and executions by status, or only of the tasks whose id matches ``visible``."""
    if visible is None:
        stored = dict(db.execute("SELECT name, value FROM counters").fetchall())
        return Counts(stored["tasks"], stored["jobs"], {status: stored[status.value] for status in Status})
    given = {"tasks": as_json(visible_tasks(db, visible))}
    tasks, jobs = db.execute(f"SELECT count(*), ifnull(sum(jobs_count), 0) FROM tasks WHERE id {OF_TASKS}", given).fetchone()
    ended = f"SELECT name, sum(value) FROM task_counts WHERE name <> 'executions' AND task_id {OF_TASKS} GROUP BY name"
    under_way = f"""SELECT status, count(*) FROM executions INDEXED BY executions_under_way
        WHERE {UNDER_WAY_SQL} AND task_id {OF_TASKS} GROUP BY status"""
    found = dict([*db.execute(ended, given).fetchall(), *db.execute(under_way, given).fetchall()])
    return Counts(tasks, jobs, {status: found.get(status.value, 0) for status in Status})


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
    return JobPage.listed(page(db, _JOBS, walks, window, given, lambda: _count_jobs(db, wanted, given)))


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


def _count_jobs(db: sqlite3.Connection, wanted: WantedJobs, given: Values) -> int:
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
