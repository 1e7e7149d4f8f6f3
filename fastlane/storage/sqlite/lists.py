"""The paged lists and the counts. Rows before a page are passed over in the index alone, from the nearer end of the list; only the page's
own rows are read whole. Triggers keep the lengths of the lists (``schema``). Lists that are filtered by a moment, a pattern or a job's
status are counted along an index, once for each walk. Measured (docs/performance.md), for 100,000 jobs of one task: the first page of 20
takes 1.5 ms, as a short list's does, one in the middle 5.0 ms, the first of a search 0.6 ms. Decision 0126: 12 ms for 50 tasks with their
latest executions.

Rows of tasks that the caller may not see cost nothing, with one exception: when the caller sees many tasks, and these have few of all rows,
the others are skipped in the index.

A job's status is the stored one. Each filter has an index in the list's order; where several statuses are wanted, a walk for each is
merged. Triggers write the statuses (``schema``), except when only the passing of time changes one: a walk finds and writes these.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from fastlane.models.job import FailedJob, Job, Task, TaskSummary
from fastlane.models.paging import Key, Row, Window
from fastlane.models.status import FINAL, UNDER_WAY, Status
from fastlane.storage import records
from fastlane.storage.base import Counts, StatusWalk
from fastlane.storage.lists import EXECUTIONS, JOBS, ListLogic, ListReader, PagedRows, Selection
from fastlane.storage.pages import MOST_FAILURES, Stretch, is_near
from fastlane.storage.records import Index, Record, filled, readable
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.jobs import JOB_COLUMNS, QUALIFIED, visible_tasks
from fastlane.storage.sqlite.rows import as_json, bounded, fetched, with_any_text
from fastlane.storage.sqlite.schema import AT_REST, UNDER_WAY as UNDER_WAY_SQL, is_over, status_sql

Answer = TypeVar("Answer")
Values = Mapping[str, Any]

BEFORE_ALL = (2**63 - 1, "")
"""A key before the key of every row, newest first."""
SEEN = "WITH seen_tasks AS MATERIALIZED (SELECT value AS task FROM json_each(:tasks)) "
IS_SEEN = "IN (SELECT task FROM seen_tasks)"
"""The tasks in ``:tasks``, a JSON list, as a table; and the condition that a task is one of them."""
_NOW = "max(ifnull(next_tick, :now), :now)"
_PAGE = "SELECT id FROM jobs WHERE id > :after ORDER BY id LIMIT :limit"
_LATE = f"SELECT id FROM jobs INDEXED BY jobs_due WHERE next_tick < :now AND {is_over(_NOW)} LIMIT :limit"
_WRONG = f"""SELECT asked.value FROM json_each(:ids) AS asked CROSS JOIN jobs ON jobs.id = asked.value
    WHERE job_status IS NOT {status_sql(_NOW)}"""
_WRITE = f"""UPDATE jobs SET job_status = {status_sql(_NOW)} WHERE id IN (SELECT value FROM json_each(:ids))
    AND job_status IS NOT {status_sql(_NOW)}"""


class SqliteLists(ListLogic):
    """The part of the store that lists and counts."""

    _file: SqliteFile

    def _listed(self, read: Callable[[ListReader], Coroutine[Any, Any, Answer]], is_short: bool = False, /) -> Awaitable[Answer]:
        return (self._file.read if is_short else self._file.list)(lambda db: result_of(db, read))

    async def walk_statuses(self, now: int, after: str, limit: int) -> StatusWalk:
        given = {"now": now, "after": after, "limit": limit}

        def look(db: sqlite3.Connection) -> tuple[StatusWalk, list[str]]:
            page, late = ([id for (id,) in db.execute(query, given).fetchall()] for query in (_PAGE, _LATE))
            found = db.execute(_WRONG, {"ids": as_json(sorted({*page, *late})), "now": now}).fetchall()
            return StatusWalk(page[-1] if len(page) == limit else None), [id for (id,) in found]

        walk, wrong = await self._file.read(look)
        written = {"ids": as_json(sorted(wrong)), "now": now}
        return replace(walk, repaired=await self._file.write(lambda db: db.execute(_WRITE, written).rowcount)) if wrong else walk


def result_of(db: sqlite3.Connection, read: Callable[[ListReader], Coroutine[Any, Any, Answer]]) -> Answer:
    """The result of a coroutine that waits for nothing: its reader answers at once. All reads inside see the same state, so a list and its
    count agree."""
    db.execute("BEGIN")
    reading = read(SqliteListReader(db))
    try:
        reading.send(None)
    except StopIteration as end:
        answer: Answer = end.value
        return answer
    finally:
        reading.close()
        db.execute("COMMIT")
    raise RuntimeError("the reader of a list has waited")


class SqliteListReader:
    """A ``ListReader`` of a connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    async def visible_tasks(self, pattern: str) -> Sequence[str]:
        return visible_tasks(self._db, pattern)

    async def tasks(self, visible: str | None) -> PagedRows[Task]:
        found = f"tasks WHERE {'TRUE' if visible is None else 'visible(:visible, tasks.id)'}"
        counted = "SELECT value FROM counters WHERE name = 'tasks'" if visible is None else f"SELECT count(*) FROM {found}"
        return self._rows(records.TASKS_BY_CHANGE, Walks([found]), {"visible": visible}, counted)

    async def tasks_with(self, words: Sequence[str], visible: str | None) -> PagedRows[Task]:
        found = "task_words CROSS JOIN tasks ON tasks.id = task_words.id WHERE task_words MATCH :words"
        found += "" if visible is None else " AND visible(:visible, tasks.id)"
        given = {"words": _phrases(words), "visible": visible}
        return self._rows(records.TASKS_BY_CHANGE, Walks([found]), given, f"SELECT count(*) FROM {found}")

    async def of_job(self, index: Index[Row], job_id: str) -> PagedRows[Row]:
        """A job without a counter has one row at most."""
        table = index.record.name
        kept, few = (f"(SELECT {what} WHERE job_id = :id)" for what in (f"{table} FROM job_counts", f"count(*) FROM {table}"))
        return self._rows(index, Walks([f"{table} WHERE job_id = :id"]), {"id": job_id}, f"SELECT ifnull({kept}, {few})")

    async def selected(self, wanted: Selection, window: Window, /) -> PagedRows[Any]:
        tasks = wanted.tasks or ()
        given: dict[str, Any] = {"task": next(iter(tasks), None), "tasks": as_json(tasks), "since": wanted.since, "label": wanted.label}
        given |= {"statuses": as_json(wanted.statuses), **{f"status_{place}": status for place, status in enumerate(wanted.walked)}}
        walks = _walks(wanted, each=is_near(window, len(tasks)))
        more = ("job_status",) if wanted.indexes is JOBS else ()
        return self._rows(wanted.indexes.of_task, walks, given, _total(wanted), more)

    async def failures(self, tasks: Sequence[str] | None, since: int) -> PagedRows[FailedJob]:
        return SqliteFailures(self._db, tasks is not None, {"tasks": as_json(tasks or ()), "since": since, "most": MOST_FAILURES})

    async def summaries(self, tasks: Sequence[Task], now: int) -> Mapping[str, TaskSummary]:
        ids = [task.id for task in tasks]
        given = {"tasks": as_json(ids), "now": now}
        statuses: dict[str, dict[str, int]] = {}
        for task, status, jobs in self._db.execute(_STATUSES_OF_TASKS, given).fetchall():
            statuses.setdefault(task, {})[status] = jobs
        late = dict(self._db.execute(_LATE_OF_TASKS, given).fetchall())
        following = dict(self._db.execute(_NEXT_OF_TASKS, given).fetchall())
        rows = with_any_text(self._db, lambda: bounded(self._db, _LATEST_OF_TASKS, given, records.EXECUTIONS.fields.index("spec")))
        latest = {one.task_id: one for one in readable(rows, lambda row: records.EXECUTIONS.of(list(row)))}
        return {id: TaskSummary(statuses.get(id, {}), late.get(id, 0), following.get(id), latest.get(id)) for id in ids}

    async def counts(self, tasks: Sequence[str] | None) -> Counts:
        if tasks is None:
            stored = dict(self._db.execute("SELECT name, value FROM counters").fetchall())
            return Counts(stored["tasks"], stored["jobs"], {status: stored[status.value] for status in Status})
        given = {"tasks": as_json(tasks)}
        count, jobs = self._db.execute(f"{SEEN}SELECT count(*), ifnull(sum(jobs_count), 0) FROM tasks WHERE id {IS_SEEN}", given).fetchone()
        ended = f"{SEEN}SELECT name, sum(value) FROM task_counts WHERE name <> 'executions' AND task_id {IS_SEEN} GROUP BY name"
        under_way = f"""{SEEN}SELECT status, count(*) FROM executions INDEXED BY executions_under_way
            WHERE {UNDER_WAY_SQL} AND task_id {IS_SEEN} GROUP BY status"""
        found = dict([*self._db.execute(ended, given).fetchall(), *self._db.execute(under_way, given).fetchall()])
        return Counts(count, jobs, {status: found.get(status.value, 0) for status in Status})

    async def job_statuses(self, tasks: Sequence[str] | None) -> Mapping[str, int]:
        parts = ["jobs INDEXED BY jobs_by_status WHERE job_status > ''"]
        if tasks is not None:
            at_rest = f"jobs INDEXED BY jobs_of_task_by_status WHERE task_id {IS_SEEN} AND {AT_REST}"
            parts = [at_rest, f"jobs INDEXED BY jobs_by_status WHERE job_{UNDER_WAY_SQL} AND task_id {IS_SEEN}"]
        query = " UNION ALL ".join(f"SELECT job_status, count(*) FROM {found} GROUP BY job_status" for found in parts)
        return dict(self._db.execute(f"{'' if tasks is None else SEEN}{query}", {"tasks": as_json(tasks or ())}).fetchall())

    async def next_jobs(self, limit: int, now: int, tasks: Sequence[str] | None) -> Sequence[Job]:
        """Jobs of other tasks are skipped along the index."""
        before, seen = ("", "") if tasks is None else (SEEN, f" AND task_id {IS_SEEN}")
        query = f"""{before}SELECT {JOB_COLUMNS} FROM jobs INDEXED BY jobs_due
            WHERE next_tick IS NOT NULL{seen} AND NOT {is_over("max(next_tick, :now)")} ORDER BY next_tick, id LIMIT :limit"""

        async def fetch(count: int) -> list[tuple[Any, ...]]:
            return fetched(self._db, query, {"now": now, "limit": count, "tasks": as_json(tasks or ())})

        return await filled(fetch, limit, lambda row: records.JOBS.of(list(row)))

    def _rows(self, index: Index[Any], walks: "Walks", given: Values, counted: str, more: tuple[str, ...] = ()) -> "SqliteList":
        return SqliteList(self._db, index.record, index.order, walks, given, counted, more)


