"""Changes a job by compare-and-set: reads it, decides by a pure rule, writes, and starts over when another process wrote first."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from fastlane.clock import Clock
from fastlane.errors import StoreDown, Unreadable
from fastlane.models import transitions
from fastlane.models.execution import Execution
from fastlane.models.idempotency import IdempotencyRecord
from fastlane.models.job import ExpectedVersions, Job, job_status
from fastlane.models.job_change import JobChange
from fastlane.models.schedule.schedule import Overlap
from fastlane.services.results import CurrentStatus
from fastlane.storage.base import Store
from fastlane.storage.lookup import find_job

log = structlog.get_logger()

T = TypeVar("T")
Step = Callable[[Job, int], Awaitable[JobChange | None]]
"""Decides on a change of the job that was read, at a moment (milliseconds). None leaves the job as it is."""
Record = Callable[[JobChange, int], IdempotencyRecord | None]
"""Makes the record that is written with a change, for a request that has an idempotency key."""

MAX_TRIES = 200
"""Writes that may lose to another process's before a job counts as too busy."""


def check_version(seen: Job | None, job_id: str, expected: ExpectedVersions | None) -> None:
    """Raises Changed when a request expects another version of the job than the one that was read."""
    if expected is not None:
        expected.check(job_id, None if seen is None else seen.version)


def no_record(_change: JobChange, _now: int) -> None:
    """For requests without an idempotency key."""


class JobChanges:
    """Applies changes to jobs in the store. The caller tells the queue afterwards."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def apply(self, task_id: str, job_id: str, step: Step, record: Record = no_record) -> JobChange:
        """Applies ``step`` to the job and returns what was written, together with ``record``. Reads the job again and repeats the step when
        another process changed it in between. Raises NotFound."""

        async def write() -> JobChange | None:
            seen, now = await find_job(self._store, task_id, job_id), self._clock.now()
            change = await step(seen, now)
            if change is None:
                return JobChange(seen)
            return change if await self.replace(seen, change, record(change, now)) else None

        return await until_written(job_id, write)

    async def replace(self, seen: Job, change: JobChange, record: IdempotencyRecord | None) -> bool:
        """Writes the change, if the job is still as it was ``seen``."""
        events = change.recorded(self._clock.now())
        return await self._store.advance(seen, change.job, change.ticks, change.execution, record, events)

    async def release_waiting(self, job: Job) -> Execution | None:
        """Lets the job's execution that waits for others go on, now that the job allows overlap. Returns what the queue is to be told. The
        job has been written by then, so a store that is down fails nothing: a worker looks again in half a minute."""
        if job.schedule.overlap is not Overlap.ALLOW:
            return None
        try:
            waiting = await self._store.waiting(job.id)
            released = None if waiting is None else await self._store.change(transitions.release(waiting))
        except (StoreDown, Unreadable) as error:
            log.warning("execution.release_deferred", task_id=job.task_id, job_id=job.id, error=str(error))
            return None
        if released is not None:
            log.info("execution.released", task_id=released.task_id, job_id=job.id, execution_id=released.id)
        return released

    async def current_status(self, job: Job) -> CurrentStatus:
        """The job's status, by its latest execution."""
        latest = (await self._store.latest([job.id])).get(job.id)
        status = job_status(job, latest.status if latest else None, self._clock.now())
        return CurrentStatus(job.task_id, job.id, None, status, latest is not None and latest.is_stopping)


async def until_written(job_id: str, write: Callable[[], Awaitable[T | None]]) -> T:
    """Repeats a read and write of a job until the write wins (``write`` returns something). Raises StoreDown when it never does."""
    for _ in range(MAX_TRIES):
        if (written := await write()) is not None:
            return written
    raise StoreDown(f"job {job_id} changes too often just now; try again")
