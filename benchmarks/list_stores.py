"""Stores with long lists and with short ones, for ``lists``: one of each kind is made by the store itself, then copied in its database.

Each store has a task with many jobs, all done, and a task with one job of many executions. A long store and a short one are alike in all
but these numbers.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import batched
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database

from benchmarks.stores import MONGO, Place
from fastlane.models.ids import new_id
from fastlane.models.job import Job, Spec
from fastlane.models.schedule import Schedule
from fastlane.models.status import Status
from fastlane.models.tick import make_tick, next_execution, once_key

BEGAN = 1_700_000_000_000
BATCH = 500

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Numbers:
    """How many jobs the task ``many`` has, and how many executions the job of the task ``one``."""

    jobs: int
    executions: int


async def fill(place: Place, numbers: Numbers) -> str:
    """Fills an empty store. Returns the id of the job with the many executions."""
    store = place.store()
    await store.open()
    ids = []
    try:
        for task in ("many", "one"):
            job = Job(new_id(BEGAN), task, new_id(BEGAN), BEGAN, BEGAN, Spec("ubuntu:latest", ("true",)), Schedule(), sequence=1)
            tick, execution = make_tick(job, once_key(1), sequence=1, due=BEGAN, now=BEGAN)
            done = replace(execution, status=Status.DONE, exit_code=0, started_at=BEGAN, finished_at=BEGAN, settled=True, cleaned=True)
            await store.create(job, tick, done)
            ids.append(job.id)
        await store.insert(next_execution(done, due=BEGAN, now=BEGAN))
    finally:
        await store.close()
    if place.name == MONGO:
        _copy_documents(place.url, ids, numbers)
    else:
        _copy_rows(place.url.removeprefix("sqlite:///"), ids, numbers)
    return ids[1]


def _copy_rows(path: str, ids: Sequence[str], numbers: Numbers) -> None:
    """Adds jobs like the first, each with its tick and execution, and executions like the first of the second."""
    jobs, count = f"'{ids[0]}'", numbers.jobs - 1
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA synchronous = OFF")
        _copy(db, "jobs", f"id = {jobs}", {"id": _id("id"), "created_at": "created_at + n"}, range(1, count + 1))
        _copy(db, "ticks", f"job_id = {jobs}", {"id": _id("id"), "job_id": _id("job_id")}, range(1, count + 1))
        changed = {"id": _id("id"), "job_id": _id("job_id"), "tick_id": _id("tick_id"), "scheduled_for": "scheduled_for + n"}
        _copy(db, "executions", f"job_id = {jobs}", changed, range(1, count + 1))
        db.execute("UPDATE tasks SET jobs_count = jobs_count + ? WHERE id = 'many'", (count,))
        changed = {"id": _id("id"), "attempt": "n", "scheduled_for": "scheduled_for + n"}
        _copy(db, "executions", f"job_id = '{ids[1]}' AND attempt = 1", changed, range(3, numbers.executions + 1))
        db.commit()


def _copy(db: sqlite3.Connection, table: str, which: str, changed: Mapping[str, str], numbers: Sequence[int]) -> None:
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    values = ", ".join(changed.get(column, column) for column in columns)
    counting = f"WITH RECURSIVE numbers (n) AS (VALUES ({numbers[0]}) UNION ALL SELECT n + 1 FROM numbers WHERE n < {numbers[-1]})"
    db.execute(f"INSERT INTO {table} {counting} SELECT {values} FROM numbers CROSS JOIN {table} WHERE {which}")


def _id(column: str) -> str:
    """The id of a copy, as SQL."""
    return f"substr({column}, 1, 24) || printf('%012x', n)"


def _copy_documents(url: str, ids: Sequence[str], numbers: Numbers) -> None:
    """The same in a database of MongoDB."""
    with MongoClient[Document](url, retryWrites=False) as client:
        db = client.get_default_database()
        counted = range(1, numbers.jobs)
        job = _only(db, "jobs", {"_id": ids[0]})
        _insert(db, "jobs", ({**job, "_id": _copied(job["_id"], n), "created_at": BEGAN + n} for n in counted))
        tick, execution = _only(db, "ticks", {"job_id": ids[0]}), _only(db, "executions", {"job_id": ids[0]})
        _insert(db, "ticks", (_with_ids(tick, n, "_id", "job_id") for n in counted))
        copies = (_with_ids(execution, n, "_id", "job_id", "tick_id") for n in counted)
        _insert(db, "executions", ({**copy, "scheduled_for": BEGAN + n} for n, copy in zip(counted, copies, strict=True)))
        first, further = _only(db, "executions", {"job_id": ids[1], "attempt": 1}), range(3, numbers.executions + 1)
        _insert(db, "executions", ({**_with_ids(first, n, "_id"), "attempt": n, "scheduled_for": BEGAN + n} for n in further))


def _only(db: Database[Document], collection: str, filter: Mapping[str, Any]) -> Document:
    found = db[collection].find_one(filter)
    if found is None:
        raise RuntimeError(f"there is nothing like {filter} in {collection}")
    return found


def _insert(db: Database[Document], collection: str, documents: Iterator[Document]) -> None:
    for some in batched(documents, BATCH):
        db[collection].insert_many(list(some), ordered=False)


def _with_ids(document: Document, number: int, *names: str) -> Document:
    return {**document, **{name: _copied(document[name], number) for name in names}}


def _copied(id: str, number: int) -> str:
    return f"{id[:24]}{number:012x}"