@dataclass(frozen=True, slots=True)
class Walks:
    """Walks whose merged rows are a list: each is a FROM and a WHERE that follow an index in the list's order. ``before`` comes before the
    query that contains them. ``forwards``: they cannot be walked from the end."""

    parts: Sequence[str]
    before: str = ""
    forwards: bool = False


@dataclass(frozen=True, slots=True)
class SqliteList:
    """``PagedRows`` of a record, in the order of two columns. A row is its key and its fields. ``counted``: the query for their number.
    ``more``: a column that is read with each value."""

    _db: sqlite3.Connection
    _record: Record[Any]
    _order: tuple[str, ...]
    _walks: Walks
    _given: Values
    _counted: str
    _more: tuple[str, ...]

    @property
    def forwards(self) -> bool:
        return self._walks.forwards

    async def total(self) -> int:
        row = self._db.execute(self._counted, self._given).fetchone()
        return int(row[0]) if row else 0

    async def after(self, key: Key, limit: int) -> Sequence[Any]:
        return self._fetched(key, Stretch(0, limit))

    async def part(self, stretch: Stretch) -> Sequence[Any]:
        return self._fetched(BEFORE_ALL, stretch)

    def key(self, row: Any) -> Key:
        return (row[0], row[1])

    async def values(self, rows: Sequence[Any]) -> Sequence[Any]:
        read, count = self._record.of, len(self._record.fields) + 2
        return readable(rows, lambda row: (read(list(row[2:count])), row[count]) if self._more else read(list(row[2:])))

    def _fetched(self, key: Key, stretch: Stretch) -> list[tuple[Any, ...]]:
        table, columns, (first, second) = self._record.name, (*self._record.fields, *self._more), self._order
        places = f"SELECT {table}.rowid AS place, {table}.{first} AS first, {table}.{second} AS second"
        after = f"({table}.{first}, {table}.{second}) < (:first, :second)"
        direction = "ASC" if stretch.backwards else "DESC"
        found = " UNION ALL ".join(f"{places} FROM {walk} AND {after}" for walk in self._walks.parts)
        ordered = f"{found} ORDER BY first {direction}, second {direction} LIMIT :size OFFSET :skipped"
        wanted = ", ".join(f"{table}.{column}" for column in columns)
        page = f"({ordered}) AS found CROSS JOIN {table} ON {table}.rowid = found.place"
        query = f"{self._walks.before}SELECT first, second, {wanted} FROM {page}"
        given = {**self._given, "first": key[0], "second": key[1], "skipped": stretch.skip, "size": stretch.size}
        spec = 2 + columns.index("spec") if "spec" in columns else None
        return sorted(with_any_text(self._db, lambda: bounded(self._db, query, given, spec)), key=self.key, reverse=True)


