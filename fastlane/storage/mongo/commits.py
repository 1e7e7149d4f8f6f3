"""Commits, and the stored status that follows them. A job is made, advanced or stopped by one write of its document. The write includes an
intent, which lists everything else that belongs to the commit, and is carried out afterwards.

A commit reads the job's row, completes the intent that it may have, decides, and writes the row back if its ``rev`` has not changed. Every
write of the row except the end of an intent raises ``rev``. The row keeps the ``ops`` of its last commits, by which a commit whose answer
was lost is recognised. Each function returns the row that it wrote, whose intent the caller must complete.

The intent has the finished documents of the ticks and the execution, the change of the task, and the record of the request. So the process
that made it may end at any moment: another process that finds the intent carries it out, and removes it from the job. A change of the job
does so at once. Lists, and the rounds of each process, leave the intent to the process that made it for a moment (``LEFT_AFTER``), since
most intents are carried out within it. All of its parts may be done twice, at the same time or late:

- ticks and the execution are inserted under ids that derive from the job's incarnation; a second insert does nothing;
- the task's times only grow, and each carrying out leaves its own seal there;
- the record is written only over its own reservation;
- the job's status is computed from what is stored.

The caller of a commit has its answer once the intent is carried out. It is taken off the job after that, in the background. The job's next
commit in the same process waits for that (``Finisher.finished``).

A process may sleep between reading an intent and carrying it out, while others carry it out, and delete the job with everything that it
had. When it wakes, it inserts deleted documents again. It notices that in the end, since the intent is no longer on the job, and removes
what it inserted; a task that it made, only while that has its seal, since a task stays without its last job. If it ends before that,
nothing runs either: the execution belongs to no job, and a tick is shown only for its own incarnation.

An intent that is damaged keeps only its own job from being changed: lists and rounds pass over it, and the log names the job.

A job's status is written after each write that may change it. It is computed from the stored rows, and written if ``status_revision`` is
the same as before these were read; each write raises it. So of two simultaneous writers the later one has seen both writes. A process that
dies in between leaves the status outdated: ``jobs`` finds it, and the intent of a commit is only over once its job has its status.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence, Set
from functools import partial
from typing import Any

import structlog

from fastlane.clock import unless_cancelled
from fastlane.errors import Conflict, FastlaneError, NotUnique, TransientError, Unreadable
from fastlane.models.cron import Cron
from fastlane.models.event import Event
from fastlane.models.ids import IdempotencyRecord, nonce
from fastlane.models.job import Execution, Job, JobBounds, Spec, depends_on_latest, job_status, standing, status_of
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import FINAL, Status
from fastlane.models.tick import Tick
from fastlane.storage import records
from fastlane.storage.mongo import idempotency, stored_counts
from fastlane.storage.mongo.database import Database, Document, KeyedLock
from fastlane.storage.mongo.rows import (
    BORN,
    EVENTS,
    EXECUTIONS,
    FOLLOWS,
    GONE_AT,
    JOBS,
    LATE,
    NAMES_CALENDARS,
    PENDING,
    TASKS,
    TICKS,
    TO_CHECK,
    TO_COME,
    TO_COUNT,
    UNDER_WAY,
    document,
    read,
)
from fastlane.storage.pages import words_of
from fastlane.storage.records import Commit, Effects, readable
from fastlane.storage.values import MANUAL

log = structlog.get_logger()

PATIENCE = 2.0
"""Seconds that the caller of a write waits until the status has followed it. The write is made, so it succeeds in any case."""

MAX_CLAIMED = 4_096
"""Jobs whose rows are kept from the claim of an execution to its end."""

JOB_FIELDS = (
    *("task_id", "created_at", "incarnation", "floor", "stop_sequence", "armed", "next_tick", "held_tick", "is_cron", "expiration"),
    "schedule",
    *("sequence", "rev", "job_status", "status_revision", GONE_AT, "late_since", LATE),
)
"""The fields of a job that decide its status and whether it is late, both, and the numbers by which a change of either is noticed."""
NEWEST = [("sequence", -1), ("attempt", -1)]
_ENDED = {"status": {"$in": sorted(FINAL)}}
_CRON = Schedule(ScheduleKind.CRON, None, Cron("@daily"))
_FLAGS = (TO_COME, TO_CHECK, LATE, FOLLOWS, NAMES_CALENDARS)
_ONCE, _MANUAL = Schedule(), Schedule(ScheduleKind.MANUAL)


class JobStatuses:
    """Lets statuses follow this process's writes. Writes of one job that end at the same time share what follows.

    The status of most jobs follows from the one execution that this process claimed. So the claim keeps the job's row, and while nobody
    has changed the job or its status, the next changes of this execution need no look at what is stored.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._locks = KeyedLock()
        self._claimed: dict[str, Document] = {}
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def show_claim(self, before: Execution, after: Execution) -> Document | None:
        """Writes the status of a job whose latest execution is claimed at the same time, if the job still shows the status of before. The
        row that it returns has the job's bounds.

        It may come late, after another process took the execution over. Then the claimer's next change is refused, and the status is
        computed (``follow_refused``).
        """
        condition = {**_shows(before), "floor": {"$lt": after.sequence}, "job_status": before.status.value}
        change = {"$set": {"job_status": after.status.value, TO_COUNT: True}, "$inc": {"status_revision": 1}}
        return await self._db.change(JOBS, after.job_id, condition, change, JOB_FIELDS)

    async def follow_claim(self, after: Execution, row: Document | None) -> JobBounds | None:
        """Writes the status after a claim, unless it is in this row, and returns the job's bounds. None when the job is gone."""
        if row is not None and job_status(job_of(row), after.status) == after.status:
            self._claimed[after.job_id] = row
            if len(self._claimed) > MAX_CLAIMED:
                del self._claimed[next(iter(self._claimed))]
            return bounds_of(row)
        found = await whole(self._db, after.job_id)
        await self.follow(after.job_id)
        return found

    async def follow_change(self, changed: Execution) -> None:
        """Writes the status after this change of an execution."""
        with contextlib.suppress(FastlaneError):
            if await self._db.call(lambda: self._write_claimed(changed), PATIENCE):
                return
        await self.follow(changed.job_id)

    async def follow_refused(self, job_id: str) -> None:
        """Writes the status of a job if this process claimed an execution of it: another has taken it over."""
        if job_id in self._claimed:
            await self.follow(job_id)

    async def follow(self, job_id: str) -> None:
        """Writes the job's status as it is after what was written before this call. Returns without an error when that takes long or
        fails: the reconciler finds it."""
        self._claimed.pop(job_id, None)
        task = self._waiting.get(job_id)
        if task is None:
            task = self._waiting[job_id] = asyncio.create_task(self._write(job_id), name="job status")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        await asyncio.wait({task}, timeout=PATIENCE)

    async def close(self) -> None:
        """Waits until the writes that have begun are done."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _write(self, job_id: str) -> None:
        try:
            async with self._locks.hold(job_id):
                del self._waiting[job_id]  # it reads from here on: a later write needs another
                await self._db.call(lambda: write(self._db, job_id))
        except FastlaneError as error:
            log.warning("store.status_left", job_id=job_id, error=str(error))

    async def _write_claimed(self, changed: Execution) -> bool:
        """Writes the status if the row that the claim kept tells it; False, and nothing written, otherwise."""
        row = self._claimed.get(changed.job_id)
        if row is None or changed.is_waiting or not _shows(changed).items() <= row.items():
            return False
        latest = changed.status
        if latest.final and (changed.sequence, changed.attempt) != (1, 1):  # the first of all has no other beside it
            latest = await under_way_status(self._db, row) or latest
        status = job_status(job_of(row), latest)
        if not await store(self._db, row, status, rev=row["rev"]):
            return False
        if latest.final:
            self._claimed.pop(changed.job_id, None)
        else:
            self._claimed[changed.job_id] = {**row, "job_status": status, "status_revision": row["status_revision"] + 1}
        return True


def _shows(execution: Execution) -> Mapping[str, Any]:
    """The fields of a job whose latest number is this execution's."""
    return {"incarnation": execution.incarnation, "sequence": execution.sequence}


