"""The paged lists: how a page is found, and the walk of each list along an index in its order.

Rows before the page are passed over in the index alone, from the nearer end of the list; only the page's own rows are read whole. Triggers
keep the lengths of the lists (``schema``). Lists that are filtered by a moment, a pattern or a job's status are counted along an index,
once for each walk. The lists of jobs are in ``job_lists``, those of executions over several jobs in ``execution_lists``.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Generic

from fastlane.models.execution import Execution
from fastlane.models.job import Task
from fastlane.models.paging import After, Page, Row, Window
from fastlane.models.tick import Tick
from fastlane.storage.documents import EXECUTION_FIELDS, TICK_FIELDS, execution_from, tick_from
from fastlane.storage.pages import TextBudget, stretch_of
from fastlane.storage.readable import readable
from fastlane.storage.sqlite.rows import fetched, with_any_text

Values = Mapping[str, Any]
Count = Callable[[], int]

BEFORE_ALL = (2**63 - 1, "")
"""A key before that of every row, newest first."""

TASK_FIELDS = ("id", "created_at", "modified_at", "jobs_count")


@dataclass(frozen=True, slots=True)
class ListSource(Generic[Row]):
    """How rows of a table become values, newest first by the two columns of ``key``."""

    table: str
    fields: Sequence[str]
    key: tuple[str, str]
    read: Callable[[Values], Row]


TASKS = ListSource("tasks", TASK_FIELDS, ("modified_at", "id"), lambda row: Task(**row))
TICKS = ListSource("ticks", TICK_FIELDS, ("due", "id"), tick_from)
EXECUTIONS_OF_JOB = ListSource("executions", EXECUTION_FIELDS, ("sequence", "attempt"), execution_from)
EXECUTIONS = ListSource("executions", EXECUTION_FIELDS, ("scheduled_for", "id"), execution_from)


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
    query that has them. ``forwards``: they can't be walked from the end."""

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
    table, (first, second) = source.table, source.key
    columns = f"SELECT {table}.rowid AS place, {table}.{first} AS first, {table}.{second} AS second"
    after = f"({table}.{first}, {table}.{second}) < (:first, :second)"
    direction = "ASC" if backwards else "DESC"
    found = " UNION ALL ".join(f"{columns} FROM {walk} AND {after}" for walk in walks.parts)
    ordered = f"{found} ORDER BY first {direction}, second {direction} LIMIT :size OFFSET :skipped"
    fields = ", ".join(f"{table}.{field}" for field in source.fields)
    query = f"{walks.before}SELECT first, second, {fields} FROM ({ordered}) AS found CROSS JOIN {table} ON {table}.rowid = found.place"
    return sorted(_bounded(db, query, given, source.fields), key=lambda row: (row[0], row[1]), reverse=True)


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
    values = readable(rows, lambda row: source.read(dict(zip(source.fields, row[2:], strict=True))))
    return Page(window, total, tuple(values), After(total, rows[-1][:2]) if more else None)


@contextmanager
def _snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """Makes all reads inside see the same moment, so that a list and its count agree."""
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
    """The number that a query gives; 0 when it gives no row."""
    row = db.execute(query, given).fetchone()
    return int(row[0]) if row else 0


def _phrases(words: Sequence[str]) -> str:
    """A query for FTS5: all of these phrases, the last word of each as a prefix."""
    return " ".join('"' + word.replace('"', '""') + '" *' for word in words or [""])
