"""Changes a job by compare-and-set: reads it, decides by a pure rule, writes, and starts over when another process wrote first."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog

from fastlane.errors import Conflict, StoreDown, Unreadable
from fastlane.models import job_change, transitions
from fastlane.models.access import Requester
from fastlane.models.event import EventKind
from fastlane.models.execution import Execution
from fastlane.models.ids import IdempotencyKey, IdempotencyRecord
from fastlane.models.job import ExpectedVersions, Job, Spec, job_status
from fastlane.models.job_change import JobChange
from fastlane.models.schedule import Overlap, Schedule
from fastlane.queue.executions import WaitingQuotas
from fastlane.services.admission import Idempotency, admit, enqueued, record_of
from fastlane.services.parts import Service, ServiceParts
from fastlane.services.results import CurrentStatus, Enqueued
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


class JobChanges(Service):
    """Applies changes to jobs in the store. The caller tells the queue afterwards."""

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


Edit = Callable[[Job, int], tuple[Spec, Schedule]]
"""What a job runs and when, after a change of the job that was read, at a moment (milliseconds). Raises Invalid."""


class JobService(Service):
    """Gives a service what changes a job, and what lets a request with an idempotency key have its effect once."""

    def __init__(self, parts: ServiceParts) -> None:
        super().__init__(parts)
        self._changes = JobChanges(parts)
        self._idempotency = Idempotency(parts)
        self._quotas = WaitingQuotas(parts.queue, parts.store, parts.pools)


class Edits(JobService):
    """Changes jobs. A change that another process made in between is kept: the edit is made again to what the job is then.

    Both methods raise NotFound, Changed when the job has none of the expected versions, and what the edit raises. A new start makes the job
    active again, as ``Submissions.put`` does, and raises the same; any other change leaves its next tick, pause and stop as they are.
    """

    async def preview(self, task_id: str, job_id: str, edit: Edit, expected: ExpectedVersions | None = None) -> JobChange:
        """The change that ``edit`` would write. Writes nothing."""
        return self._change(await find_job(self._store, task_id, job_id), edit, self._clock.now(), None, expected)

    async def edit(
        self,
        task_id: str,
        job_id: str,
        edit: Edit,
        by: Requester | None = None,
        key: IdempotencyKey | None = None,
        expected: ExpectedVersions | None = None,
    ) -> Enqueued:
        """Changes the job. Raises KeyReused for a known idempotency key with another body; with the same body the first answer comes
        again."""

        async def step(seen: Job, now: int) -> JobChange:
            return self._change(seen, edit, now, by, expected)

        async def apply() -> Enqueued:
            await self._outbox.check()
            change = await self._changes.apply(task_id, job_id, step, partial(record_of, key))
            await self._outbox.enqueue(change.execution, change.job)
            await self._outbox.enqueue(await self._changes.release_waiting(change.job))
            if change.job.next_tick is None:
                await self._outbox.withdraw(change.job)
            log.info("job.edited", task_id=task_id, job_id=job_id, revision=change.job.revision, next_tick=change.job.next_tick)
            return enqueued(change)

        return await self._idempotency.run_once(key, apply)

    def _change(self, seen: Job, edit: Edit, now: int, by: Requester | None, expected: ExpectedVersions | None) -> JobChange:
        check_version(seen, seen.id, expected)
        spec, schedule = edit(seen, now)
        if _would_revive(seen, spec, schedule):
            raise Conflict(f"job {seen.id} has expired, and a later expiration alone does not schedule it again; send a PUT")
        if not schedule.starts_as(seen.schedule) or _admitted(spec) != _admitted(seen.spec):
            admit(self._pools, seen.task_id, spec)
        return job_change.edit(seen, spec, schedule, now=now, by=by).told(EventKind.JOB_CHANGED, now, by, how="PATCH")


def _would_revive(job: Job, spec: Spec, schedule: Schedule) -> bool:
    """Whether only the expiration of a cron changes that has no run to come because of it."""
    over = job.next_tick is None and not job.stopped and not job.paused and schedule.cron is not None
    return over and schedule.starts_as(job.schedule) and spec.expiration != job.spec.expiration


def _admitted(spec: Spec) -> tuple[object, ...]:
    """What of a spec a pool may refuse. The rest changes even when the pool has since become stricter."""
    return spec.resources, spec.container, spec.timeout


class JobPauses(JobService):
    """Pauses and resumes jobs. Executions that are under way are left alone."""

    async def pause(self, task_id: str, job_id: str, by: Requester | None = None) -> CurrentStatus:
        """Lets no tick of the job fire until it is resumed; safe to repeat. Raises NotFound, and Conflict when the job has no tick
        to come."""

        async def step(seen: Job, now: int) -> JobChange | None:
            if seen.paused:
                return None
            if seen.next_run(now) is None:
                raise Conflict(f"job {job_id} has no tick to come, so there is nothing to pause; a PUT gives it a schedule")
            return JobChange(job_change.pause(seen, now=now)).told(EventKind.JOB_PAUSED, now, by)

        job = (await self._changes.apply(task_id, job_id, step)).job
        log.info("job.paused", task_id=task_id, job_id=job_id, held_tick=job.held_tick)
        await self._outbox.withdraw(job)
        return await self._changes.current_status(job)

    async def resume(self, task_id: str, job_id: str, by: Requester | None = None) -> CurrentStatus:
        """Resumes a paused job: at its due time, at once when that has passed, or at its cron's next tick. A job that is not paused stays
        as it is. Raises NotFound, and Conflict when it was stopped."""

        async def step(seen: Job, now: int) -> JobChange | None:
            if seen.stopped:
                raise Conflict(f"job {job_id} was stopped, so there is nothing to resume; a PUT gives it a schedule again")
            return job_change.resume(seen, now=now).told(EventKind.JOB_RESUMED, now, by) if seen.paused else None

        await self._outbox.check()
        change = await self._changes.apply(task_id, job_id, step)
        log.info("job.resumed", task_id=task_id, job_id=job_id, next_tick=change.job.next_tick, rows=len(change.ticks))
        await self._outbox.enqueue(None, change.job)
        return await self._changes.current_status(change.job)