async def write(db: Database, job_id: str, now: int = 0) -> bool:
    """Stores a job's status. Returns whether another one was stored. Does nothing when the job is gone."""
    while True:
        row = await db.one(JOBS, job_id, JOB_FIELDS)
        if row is None or GONE_AT in row:
            return False
        status = job_status(job_of(row), await _latest(db, row, now), now)
        if await store(db, row, status):
            return status != row.get("job_status")


async def store(db: Database, row: Document, status: str, **also: Any) -> bool:
    """Writes a status that was computed from this row of a job, and from executions that were read after it. False when another was
    written meanwhile, or the job was made anew, or has not ``also`` these values."""
    seen = row.get("status_revision")
    condition = {"incarnation": row["incarnation"], "status_revision": seen, **also}
    after = {"job_status": status, "status_revision": (seen or 0) + 1}
    change = {"$set": {**after, TO_COUNT: True}}
    return await db.update(JOBS, row["_id"], condition, change, lambda stored: after.items() <= stored.items())


async def _latest(db: Database, row: Document, now: int) -> Status | None:
    """The status of the execution that stands for a job; None where it has none, or where its end does not matter."""
    if (status := await under_way_status(db, row)) is not None:
        return status
    if not depends_on_latest(job_of(row), now):
        return None
    filter = {"job_id": row["_id"], **_ENDED}
    ended = await db.find(EXECUTIONS, filter, "executions_of_job", sort=NEWEST, limit=1, fields=("status",))
    return Status(ended[0]["status"]) if ended else None


