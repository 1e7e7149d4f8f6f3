"""Reads of jobs and ticks, and the closing of a tick. The writes of jobs are in ``commits``."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastlane.models.job import Job, JobBounds
from fastlane.models.tick import Outcome
from fastlane.storage.mongo.commits.commits import is_there
from fastlane.storage.mongo.commits.intents import complete
from fastlane.storage.mongo.driver.database import Database, Document
from fastlane.storage.mongo.rows import read_job
from fastlane.storage.mongo.schema import GONE_AT, JOBS, TICKS, TO_CHECK
from fastlane.storage.mongo.statuses import bounds_of
from fastlane.storage.readable import filled

FIRST = (-(2**63), "")
"""Less than every (moment, id)."""
LAST = 2**63 - 1
"""No moment is later. A range has two sides, since some servers find null below every number."""

_BOUNDS = ("incarnation", "floor", "sequence", "stop_sequence", "intent", GONE_AT)


async def get(db: Database, job_id: str) -> Job | None:
    """One job."""
    row = await db.one(JOBS, job_id)
    return read_job(row) if row is not None and is_there(row) else None


async def bounds(db: Database, job_id: str) -> JobBounds | None:
    """Which of a job's executions may start."""
    row = await db.one(JOBS, job_id, _BOUNDS)
    return None if row is None or not is_there(row) else bounds_of(row)


async def bounds_of_all(db: Database, job_ids: Sequence[str]) -> dict[str, JobBounds]:
    """The same for several jobs, by id. Their intents are completed before, so that their executions can be read after it."""
    rows = await db.with_ids(JOBS, job_ids, _BOUNDS)
    for row in rows.values():
        if row["intent"] is not None:
            await complete(db, row)
    return {id: bounds_of(row) for id, row in rows.items() if is_there(row)}


async def whole(db: Database, job_id: str) -> JobBounds | None:
    """A job's bounds once its intent is completed: what its last commit made can be read now."""
    return (await bounds_of_all(db, [job_id])).get(job_id)


def belonging(bounds: JobBounds) -> Mapping[str, Any]:
    """``JobBounds.include`` as a filter. A test compares both over generated rows."""
    return {"incarnation": {"$in": ["", bounds.incarnation]}, "sequence": {"$gt": bounds.floor, "$lte": LAST}}


async def of_task(db: Database, task_id: str, limit: int) -> list[Job]:
    """A task's newest jobs, newest first."""

    async def fetch(count: int) -> list[Document]:
        return await db.find(JOBS, {"task_id": task_id}, "jobs_of_task", sort=[("created_at", -1), ("_id", -1)], limit=count)

    return await filled(fetch, limit, read_job)


async def due(db: Database, before: int, limit: int, after: tuple[int, str] | None) -> list[Job]:
    """Jobs whose next tick is due before that moment, soonest first."""
    filter = {"next_tick": {"$gte": (after or FIRST)[0], "$lt": before}, **following("next_tick", after)}

    async def fetch(count: int) -> list[Document]:
        return await db.find(JOBS, filter, "jobs_due", sort=[("next_tick", 1), ("_id", 1)], limit=count)

    return await filled(fetch, limit, read_job)


async def to_check(db: Database, before: int, limit: int) -> list[Job]:
    """Jobs of which somebody is to look whether they are late, the one with the earliest check first."""
    filter = {TO_CHECK: True, "check_at": {"$gte": 0, "$lte": before}}

    async def fetch(count: int) -> list[Document]:
        return await db.find(JOBS, filter, "jobs_to_check", sort=[("check_at", 1), ("_id", 1)], limit=count)

    return await filled(fetch, limit, read_job)


def following(field: str, after: tuple[int, str] | None) -> Mapping[str, Any]:
    """A filter for rows after this one, by (field, id); beside a range of the field, along which an index is walked."""
    if after is None:
        return {}
    moment, id = after
    return {"$or": [{field: {"$gt": moment, "$lte": LAST}}, {field: moment, "_id": {"$gt": id}}]}


async def close_tick(db: Database, tick_id: str, outcome: Outcome, reason: str | None) -> bool:
    """Writes what became of a tick."""
    return await db.update(TICKS, tick_id, {}, {"$set": {"outcome": outcome.value, "reason": reason}})