_FAILED = records.EXECUTIONS_FAILED.name


@dataclass(frozen=True, slots=True)
class SqliteFailures:
    """``PagedRows`` of jobs that failed. A row is the end of the last failure, the job, how many failures there are, and the fields of that
    execution. They are found along an index of failures, in nothing but that. ``of_tasks``: only of ``:tasks``."""

    _db: sqlite3.Connection
    _of_tasks: bool
    _given: Values

    @property
    def forwards(self) -> bool:
        return False

    async def total(self) -> int:
        query = f"{self._before}SELECT count(DISTINCT job_id) FROM ({self._newest}) AS found"
        return int(self._db.execute(query, self._given).fetchone()[0])

    async def after(self, key: Key, limit: int) -> Sequence[Any]:
        return self._found(key, Stretch(0, limit))

    async def part(self, stretch: Stretch) -> Sequence[Any]:
        return self._found(BEFORE_ALL, stretch)

    def key(self, row: Any) -> Key:
        return (row[0], row[1])

    async def values(self, rows: Sequence[Any]) -> Sequence[FailedJob]:
        return readable(rows, lambda row: FailedJob(records.EXECUTIONS.of(list(row[3:])), row[2]))

    @property
    def _before(self) -> str:
        return SEEN if self._of_tasks else ""

    @property
    def _newest(self) -> str:
        """The wanted failures among the newest of all tasks: a task with few of them costs no walk along all others."""
        newest = f"""SELECT job_id, finished_at, task_id FROM executions INDEXED BY {_FAILED}
            WHERE {records.FAILED.sql} AND finished_at >= :since ORDER BY finished_at DESC, id DESC LIMIT :most"""
        return f"SELECT * FROM ({newest}) AS found WHERE task_id {IS_SEEN}" if self._of_tasks else newest

    def _found(self, key: Key, stretch: Stretch) -> list[tuple[Any, ...]]:
        direction = "ASC" if stretch.backwards else "DESC"
        found = f"""SELECT max(finished_at) AS first, job_id AS second, count(*) AS failures FROM ({self._newest}) AS found GROUP BY job_id
            HAVING (first, second) < (:first, :second) ORDER BY first {direction}, second {direction} LIMIT :size OFFSET :skipped"""
        last = f"""SELECT max(id) FROM executions INDEXED BY {_FAILED}
            WHERE {records.FAILED.sql} AND finished_at = found.first AND job_id = found.second"""
        query = f"""{self._before}SELECT first, second, failures, {QUALIFIED} FROM ({found}) AS found
            CROSS JOIN executions ON executions.id = ({last})"""
        given = {**self._given, "first": key[0], "second": key[1], "skipped": stretch.skip, "size": stretch.size}
        spec = 3 + records.EXECUTIONS.fields.index("spec")
        return sorted(with_any_text(self._db, lambda: bounded(self._db, query, given, spec)), key=self.key, reverse=True)


