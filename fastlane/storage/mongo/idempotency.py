"""Idempotency records. A record and the effect of its request are two documents, and the job decides whether there was an effect.

1. A request *reserves* its key: it inserts the record, not ``done`` yet, with the ``op`` of the commit that is to follow.
2. The commit writes the job, with that ``op`` among its ``ops``, and the record in its intent.
3. The completion of the intent makes the record ``done``. No other commit of the job comes before that, so until then the ``op`` is on it.

A process may end after any of these. Another process that finds a reservation waits for a moment, and then looks at the job. If the ``op``
is there, the request had its effect, and the intent is completed. Otherwise the process raises the job's ``rev`` (or inserts a tombstone if
there is no job), and takes the key over. If the first process was only asleep, it has read that ``rev`` before it reserved: its commit now
fails.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime

from fastlane.clock import unless_cancelled
from fastlane.errors import Repeated
from fastlane.models.ids import DAY, IdempotencyRecord, nonce
from fastlane.storage import records
from fastlane.storage.mongo.database import Database, Document
from fastlane.storage.mongo.rows import GONE, GONE_AT, JOBS, RECEIPTS, document, read

MAX_FORGOTTEN = 100
"""Old records that are deleted with each new one at most."""
PATIENCE, PAUSE = 1.0, 0.02
"""Seconds that another's reservation is left alone, and between two looks at it."""

ReadJob = Callable[[str], Awaitable[Document | None]]
"""Reads a job's row, completing its intent."""


async def get(db: Database, key: str, since: int, read_job: ReadJob) -> IdempotencyRecord | None:
    """The record of a key, if it was written at that moment or later, and its request had its effect."""
    row = await db.one(RECEIPTS, key)
    if row is None or row["created_at"] < since:
        return None
    return read(records.RECEIPTS, row) if row["done"] or await _has_effect(row, read_job) else None


async def refuse_repeat(db: Database, record: IdempotencyRecord, read_job: ReadJob) -> None:
    """Raises Repeated when a request with this key has had its effect within a day."""
    if await get(db, record.key, record.created_at - DAY, read_job) is not None:
        raise _repeated()


async def reserve(db: Database, record: IdempotencyRecord, op: str, own: Collection[str], read_job: ReadJob) -> None:
    """Reserves the key for the commit ``op``, whose job's row was read before. ``own``: the ops of this request's earlier tries. Raises
    Repeated when another request with the key has had its effect within a day."""
    row = {**document(records.RECEIPTS, record, op), "op": op, "done": False}
    now, until = asyncio.get_running_loop().time, dict[str, float]()
    other: Document | None = None
    while True:
        if other is None and await db.insert(RECEIPTS, row):
            return
        other = await db.one(RECEIPTS, record.key)
        if other is None:
            continue
        is_old = other["created_at"] < record.created_at - DAY
        if not is_old and other["done"]:
            raise _repeated()
        if not is_old and other["op"] not in own:
            if now() < until.setdefault(other["op"], now() + PATIENCE) and not await _has_effect(other, read_job):
                await asyncio.sleep(PAUSE)
                continue
            if await _revoke(db, other, read_job):
                raise _repeated()
        if await db.replace(RECEIPTS, record.key, {"op": other["op"]}, row, lambda stored: stored["op"] == op):
            return


async def release(db: Database, record: IdempotencyRecord, op: str) -> None:
    """Gives the key back: its request is refused."""
    await db.delete(RECEIPTS, {"_id": record.key, "op": op})


async def finish(db: Database, record: Document | None, op: str) -> None:
    """Makes the reservation for the commit ``op`` a record: its request has had its effect. Deletes old ones."""
    if record is not None:
        done = db.update(RECEIPTS, record["_id"], {"op": op}, {"$set": {"done": True}})
        await unless_cancelled(asyncio.gather(done, _forget(db, record["created_at"] - DAY)))


async def _has_effect(reservation: Document, read_job: ReadJob) -> bool:
    job = await read_job(reservation["job_id"])
    return job is not None and reservation["op"] in job["ops"]


async def _revoke(db: Database, reservation: Document, read_job: ReadJob) -> bool:
    """Makes sure that the reservation's commit cannot be made any more. Returns whether it was made before."""
    while True:
        job = await read_job(reservation["job_id"])
        if job is None:
            if await db.insert(JOBS, tombstone(reservation["job_id"], 1)):
                return False
        elif reservation["op"] in job["ops"]:
            return True
        elif await db.update(JOBS, job["_id"], {"rev": job["rev"]}, {"$inc": {"rev": 1}}):
            return False


def tombstone(job_id: str, rev: int) -> Document:
    """A row for a job that does not exist, or no longer exists. It keeps a process that slept from making the job; it is removed after a
    week."""
    return {"_id": job_id, "rev": rev, "ops": [], "intent": None, "made": nonce(), GONE_AT: datetime.now(UTC), "job_status": GONE}


async def _forget(db: Database, before: int) -> None:
    old = await db.find(RECEIPTS, {"created_at": {"$lt": before}}, "receipts_by_age", limit=MAX_FORGOTTEN, fields=("created_at",))
    if old:
        await db.delete(RECEIPTS, {"_id": {"$in": [row["_id"] for row in old]}, "created_at": {"$lt": before}})


def _repeated() -> Repeated:
    return Repeated("a request with this key had its effect already")