async def under_way_status(db: Database, row: Document) -> Status | None:
    """The status of the execution under way that stands for the job of this row. One that has ended since it was found does not."""
    found = await db.find(EXECUTIONS, {"job_id": row["_id"], UNDER_WAY: True}, "executions_under_way")
    under_way = (execution for execution in readable(found, partial(read, records.EXECUTIONS)) if not execution.status.final)
    one = standing(under_way, bounds_of(row))
    return None if one is None else one.status


def bounds_of(row: Mapping[str, Any]) -> JobBounds:
    """The bounds in a job's row. Raises Unreadable when the row is damaged."""
    try:
        return JobBounds(row["incarnation"], row["floor"], row["stop_sequence"])
    except KeyError as error:
        raise _damaged(row, error) from None


def job_of(row: Document) -> Job:
    """A job with all that its status follows from, and nothing else: to read it whole takes ten times as long. Raises Unreadable when the
    row is damaged."""
    try:
        return Job(
            id=row["_id"],
            task_id=row["task_id"],
            incarnation=row["incarnation"],
            created_at=row["created_at"],
            modified_at=0,
            spec=Spec("", expiration=row["expiration"]),
            schedule=_CRON if row["is_cron"] else _MANUAL if row["schedule"].startswith(MANUAL) else _ONCE,
            stop_sequence=row["stop_sequence"],
            armed=row["armed"],
            next_tick=row["next_tick"],
            held_tick=row["held_tick"],
            floor=row["floor"],
            late_since=row.get("late_since"),
        )
    except KeyError as error:
        raise _damaged(row, error) from None


def _damaged(row: Mapping[str, Any], error: KeyError) -> Unreadable:
    return Unreadable(f"job {row['_id']} cannot be read from the store: it has no {error.args[0]}")


AT_ONCE = 16
"""Intents that are completed concurrently."""
LEFT_AFTER = 1.5
"""Seconds for which lists leave an intent to the process that made it. Its caller has its answer later (``PATIENCE``) when the intent is
not completed by then, so no list lacks what was answered before."""


_FIELDS = ("intent", "incarnation", "sequence", "job_status", GONE_AT)


def intent_of(op: str, commit: Commit) -> Document:
    """An intent as it is stored with the job of its commit."""
    effects = commit.effects
    incarnation = "" if commit.job is None else commit.job.incarnation
    return {
        "op": op,
        "made_at": round(time.time() * 1000),
        "task_id": commit.task_id,
        "task_modified_at": commit.task_modified_at,
        "is_new": commit.seen is None,
        "ticks": [tick_row(tick, incarnation, op) for tick in effects.ticks],
        "execution": None if effects.execution is None else document(records.EXECUTIONS, effects.execution, op),
        "record": None if effects.record is None else document(records.RECEIPTS, effects.record, op),
        "events": [document(records.EVENTS, event, op) for event in effects.events],
    }


def tick_row(tick: Tick, incarnation: str, made: str) -> Document:
    """A tick with its job's incarnation, so that a tick that is inserted late is not shown for another job under the same id."""
    return {**document(records.TICKS, tick, made), "incarnation": incarnation}