_STATUSES_OF_TASKS = f"""{SEEN}
    SELECT task_id, job_status, count(*) FROM jobs INDEXED BY jobs_of_task_by_status
        WHERE task_id {IS_SEEN} AND {AT_REST} GROUP BY task_id, job_status
    UNION ALL SELECT task_id, job_status, count(*) FROM jobs INDEXED BY jobs_by_status
        WHERE job_{UNDER_WAY_SQL} AND task_id {IS_SEEN} GROUP BY task_id, job_status"""
_LATE_OF_TASKS = f"""{SEEN}SELECT task_id, count(*) FROM jobs INDEXED BY {records.JOBS_LATE_BY_CREATION.name}
    WHERE {records.LATE.sql} AND task_id {IS_SEEN} GROUP BY task_id"""
_NEXT_OF_TASKS = f"""{SEEN}SELECT task, (SELECT next_tick FROM jobs INDEXED BY {records.JOBS_NEXT_OF_TASK.name}
    WHERE task_id = task AND next_tick IS NOT NULL AND NOT {is_over("max(next_tick, :now)")} ORDER BY next_tick LIMIT 1) FROM seen_tasks"""
_LATEST_OF_TASKS = f"""{SEEN}SELECT {QUALIFIED} FROM seen_tasks CROSS JOIN executions ON executions.rowid = (SELECT rowid FROM executions
    INDEXED BY executions_of_task WHERE task_id = seen_tasks.task ORDER BY scheduled_for DESC, id DESC LIMIT 1)"""


