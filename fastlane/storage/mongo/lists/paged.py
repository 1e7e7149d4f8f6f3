"""The paged lists: each is a walk along an index in its order, newest first.

Rows before the page are passed over in the index, from the nearer end. The length of a list is counted along an index: MongoDB has no
triggers that could keep a number of them, and a number that each write would raise is wrong after some crashes. That of a long list is
kept for a moment (``lengths``).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic

from fastlane.models.execution import Execution
from fastlane.models.job import Job
from fastlane.models.paging import After, Page, Row, Window
from fastlane.models.tick import Tick
from fastlane.storage.mongo.driver.database import Database, Document
from fastlane.storage.mongo.jobs import LAST, whole
from fastlane.storage.mongo.rows import read_execution, read_job, read_tick
from fastlane.storage.mongo.schema import EXECUTIONS, JOBS, TICKS
from fastlane.storage.pages import TextBudget, stretch_of
from fastlane.storage.readable import readable

Filter = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ListSource(Generic[Row]):
    """How rows of a collection become values, newest first by the two fields of ``key``."""

    collection: str
    key: tuple[str, str]
    read: Callable[[Document], Row]


JOB_ROWS: ListSource[tuple[Job, str | None]] = ListSource(JOBS, ("created_at", "_id"), lambda row: (read_job(row), row.get("job_status")))
TICK_ROWS = ListSource(TICKS, ("due", "_id"), read_tick)
EXECUTIONS_OF_JOB = ListSource(EXECUTIONS, ("sequence", "attempt"), read_execution)
EXECUTION_ROWS = ListSource(EXECUTIONS, ("scheduled_for", "_id"), read_execution)


async def ticks(db: Database, job_id: str, window: Window) -> Page[Tick]:
    """A job's ledger, the latest due first."""
    bounds = await whole(db, job_id)
    if bounds is None:
        return Page(window, 0, (), None)
    return await page(db, TICK_ROWS, {"job_id": job_id, "incarnation": bounds.incarnation}, "ticks_of_job", window)


async def executions_of(db: Database, job_id: str, window: Window) -> Page[Execution]:
    """A job's executions, newest first."""
    await whole(db, job_id)
    return await page(db, EXECUTIONS_OF_JOB, {"job_id": job_id}, "executions_of_job", window)


async def page(db: Database, source: ListSource[Row], filter: Filter, index: str, window: Window) -> Page[Row]:
    """A page of the rows that match, along this index."""
    if window.after is not None:
        after, size = window.after, window.per_page
        rows = await rows_of(db, source, _after(source, filter, after), index, limit=size + 1)
        return shown(source, window, after.total, rows[:size], more=len(rows) > size)
    counted = (source.collection, index, repr(filter))
    total = await db.lengths.get(counted, lambda: db.count(source.collection, filter, index), int)
    stretch = stretch_of(window, total)
    if stretch is None:
        return Page(window, total, (), None)
    rows = await rows_of(db, source, filter, index, skip=stretch.skip, limit=stretch.size, backwards=stretch.backwards)
    return shown(source, window, total, rows, more=window.offset + window.per_page < total)


async def rows_of(
    db: Database, source: ListSource[Any], filter: Filter, index: str, *, skip: int = 0, limit: int, backwards: bool = False
) -> list[Document]:
    """These rows, newest first. Raises Invalid when their specs are too large to hold."""
    direction, budget, found = (1 if backwards else -1), TextBudget(), list[Document]()
    sort = [(name, direction) for name in source.key]
    async with aclosing(db.walk(source.collection, filter, index, sort, skip=skip, limit=limit, batch=limit)) as rows:
        async for row in rows:
            budget.spend(row.get("spec", ""))
            found.append(row)
    return found[::-1] if backwards else found


def shown(source: ListSource[Row], window: Window, total: int, rows: Sequence[Document], *, more: bool) -> Page[Row]:
    """The page of these rows."""
    key = (rows[-1][source.key[0]], rows[-1][source.key[1]]) if more and rows else None
    return Page(window, total, tuple(readable(rows, source.read)), None if key is None else After(total, key))


def _after(source: ListSource[Any], filter: Filter, after: After) -> Filter:
    """The rows after this key. The range of the first field is where the walk begins in the index."""
    first, second = source.key
    moment, id = after.key[:2]
    further = {"$or": [{first: {"$lt": moment}}, {first: moment, second: {"$lt": id}}]}
    return {"$and": [filter, {first: {"$gte": -LAST - 1, "$lte": moment}}, further]}