_PARTS: Mapping[str, Any] = {"op": str, "task_id": str, "task_modified_at": int | None, "is_new": bool, "ticks": list}
"""The parts of an intent that are not documents, and the lists of documents."""


def read_intent(job: Document) -> Document:
    """The intent on a job's row. Raises Unreadable when it is damaged."""
    intent = job.get("intent")
    if isinstance(intent, dict) and all(name in intent and isinstance(intent[name], kind) for name, kind in _PARTS.items()):
        documents = [*intent["ticks"], *(intent[name] for name in ("execution", "record") if intent.get(name) is not None)]
        if isinstance(events := intent.get("events", []), list):
            documents += events
            if all(isinstance(one, dict) and isinstance(one.get("_id"), str) for one in documents):
                return {"execution": None, "record": None, **intent}
    raise Unreadable(f"the last change of job {job['_id']} cannot be finished: its intent is damaged")


async def complete(db: Database, job: Document) -> None:
    """Carries out the intent on a job's row as it was read, and takes it off the job. Raises Unreadable when the intent is damaged."""
    await clear(db, job, await carry_out(db, job))


async def carry_out(db: Database, job: Document) -> str | None:
    """Does what the intent on a job's row says, as far as it is not done. Returns the seal of the task if it made that. Raises Unreadable
    when the intent is damaged."""
    intent = read_intent(job)
    seal, *_ = await unless_cancelled(
        asyncio.gather(
            change_task(db, intent["task_id"], intent["task_modified_at"], is_new=intent["is_new"]),
            idempotency.finish(db, intent["record"], intent["op"]),
            db.insert_missing(TICKS, intent["ticks"]),
            db.insert_missing(EVENTS, intent.get("events", ())),
            db.insert_missing(EXECUTIONS, [] if intent["execution"] is None else [intent["execution"]]),
        )
    )
    if GONE_AT not in job and not (intent["is_new"] and job.get("job_status")):  # a new job comes with its status
        await write(db, job["_id"])
    return seal


async def clear(db: Database, job: Document, seal: str | None) -> None:
    """Takes the intent on a job's row off, which was carried out with this result."""
    intent = read_intent(job)
    cleared = await db.update(JOBS, job["_id"], {"intent.op": intent["op"]}, {"$set": {"intent": None}, "$unset": {PENDING: ""}})
    if not cleared:
        await _undo_if_late(db, job, seal)


async def complete_readable(db: Database, rows: Sequence[Document]) -> dict[str, FastlaneError]:
    """Completes the intents on these rows. Returns why others cannot be completed, by job: they are damaged, or the store refuses them."""
    failed: dict[str, FastlaneError] = {}

    async def complete_one(row: Document) -> None:
        try:
            await complete(db, row)
        except TransientError:
            raise
        except FastlaneError as error:
            failed[row["_id"]] = error

    for start in range(0, len(rows), AT_ONCE):
        await unless_cancelled(asyncio.gather(*(complete_one(row) for row in rows[start : start + AT_ONCE])))
    return failed


async def pending(db: Database, which: Mapping[str, Any]) -> list[Document]:
    """The rows of jobs with these intents."""
    return await db.find(JOBS, {PENDING: True, **which}, "jobs_pending", fields=_FIELDS)


async def complete_pending(db: Database, which: Mapping[str, Any] | None = None) -> None:
    """Completes these intents, or else those that were left behind. Passes over damaged ones, which the ``Finisher`` reports."""
    if which is not None:
        await complete_readable(db, await pending(db, which))
        return

    async def left() -> None:
        await complete_readable(db, await pending(db, {"intent.made_at": {"$not": {"$gt": round((time.time() - LEFT_AFTER) * 1000)}}}))

    await db.joined("pending", left)


async def _undo_if_late(db: Database, job: Document, seal: str | None) -> None:
    """Handles an intent that another process completed. If its job, or everything that it had until then, was deleted since, removes the
    documents that were inserted again. (Retention may have raised the floor since, too, but only over older executions.)"""
    intent = job["intent"]
    stored = await db.one(JOBS, job["_id"], ("incarnation", "floor", GONE_AT))
    is_there = stored is not None and GONE_AT not in stored and stored["incarnation"] == job.get("incarnation")
    if is_there and stored is not None and stored["floor"] < max(1, job["sequence"]):
        return
    log.info("store.late_intent_undone", job_id=job["_id"])
    if intent["ticks"]:
        await db.delete(TICKS, {"_id": {"$in": [tick["_id"] for tick in intent["ticks"]]}})
    if intent["execution"] is not None:  # unless a worker has claimed it, which finds that it belongs to no job
        await stored_counts.delete(db, [intent["execution"]["_id"]], {"epoch": 0})
    if seal is not None:  # it stays when it has a job, and when somebody has changed it since
        await delete_task(db, intent["task_id"], seal=seal)