def _phrases(words: Sequence[str]) -> str:
    """A query for FTS5: all of these phrases, the last word of each as a prefix."""
    return " ".join('"' + word.replace('"', '""') + '" *' for word in words or [""])


_LABELLED = "job_labels CROSS JOIN jobs ON jobs.id = job_labels.job_id WHERE label = :label"
_HAS_STATUS = "jobs.job_status IN (SELECT value FROM json_each(:statuses))"


def _walks(wanted: Selection, *, each: bool) -> Walks:
    """``each``: several tasks are walked one by one, and the walks merged, each as far as the page may reach."""
    before, table, (first, second) = _before(wanted), wanted.indexes.every.record.name, wanted.indexes.every.order
    if wanted.late:
        return Walks([_late(wanted)], before)
    if wanted.label is not None:
        status = f" AND {_HAS_STATUS}" if wanted.statuses else ""
        found = f"{_LABELLED}{_of_tasks(wanted, 'job_labels.')}{status}{_next('job_labels.created_at', 'job_labels.job_id')}"
        return Walks([f"jobs WHERE jobs.rowid IN (SELECT jobs.rowid FROM {found})"], before, forwards=True)
    if wanted.tasks is not None and len(wanted.tasks) == 1:
        return Walks([*_at_rest(wanted, ":task"), *_under_way(wanted)])
    if wanted.tasks is None or not each:
        return Walks(_of_all(wanted), before)
    walks = [f"{found}{_next(first, second)}" for found in _at_rest(wanted, "seen_tasks.task")]
    parts = [f"seen_tasks CROSS JOIN {table} ON {table}.rowid IN (SELECT {table}.rowid FROM {walk}) WHERE TRUE" for walk in walks]
    return Walks([*parts, *_under_way(wanted)], before, forwards=True)


def _late(wanted: Selection) -> str:
    """A FROM and a WHERE for late jobs, which are few."""
    status = f" AND {_HAS_STATUS}" if wanted.statuses else ""
    label = "" if wanted.label is None else " AND :label IN (SELECT value FROM json_each(jobs.labels))"
    found = f"{records.LATE.sql}{_of_tasks(wanted, 'jobs.')}{status}{label}"
    return f"jobs INDEXED BY {records.JOBS_LATE_BY_CREATION.name} WHERE {found}"


def _before(wanted: Selection) -> str:
    return "" if wanted.tasks is None or len(wanted.tasks) == 1 else SEEN


