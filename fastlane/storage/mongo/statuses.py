"""A job's stored status, which is written after each write that may change it.

The status is computed after the write from the stored rows, and written if ``status_revision`` is the same as before these were read; each
write raises it. So of two simultaneous writers the later one has seen both writes. A process that dies in between leaves the status
outdated: ``jobs`` finds it, and the intent of a commit is only over once its job has its status.
"""

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import structlog

from fastlane.errors import FastlaneError
from fastlane.models.cron import Cron
from fastlane.models.job import Execution, Job, JobBounds, Spec, depends_on_latest, job_status, standing
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import FINAL, Status
from fastlane.storage import records
from fastlane.storage.mongo.database import Database, Document, Turns
from fastlane.storage.mongo.rows import read
from fastlane.storage.mongo.schema import EXECUTIONS, GONE_AT, JOBS, UNDER_WAY
from fastlane.storage.rows import readable

log = structlog.get_logger()

PATIENCE = 2.0
"""Seconds that the caller of a write waits until the status has followed it. The write is made, so it succeeds in any case."""

JOB_FIELDS = (
    *("task_id", "created_at", "incarnation", "floor", "stop_sequence", "armed", "next_tick", "held_tick", "is_cron", "expiration"),
    *("job_status", "status_revision", GONE_AT),
)
"""The fields of a job that decide its status, and the status."""
NEWEST = [("sequence", -1), ("attempt", -1)]
_ENDED = {"status": {"$in": sorted(FINAL)}}
_CRON = Schedule(ScheduleKind.CRON, None, Cron("@daily"))
_ONCE = Schedule()


class JobStatuses:
    """Lets statuses follow this process's writes. Writes of one job that end at the same time share what follows."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._turns = Turns()
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def follow(self, job_id: str) -> None:
        """Writes the job's status as it is after what was written before this call. Returns without an error when that takes long or
        fails: the reconciler finds it."""
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
            async with self._turns.turn(job_id):
                del self._waiting[job_id]  # it reads from here on: a later write needs another
                await self._db.call(lambda: write(self._db, job_id))
        except FastlaneError as error:
            log.warning("store.status_left", job_id=job_id, error=str(error))


async def write(db: Database, job_id: str, now: int = 0) -> bool:
    """Stores a job's status. Returns whether another one was stored. Does nothing when the job is gone."""
    while True:
        row = await db.one(JOBS, job_id, JOB_FIELDS)
        if row is None or GONE_AT in row:
            return False
        status = job_status(job_of(row), await _latest(db, row, now), now)
        if await store(db, row, status):
            return status != row.get("job_status")


async def store(db: Database, row: Document, status: str) -> bool:
    """Writes a status that was computed from this row of a job, and from executions that were read after it. False when another was
    written meanwhile, or the job was made anew."""
    seen = row.get("status_revision")
    condition = {"incarnation": row["incarnation"], "status_revision": seen}
    after = {"job_status": status, "status_revision": (seen or 0) + 1}
    return await db.update(JOBS, row["_id"], condition, {"$set": after}, lambda stored: after.items() <= stored.items())


async def _latest(db: Database, row: Document, now: int) -> Status | None:
    """The status of the execution that stands for a job; None where it has none, or where its end does not matter."""
    of_job = {"job_id": row["_id"]}
    under_way = await db.find(EXECUTIONS, {**of_job, UNDER_WAY: True}, "executions_under_way")
    if (one := standing_of(row, readable(under_way, partial(read, records.EXECUTIONS)))) is not None:
        return one.status
    if not depends_on_latest(job_of(row), now):
        return None
    ended = await db.find(EXECUTIONS, {**of_job, **_ENDED}, "executions_of_job", sort=NEWEST, limit=1, fields=("status",))
    return Status(ended[0]["status"]) if ended else None


def standing_of(row: Document, under_way: Iterable[Execution]) -> Execution | None:
    """Which of these stands for the job of this row; one that has ended since it was found does not."""
    return standing((execution for execution in under_way if not execution.status.final), bounds_of(row))


def bounds_of(row: Mapping[str, Any]) -> JobBounds:
    """The bounds in a job's row."""
    return JobBounds(row["incarnation"], row["floor"], row["stop_sequence"])


def job_of(row: Document) -> Job:
    """A job with all that its status follows from, and nothing else: to read it whole takes ten times as long."""
    return Job(
        id=row["_id"],
        task_id=row["task_id"],
        incarnation=row["incarnation"],
        created_at=row["created_at"],
        modified_at=0,
        spec=Spec("", expiration=row["expiration"]),
        schedule=_CRON if row["is_cron"] else _ONCE,
        stop_sequence=row["stop_sequence"],
        armed=row["armed"],
        next_tick=row["next_tick"],
        held_tick=row["held_tick"],
        floor=row["floor"],
    )