REMEMBERED_OPS = 16
"""Commits of a job whose ops it keeps."""


async def current(db: Database, job_id: str) -> Document | None:
    """A job's row, or its tombstone, without an intent: an existing one is completed first. Raises Unreadable when it is damaged."""
    row = await db.one(JOBS, job_id)
    if row is not None and row.get("intent") is not None:
        await complete(db, row)
        row = {**row, "intent": None}
    return row


def is_there(row: Document | None) -> bool:
    """Whether a row is a job's, and not a tombstone."""
    return row is not None and GONE_AT not in row


async def commit_job(db: Database, commit: Commit) -> tuple[bool, Document | None]:
    """Makes a commit. Returns whether it was made, and the row that was written; None when an earlier try had written it, and nothing is
    left to do. Raises Repeated or Conflict, of which NotUnique is one."""
    record, ops = commit.effects.record, list[str]()
    while True:
        op = nonce()
        row, is_taken = await _look(db, commit.job_id, commit.effects)
        if await _is_own(db, row, ops, commit.effects):
            return True, None
        if not _is_as_seen(row, commit.seen):
            if record is not None:
                await idempotency.refuse_repeat(db, record, lambda id: current(db, id))
                await _release(db, record, ops)
            if commit.seen is None:
                raise Conflict("there is a job with this id already")
            return False, None
        if record is not None:
            await idempotency.reserve(db, record, op, ops, lambda id: current(db, id))
        ops.append(op)
        if is_taken:
            await _release(db, record, ops)
            raise Conflict("there is a tick or an execution already that the job is to get")
        try:
            written = await _write(db, row, commit, op)
        except NotUnique:
            await _release(db, record, ops)
            raise
        if written is not None:
            return True, written


def _is_as_seen(row: Document | None, seen: Mapping[str, Any] | None) -> bool:
    """Whether the stored job has these values; None: whether there is none."""
    if seen is None or row is None or not is_there(row):
        return seen is None and not is_there(row)
    return all(row.get(name) == value for name, value in seen.items())


async def _write(db: Database, row: Document | None, commit: Commit, op: str) -> Document | None:
    """Writes the job over the row that was read. Returns the new row, None when another commit came before. That may be this one, when the
    answer to its first try was lost (``_is_own``)."""
    job, effects, is_new = commit.job, commit.effects, commit.seen is None
    more = {"rev": 1 if row is None else row["rev"] + 1, "intent": intent_of(op, commit), PENDING: True}

    if job is None:
        gone = {**idempotency.tombstone(commit.job_id, 0), **more, "ops": [op], **stored_counts.carried(row)}
        return gone if row and await db.replace(JOBS, commit.job_id, stored_counts.as_counted(row), gone) else None
    written = {
        **document(records.JOBS, job, op),
        "created_by": None if is_new or row is None else row.get("created_by") or row["requested_by"],
        "ops": [*([] if row is None else row["ops"]), op][-REMEMBERED_OPS:],
        "made": op if row is None else row["made"],
        **more,
    }
    if row is None:
        new = {"job_status": status_of(job, () if effects.execution is None else (effects.execution,)), "status_revision": 1}
        return written | new if await db.insert(JOBS, written | new) else None
    condition = {"rev": row["rev"]}
    if not is_there(row):
        written |= stored_counts.carried(row)
        return written if await db.replace(JOBS, row["_id"], stored_counts.as_counted(row), written) else None
    values = {name: value for name, value in written.items() if name != "_id"}
    change = {"$set": values, "$unset": {name: "" for name in _FLAGS if name not in values}}  # the status stays
    return written if await db.update(JOBS, row["_id"], condition, change) else None


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