def _at_rest(wanted: Selection, task: str) -> list[str]:
    """A FROM and a WHERE for each part of a task's rows that has an index in the list's order. Rows under way have no index by
    task, because they are few."""
    indexes = wanted.indexes
    if not wanted.statuses:
        return [_source(wanted, indexes.of_task, f"task_id = {task}")]
    assert indexes.at_rest.where is not None
    found = f"task_id = {task} AND {indexes.at_rest.where.sql} AND {indexes.at_rest.equal[1]} = :status_"
    return [_source(wanted, indexes.at_rest, f"{found}{place}") for place, status in enumerate(wanted.statuses) if status not in UNDER_WAY]


def _under_way(wanted: Selection) -> list[str]:
    """A FROM and a WHERE for the rows under way, of all tasks in question."""
    return [found for status, found in zip(wanted.statuses, _of_all(wanted), strict=False) if status in UNDER_WAY]


def _of_all(wanted: Selection) -> list[str]:
    """A FROM and a WHERE for all rows. Rows of other tasks are skipped along the index."""
    indexes = wanted.indexes
    of_tasks = _of_tasks(wanted, f"{indexes.every.record.name}.")
    if not wanted.walked:
        return [_source(wanted, indexes.every, f"TRUE{of_tasks}")]
    found = f"{indexes.by_status.equal[0]} = :status_"
    return [_source(wanted, indexes.by_status, f"{found}{place}{of_tasks}") for place in range(len(wanted.walked))]


def _source(wanted: Selection, index: Index[Any], condition: str) -> str:
    since = "" if wanted.since is None else f" AND {index.order[0]} >= :since"
    return f"{index.record.name} INDEXED BY {index.name} WHERE {condition}{since}"


def _next(first: str, second: str) -> str:
    """The next rows of a walk, as many as the page may reach."""
    return f" AND ({first}, {second}) < (:first, :second) ORDER BY {first} DESC, {second} DESC LIMIT :skipped + :size"


def _of_tasks(wanted: Selection, table: str) -> str:
    return "" if wanted.tasks is None else f" AND {table}task_id {_is_wanted(wanted)}"


def _is_wanted(wanted: Selection) -> str:
    """The condition that a task is wanted."""
    return IS_SEEN if _before(wanted) else "= :task"


def _total(wanted: Selection) -> str:
    """The query for the number of rows: it reads the counters where there are any, or else an index."""
    before = _before(wanted)
    if wanted.late:
        return f"{before}SELECT count(*) FROM {_late(wanted)}"
    if wanted.label is not None:
        found = f"{_LABELLED}{_of_tasks(wanted, 'job_labels.')} AND {_HAS_STATUS}"
        indexed = f"job_labels WHERE label = :label{_of_tasks(wanted, '')}"
        return f"{before}SELECT count(*) FROM {found if wanted.statuses else indexed}"
    is_kept = wanted.since is None and (wanted.indexes is EXECUTIONS or not wanted.statuses)
    if wanted.tasks is None:
        kept = ", ".join(f"'{name}'" for name in wanted.walked or ("jobs",))
        return f"SELECT sum(value) FROM counters WHERE name IN ({kept})" if is_kept else f"SELECT {_counts(_of_all(wanted))}"
    if is_kept:
        at_rest = _kept(wanted)
    else:
        at_rest = _counts(_at_rest(wanted, "seen_tasks.task" if before else ":task"))
        at_rest = f"(SELECT ifnull(sum({at_rest}), 0) FROM seen_tasks)" if before else at_rest
    return f"{before}SELECT {at_rest} + {_counts(_under_way(wanted))}"


def _kept(wanted: Selection) -> str:
    """The sum of the counters of some tasks. Executions under way have none, since they are few."""
    if wanted.indexes is JOBS:
        return f"(SELECT ifnull(sum(jobs_count), 0) FROM tasks WHERE id {_is_wanted(wanted)})"
    names = ", ".join(f"'{status}'" for status in wanted.statuses if status in FINAL) if wanted.statuses else "'executions'"
    return f"(SELECT ifnull(sum(value), 0) FROM task_counts WHERE name IN ({names}) AND task_id {_is_wanted(wanted)})"


def _counts(parts: Sequence[str]) -> str:
    return " + ".join(f"(SELECT count(*) FROM {found})" for found in parts) or "0"
