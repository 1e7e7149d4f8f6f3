"""The commits: a job is made, advanced or stopped by one write of its document, with an intent of what belongs to it.

A commit reads the job's row, completes the intent that it may have, decides, and writes the row back where its ``rev`` is still what it
was. Every write of the row but the end of an intent raises ``rev``. The row keeps the ``ops`` of its last commits, by which a commit
whose answer was lost is recognised. Each function returns the row that it wrote, whose intent the caller is to complete.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from fastlane.clock import unless_cancelled
from fastlane.errors import Conflict
from fastlane.models.event import Event
from fastlane.models.execution import Execution, status_of
from fastlane.models.ids import IdempotencyRecord, nonce
from fastlane.models.job import ExpectedVersions, Job
from fastlane.models.job_change import STOPPED, unfired
from fastlane.models.tick import Outcome, Tick
from fastlane.storage.mongo import idempotency
from fastlane.storage.mongo.commits.intents import Effects, complete, intent_of
from fastlane.storage.mongo.driver.database import Database, Document
from fastlane.storage.mongo.rows import job_row, read_job
from fastlane.storage.mongo.schema import EXECUTIONS, GONE_AT, JOBS, PENDING, TICKS, TO_CHECK, TO_COME

REMEMBERED_OPS = 16
"""Commits of a job whose ops it keeps."""
COMPARED = ("incarnation", "revision", "sequence", "next_tick", "floor", "check_at", "late_since")
"""The fields in which a job must still be as it was seen."""


async def current(db: Database, job_id: str) -> Document | None:
    """A job's row, or its tombstone, without an intent: one that is there is completed."""
    row = await db.one(JOBS, job_id)
    if row is not None and row["intent"] is not None:
        await complete(db, row)
        row = {**row, "intent": None}
    return row


def is_there(row: Document | None) -> bool:
    """Whether a row is a job's, and not a tombstone."""
    return row is not None and GONE_AT not in row


async def create(
    db: Database, job: Job, tick: Tick | None, execution: Execution | None, record: IdempotencyRecord | None
) -> Document | None:
    """Inserts a job. Raises Repeated or Conflict. None: an earlier try had made it, and nothing is left to do."""
    effects = Effects(() if tick is None else (tick,), execution, job.modified_at, record)
    ops: list[str] = []
    while True:
        op = nonce()
        row, is_taken = await _look(db, job.id, effects)
        if _is_own(row, ops):
            return None
        if record is not None:
            await idempotency.reserve(db, record, op, ops, lambda id: current(db, id))
        ops.append(op)
        if is_there(row) or is_taken:
            await _release(db, record, ops)
            raise Conflict("there is a job with this id already, or a tick or an execution that the job is to get")
        if (written := await _write(db, row, job, op, effects, is_new=True)) is not None:
            return written


async def advance(
    db: Database,
    seen: Job,
    job: Job,
    ticks: Sequence[Tick],
    execution: Execution | None,
    record: IdempotencyRecord | None,
    events: Sequence[Event] = (),
) -> tuple[bool, Document | None]:
    """Replaces ``seen`` by ``job``: whether it did, and the row that it wrote. Raises Repeated or Conflict."""
    modified_at = None if job.modified_at == seen.modified_at else job.modified_at
    effects, ops = Effects(ticks, execution, modified_at, record, events), list[str]()
    while True:
        op = nonce()
        row, is_taken = await _look(db, seen.id, effects)
        if _is_own(row, ops):
            return True, None
        if record is not None:
            await idempotency.refuse_repeat(db, record, lambda id: current(db, id))
        if row is None or not is_there(row) or any(row.get(name) != getattr(seen, name) for name in COMPARED):
            await _release(db, record, ops)
            return False, None
        if record is not None:
            await idempotency.reserve(db, record, op, ops, lambda id: current(db, id))
        ops.append(op)
        if is_taken:
            await _release(db, record, ops)
            raise Conflict("there is a tick or an execution already that the job is to get")
        if (written := await _write(db, row, job, op, effects)) is not None:
            return True, written


async def stop(
    db: Database, job_id: str, now: int, expected: ExpectedVersions | None, event: Event | None = None
) -> tuple[Job | None, Document | None]:
    """Gives the job's next sequence to a stop: the job after it, and the row that was written. Raises Changed."""
    ops: list[str] = []
    while True:
        op, row = nonce(), await current(db, job_id)
        if row is None or not is_there(row):
            return None, None
        seen = read_job(row)
        if _is_own(row, ops):
            return seen, None
        if expected is not None:
            expected.check(job_id, seen.version)
        ticks, last = unfired(seen, Outcome.STOPPED, STOPPED, now=now)
        sequence = seen.sequence + 1
        after = replace(seen, sequence=sequence, stop_sequence=sequence, next_tick=None, held_tick=None, last_tick=last, modified_at=now)
        ops.append(op)
        events = () if event is None else (event,)
        if (written := await _write(db, row, after, op, Effects(ticks, None, now, events=events))) is not None:
            return after, written


async def _write(db: Database, row: Document | None, job: Job, op: str, effects: Effects, *, is_new: bool = False) -> Document | None:
    """Writes the job over the row that was read; what was written, None when another commit came before."""
    written = {
        **job_row(job),
        "created_by": None if is_new or row is None else row.get("created_by") or row["requested_by"],
        "rev": 1 if row is None else row["rev"] + 1,
        "ops": [*([] if row is None else row["ops"]), op][-REMEMBERED_OPS:],
        "made": op if row is None else row["made"],
        "intent": intent_of(op, job, effects, is_new=is_new),
        PENDING: True,
    }
    if row is None:
        new = {"job_status": status_of(job, () if effects.execution is None else (effects.execution,)), "status_revision": 1}
        return written | new if await db.insert(JOBS, written | new) else None
    condition = {"rev": row["rev"]}

    def is_mine(stored: Document) -> bool:
        return op in stored["ops"]

    if not is_there(row):
        return written if await db.replace(JOBS, row["_id"], condition, written, is_mine) else None
    values = {name: value for name, value in written.items() if name != "_id"}
    change = {"$set": values, "$unset": {name: "" for name in (TO_COME, TO_CHECK) if name not in values}}  # the status stays
    return written if await db.update(JOBS, row["_id"], condition, change, is_mine) else None


async def _look(db: Database, job_id: str, effects: Effects) -> tuple[Document | None, bool]:
    """A job's row without an intent, and whether a tick or the execution exists already. If one does, the row is from after that: another
    commit from the same row, which gives the same ids, may have come between the two looks."""
    row, is_taken = await unless_cancelled(asyncio.gather(current(db, job_id), _is_taken(db, effects)))
    return (await current(db, job_id) if is_taken else row), is_taken


async def _is_taken(db: Database, effects: Effects) -> bool:
    """Whether a tick or the execution exists already. Their ids derive from the job's incarnation and a key that it uses once, so another
    process cannot insert them between this look and the commit."""
    executions = [] if effects.execution is None else [effects.execution.id]
    found = await unless_cancelled(
        asyncio.gather(db.with_ids(TICKS, [tick.id for tick in effects.ticks], ("_id",)), db.with_ids(EXECUTIONS, executions, ("_id",)))
    )
    return any(found)


def _is_own(row: Document | None, ops: Sequence[str]) -> bool:
    return row is not None and not set(ops).isdisjoint(row["ops"])


async def _release(db: Database, record: IdempotencyRecord | None, ops: Sequence[str]) -> None:
    """Gives the key back that was reserved for the last of these commits: none of them was made, and none can be any more."""
    if record is not None and ops:
        await idempotency.release(db, record, ops[-1])