async def _is_own(db: Database, row: Document | None, ops: Sequence[str], effects: Effects) -> bool:
    """Whether one of these earlier tries, whose answers were lost, made the commit. When other commits followed, the job may have forgotten
    its op. Then the commit's ticks and events have it: they were inserted before the next commit."""
    if not ops or (row is not None and not set(ops).isdisjoint(row["ops"])):
        return bool(ops)
    found = await unless_cancelled(
        asyncio.gather(
            db.with_ids(TICKS, [tick.id for tick in effects.ticks], ("made",)),
            db.with_ids(EVENTS, [event.id for event in effects.events], ("made",)),
        )
    )
    return any(one.get("made") in ops for some in found for one in some.values())


async def _release(db: Database, record: IdempotencyRecord | None, ops: Sequence[str]) -> None:
    """Gives back the key that was reserved for the last of these commits: none of them was made, and none can be made any more."""
    if record is not None and ops:
        await idempotency.release(db, record, ops[-1])


ROUND = 2.0
"""Seconds between two checks for intents. One that is seen twice was left behind."""
ALONE = 0.5
"""Seconds for which a change or a read of a job waits until the commit before it is complete in the same process."""


class Finisher:
    """Owns the tasks that complete intents."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._running: set[asyncio.Task[None]] = set()
        self._own: set[str] = set()
        self._of_job: dict[str, asyncio.Task[None]] = {}
        self._damaged: frozenset[str] = frozenset()
        self._rounds: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to look for intents that were left behind."""
        self._rounds = asyncio.create_task(self._look(), name="intents")

    async def close(self) -> None:
        """Ends when what was begun is done."""
        if self._rounds is not None:
            self._rounds.cancel()
            await asyncio.gather(self._rounds, return_exceptions=True)
        await asyncio.gather(*self._running, return_exceptions=True)

    async def finish(self, job: Document | None) -> None:
        """Carries out the intent of a commit; it is taken off the job after that. Returns without an error when that takes long or fails:
        it is done later."""
        if job is None:
            return
        done = asyncio.Event()
        task = self._of_job[job["_id"]] = asyncio.create_task(self._complete(job, done), name="intent")
        self._running.add(task)
        task.add_done_callback(partial(self._forget, job["_id"]))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await done.wait()

    async def finished(self, *job_ids: str) -> None:
        """Waits for a moment until this process has completed the commits that it made of these jobs, which otherwise are done twice."""
        if tasks := {self._of_job[id] for id in job_ids if id in self._of_job}:
            await asyncio.wait(tasks, timeout=ALONE)

    def _forget(self, job_id: str, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._of_job.get(job_id) is task:
            del self._of_job[job_id]

    async def _complete(self, job: Document, done: asyncio.Event) -> None:
        op = job["intent"]["op"]
        self._own.add(op)
        try:
            seal = await self._db.call(lambda: carry_out(self._db, job))
            done.set()
            await self._db.call(lambda: clear(self._db, job, seal))
        except FastlaneError as error:
            log.warning("store.intent_left", job_id=job["_id"], error=str(error))
        finally:
            done.set()
            self._own.discard(op)

    async def _look(self) -> None:
        seen: set[tuple[str, str]] = set()
        while True:
            await asyncio.sleep(ROUND)
            try:
                seen = await self._db.call(partial(self._complete_left, seen))
            except FastlaneError as error:
                log.debug("store.intents_not_read", error=str(error))
            except Exception:
                log.exception("store.intents_failed")

    async def _complete_left(self, seen: Set[tuple[str, str]]) -> set[tuple[str, str]]:
        """Completes the intents that were seen before and that this process is not completing just now. Returns all intents."""
        found = {(row["_id"], _op_of(row)): row for row in await pending(self._db, {})}
        failed = await complete_readable(self._db, [row for key, row in found.items() if key in seen and key[1] not in self._own])
        for job_id in failed.keys() - self._damaged:
            log.error("store.intent_damaged", job_id=job_id, error=str(failed[job_id]))
        self._damaged = frozenset(failed)
        return set(found)


def _op_of(row: Document) -> str:
    intent = row.get("intent")
    return str(intent.get("op")) if isinstance(intent, dict) else ""


A_FEW_JOBS, TASKS_AT_ONCE = 4, 16
"""Jobs for each task that are looked at to find empty tasks, and tasks that are asked for concurrently."""
_MARK, _SEAL = "deletion", "seal"
"""Fields of a task: it is being deleted; a nonce of the last change, by which the process that made the task in vain recognises it."""


async def change_task(db: Database, task_id: str, modified_at: int | None, *, is_new: bool) -> str | None:
    """Records a change of one of the task's jobs in the task. ``is_new``: a new job, which makes the task if necessary. Returns the seal of
    a task that it made."""
    if modified_at is None:
        return None
    seal = nonce()
    times = {"$max": {"modified_at": modified_at}, "$set": {_SEAL: seal}, "$unset": {_MARK: ""}}
    if not is_new:
        await db.update(TASKS, task_id, {}, times)
        return None
    first = {"created_at": modified_at, **new_task(task_id)}
    return seal if await db.upsert(TASKS, task_id, {**times, "$setOnInsert": first}) else None


async def delete_task(db: Database, task_id: str, event: Event | None = None, *, seal: str | None = None) -> bool:
    """Deletes a task without jobs; False when it has any. The event is recorded before the task goes. ``seal``: only if nobody has changed
    the task since.

    A deletion and a new job may come at once. The deletion marks the task, looks for jobs once more, and deletes the task only with its
    mark. A new job's task is changed after the job is stored, and that takes the mark away, or makes the task again. So either the deletion
    sees the job, or the task is there after both.
    """
    if await _has_jobs(db, task_id):
        return False
    mark = nonce()
    same = {} if seal is None else {_SEAL: seal}
    if not await db.update(TASKS, task_id, same, {"$set": {_MARK: mark}}, lambda row: row.get(_MARK) == mark):
        return True
    if await _has_jobs(db, task_id):
        await db.update(TASKS, task_id, {}, {"$unset": {_MARK: ""}})
        return False
    await db.insert_missing(EVENTS, [] if event is None else [document(records.EVENTS, event)])
    await stored_counts.delete(db, [task_id], {_MARK: mark}, kind=TASKS)
    return True


async def delete_empty_tasks(db: Database, task_ids: Sequence[str]) -> None:
    """Deletes the tasks among these that have no jobs, as ``delete_task`` does, all at once. The mark of one that has jobs stays."""
    mark = nonce()
    await db.update_all(TASKS, task_ids, {"$set": {_MARK: mark}})
    if empty := await _without_jobs(db, task_ids):
        await stored_counts.delete(db, empty, {_MARK: mark}, kind=TASKS)


async def _without_jobs(db: Database, task_ids: Sequence[str]) -> list[str]:
    """The tasks among these that have no jobs. A look at a few jobs tells, unless some tasks have many: then others are asked for one by
    one."""
    most = A_FEW_JOBS * len(task_ids)
    rows = await db.find(JOBS, {"task_id": {"$in": list(task_ids)}}, "jobs_of_task", limit=most, fields=("task_id",))
    having = {row["task_id"] for row in rows}
    unseen = [id for id in task_ids if id not in having] if len(rows) == most else []
    for start in range(0, len(unseen), TASKS_AT_ONCE):
        some = unseen[start : start + TASKS_AT_ONCE]
        found = await unless_cancelled(asyncio.gather(*(_has_jobs(db, id) for id in some)))
        having |= {id for id, has_jobs in zip(some, found, strict=True) if has_jobs}
    return [id for id in task_ids if id not in having]


async def _has_jobs(db: Database, task_id: str) -> bool:
    return bool(await db.find(JOBS, {"task_id": task_id}, "jobs_of_task", limit=1, fields=("task_id",)))


def new_task(task_id: str) -> Document:
    """What a task has from its beginning: the words by which it is found, and what ``stored_counts`` needs."""
    return {"words": sorted(set(words_of(task_id))), TO_COUNT: True, BORN: nonce()}


_BOUNDS = ("incarnation", "floor", "sequence", "stop_sequence", "intent", GONE_AT)


async def bounds_of_all(db: Database, job_ids: Sequence[str]) -> dict[str, JobBounds]:
    """The bounds of several jobs, by id. Their intents are completed first, so that their executions can be read afterwards; a damaged one
    is passed over."""
    rows = await db.with_ids(JOBS, job_ids, _BOUNDS)
    await complete_readable(db, [row for row in rows.values() if row.get("intent") is not None])
    return {id: bounds_of(row) for id, row in rows.items() if is_there(row)}


async def whole(db: Database, job_id: str) -> JobBounds | None:
    """A job's bounds once its intent is completed: the documents of its last commit can be read now."""
    return (await bounds_of_all(db, [job_id])).get(job_id)
