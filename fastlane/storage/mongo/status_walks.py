"""Finds stored statuses that are missing or wrong, and puts them right: those that an older fastlane did not write, those that a crash left
behind, and those that only the time has changed."""

import asyncio
from collections.abc import Sequence

from fastlane.clock import unless_cancelled
from fastlane.models.job import depends_on_latest, job_status
from fastlane.models.status import UNDER_WAY, Status
from fastlane.storage.base import StatusWalk
from fastlane.storage.mongo.commits import complete_pending, is_there
from fastlane.storage.mongo.database import Database, Document
from fastlane.storage.mongo.executions import latest_under_way, newest_ended
from fastlane.storage.mongo.rows import BY_ID
from fastlane.storage.mongo.schema import JOBS
from fastlane.storage.mongo.statuses import JOB_FIELDS, bounds_of, job_of, store, write
from fastlane.storage.records import LAST

BATCH = 500
"""Jobs whose statuses are found together."""
AT_ONCE = 16
"""Statuses that are written side by side."""

_SHOWN = {"created_at": {"$gte": -LAST - 1, "$lte": LAST}}
"""All jobs, and no tombstone."""
_OLDEST = [("created_at", 1), ("_id", 1)]


async def walk(db: Database, now: int, after: str, limit: int) -> StatusWalk:
    """Puts the statuses of the next jobs by id right, and of those where one is likely to be wrong: jobs that are shown as under way, which
    a crash leaves so, and jobs that may have expired before their tick."""
    await complete_missing(db)
    page = await _page(db, after, limit)
    under_way = {"job_status": {"$in": sorted(UNDER_WAY)}, **_SHOWN}
    rows = await db.find(JOBS, under_way, "jobs_by_status", sort=_OLDEST, limit=limit, fields=JOB_FIELDS)
    late = {"next_tick": {"$gte": -LAST - 1, "$lt": now}, "expiration": {"$gt": -LAST - 1, "$lte": now}}
    rows += await db.find(JOBS, late, "jobs_due", sort=[("next_tick", 1), ("_id", 1)], limit=limit, fields=JOB_FIELDS)
    found = list({row["_id"]: row for row in (*page, *rows)}.values())
    repaired = 0
    for start in range(0, len(found), BATCH):
        repaired += await _put_right(db, found[start : start + BATCH], now)
    return StatusWalk(page[-1]["_id"] if len(page) == limit else None, repaired)


async def complete_missing(db: Database) -> None:
    """Completes all commits, and writes the statuses of jobs that have none: an older fastlane has written them since."""
    await complete_pending(db)
    if rows := await db.find(JOBS, {"job_status": None, **_SHOWN}, "jobs_by_status", limit=BATCH, fields=JOB_FIELDS):
        await _put_right(db, rows, 0)


async def write_all(db: Database) -> None:
    """Writes the statuses of all jobs that have none, before there is an index of them."""
    after: str | None = ""
    while after is not None:
        page = await _page(db, after, BATCH)
        await _put_right(db, [row for row in page if row.get("job_status") is None], 0)
        after = page[-1]["_id"] if len(page) == BATCH else None


async def _page(db: Database, after: str, limit: int) -> list[Document]:
    return await db.find(JOBS, {"_id": {"$gt": after}}, BY_ID, sort=[("_id", 1)], limit=limit, fields=JOB_FIELDS)


async def _put_right(db: Database, rows: Sequence[Document], now: int) -> int:
    """How many of these jobs had another status stored than they have."""
    jobs = {row["_id"]: row for row in rows if is_there(row)}
    latest = {id: execution.status for id, execution in (await latest_under_way(db, {id: bounds_of(jobs[id]) for id in jobs})).items()}
    unknown = [id for id, row in jobs.items() if id not in latest and depends_on_latest(job_of(row), now)]
    latest |= {row["_id"]: Status(row["status"]) for row in await newest_ended(db, unknown)}
    statuses = {id: job_status(job_of(row), latest.get(id), now) for id, row in jobs.items()}
    wrong = [id for id, row in jobs.items() if row.get("job_status") != statuses[id]]
    written = 0
    for start in range(0, len(wrong), AT_ONCE):
        some = wrong[start : start + AT_ONCE]
        answers: list[bool] = await unless_cancelled(asyncio.gather(*(_write(db, jobs[id], statuses[id], now) for id in some)))
        written += sum(answers)
    return written


async def _write(db: Database, row: Document, status: str, now: int) -> bool:
    return await store(db, row, status) or await write(db, row["_id"], now)
