"""What a commit leaves to be done, and its completion.

A job's document is the only thing that a commit writes. With it the commit writes an *intent*: the finished documents of its ticks and its
execution, the change of its task, and the record of its request. Afterwards the intent is carried out and taken off the job. So the process
that made it may end at any moment: whoever meets the intent carries it out. All of its parts may be done twice, at once or late:

- ticks and the execution are inserted under ids that derive from the job's incarnation; a second insert does nothing;
- the task's times only grow;
- the record is written only over its own reservation;
- the job's status is computed from what is stored.

A process may sleep between reading an intent and carrying it out, while others carry it out, and delete the job with all that it had. When
it wakes, it inserts again what was deleted. It notices in the end, since the intent is no longer on the job, and removes what it inserted.
If it ends before that, nothing runs either: such an execution belongs to no job, and a tick is shown only of its own incarnation.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog

from fastlane.clock import unless_cancelled
from fastlane.models.event import Event
from fastlane.models.execution import Execution
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.job import Job
from fastlane.models.tick import Tick
from fastlane.storage.mongo import idempotency, statuses, tasks
from fastlane.storage.mongo.driver.database import Database, Document
from fastlane.storage.mongo.rows import event_row, execution_row, record_row, tick_row
from fastlane.storage.mongo.schema import EVENTS, EXECUTIONS, GONE_AT, JOBS, PENDING, TICKS

log = structlog.get_logger()

AT_ONCE = 16
"""Intents that are completed side by side."""


_FIELDS = ("intent", "incarnation", "sequence", "job_status", GONE_AT)


@dataclass(frozen=True, slots=True)
class Effects:
    """What belongs to a commit beside the job: rows of its ledger, the execution of one of them, when its task changed (None: it did not),
    the record of its request, and what is recorded of it."""

    ticks: Sequence[Tick] = ()
    execution: Execution | None = None
    task_modified_at: int | None = None
    record: IdempotencyRecord | None = None
    events: Sequence[Event] = ()


def intent_of(op: str, job: Job, effects: Effects, *, is_new: bool) -> Document:
    """An intent as it is stored with the job of its commit. ``is_new``: the commit makes the job, and perhaps its task."""
    return {
        "op": op,
        "task_id": job.task_id,
        "task_modified_at": effects.task_modified_at,
        "is_new": is_new,
        "ticks": [tick_row(tick, job.incarnation, op) for tick in effects.ticks],
        "execution": None if effects.execution is None else execution_row(effects.execution, op),
        "record": None if effects.record is None else record_row(effects.record),
        "events": [event_row(event) for event in effects.events],
    }


async def complete(db: Database, job: Document) -> None:
    """Carries out the intent on a job's row as it was read, and takes it off the job."""
    intent = job["intent"]
    made_task, *_ = await unless_cancelled(
        asyncio.gather(
            tasks.change(db, intent["task_id"], intent["task_modified_at"], is_new=intent["is_new"]),
            idempotency.finish(db, intent["record"], intent["op"]),
            db.insert_missing(TICKS, intent["ticks"]),
            db.insert_missing(EVENTS, intent.get("events", ())),
        )
    )
    if intent["execution"] is not None:  # after its tick, which whoever settles the execution may close
        await db.insert_missing(EXECUTIONS, [intent["execution"]])
    if GONE_AT not in job and not (intent["is_new"] and job.get("job_status")):  # a new job comes with its status
        await statuses.write(db, job["_id"])
    cleared = await db.update(JOBS, job["_id"], {"intent.op": intent["op"]}, {"$set": {"intent": None}, "$unset": {PENDING: ""}})
    if not cleared:
        await _undo_if_late(db, job, made_task=bool(made_task))


async def complete_pending(db: Database, seen: Iterable[str] | None = None) -> set[str]:
    """Completes all intents, or those whose ``op`` is among ``seen``. Returns the ops of all."""
    rows = await db.find(JOBS, {PENDING: True}, "jobs_pending", fields=_FIELDS)
    chosen = [row for row in rows if seen is None or row["intent"]["op"] in seen]
    for start in range(0, len(chosen), AT_ONCE):
        await unless_cancelled(asyncio.gather(*(complete(db, row) for row in chosen[start : start + AT_ONCE])))
    return {row["intent"]["op"] for row in rows}


async def _undo_if_late(db: Database, job: Document, *, made_task: bool) -> None:
    """Somebody else completed the intent. If its job, or all that it had until then, was deleted since, removes what was inserted again.
    (Retention may have raised the floor since, too, but only up to what is older.)"""
    intent = job["intent"]
    stored = await db.one(JOBS, job["_id"], ("incarnation", "floor", GONE_AT))
    is_there = stored is not None and GONE_AT not in stored and stored["incarnation"] == job.get("incarnation")
    if is_there and stored is not None and stored["floor"] < max(1, job["sequence"]):
        return
    log.info("store.late_intent_undone", job_id=job["_id"])
    if intent["ticks"]:
        await db.delete(TICKS, {"_id": {"$in": [tick["_id"] for tick in intent["ticks"]]}})
    if intent["execution"] is not None:  # unless a worker has claimed it, which finds that it belongs to no job
        await db.delete(EXECUTIONS, {"_id": intent["execution"]["_id"], "epoch": 0})
    if made_task:  # it stays when it has a job
        await tasks.delete(db, intent["task_id"])
