"""Stops an execution, a job, or every job of a task."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import structlog

from fastlane.clock import Clock
from fastlane.errors import NotFound
from fastlane.models.access import Requester
from fastlane.models.event import Event, EventKind
from fastlane.models.execution import Execution
from fastlane.models.ids import derived_id
from fastlane.models.job import ExpectedVersions, Job
from fastlane.models.schedule import ScheduleKind
from fastlane.models.status import UNDER_WAY, Status
from fastlane.queue.executions import Stopper
from fastlane.services.changes import JobChanges
from fastlane.services.outbox import QueueOutbox
from fastlane.services.results import CurrentStatus, TaskStopped
from fastlane.storage.base import Store
from fastlane.storage.lookup import find_execution, find_job, find_task, no_such_job

T = TypeVar("T")

BATCH = 16
"""Jobs of a task that are worked on at once."""


async def in_batches(items: Sequence[T], act: Callable[[T], Awaitable[object]]) -> None:
    """Acts on all items, a batch at a time. Raises the first error after the rest of its batch has finished."""
    for start in range(0, len(items), BATCH):
        results = await asyncio.gather(*(act(item) for item in items[start : start + BATCH]), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result


PAGE, ROUNDS = 200, 10
CLOCK_SKEW = 60_000
"""Milliseconds after the start of a task's stop. A job that was created later than that, by whichever machine's clock, is not stopped, so
that the stop of a task that keeps getting jobs comes to an end."""

log = structlog.get_logger()


class Stops:
    """Stops. Every method raises NotFound and is safe to repeat at any time."""

    def __init__(self, store: Store, outbox: QueueOutbox, clock: Clock, changes: JobChanges) -> None:
        self._store = store
        self._outbox = outbox
        self._clock = clock
        self._changes = changes
        self._stopper = Stopper(store, clock, outbox)

    async def stop_job(
        self, task_id: str, job_id: str, expected: ExpectedVersions | None = None, by: Requester | None = None
    ) -> CurrentStatus:
        """Lets no further execution of the job start, and stops those that are under way. Raises Changed when the job has none of the
        expected versions."""
        return await self._changes.current_status(await self.apply(task_id, job_id, expected, by))

    async def stop_execution(self, task_id: str, job_id: str, execution_id: str, by: Requester | None = None) -> CurrentStatus:
        """Stops one execution; a final one stays as it ended."""
        await find_job(self._store, task_id, job_id)
        after = await self._stop(await find_execution(self._store, task_id, job_id, execution_id), by)
        return CurrentStatus(task_id, job_id, execution_id, after.status, after.is_stopping)

    async def stop_task(self, task_id: str, by: Requester | None = None) -> TaskStopped:
        """Stops every job of the task that has a tick to come or an execution under way, except jobs created during the call."""
        await find_task(self._store, task_id)
        now = self._clock.now()
        await self._store.add_events([Event.now(EventKind.TASK_STOPPED, now, by, task_id=task_id)])
        latest, count, after = now + CLOCK_SKEW, 0, ""
        while page := await self._store.open_jobs(task_id, PAGE, after):
            jobs = [job for job in page if job.created_at <= latest]
            await in_batches(jobs, partial(self._stop_one_of_many, by=by))
            count += len(jobs)
            after = page[-1].id
        log.info("task.stop", task_id=task_id, jobs=count)
        return TaskStopped(task_id, count)

    async def apply(self, task_id: str, job_id: str, expected: ExpectedVersions | None = None, by: Requester | None = None) -> Job:
        """Stops the job as ``stop_job`` does; the job after it."""
        await find_job(self._store, task_id, job_id)
        now = self._clock.now()
        event = Event.now(EventKind.JOB_STOPPED, now, by, task_id=task_id, job_id=job_id)
        job = await self._store.stop_job(job_id, now, expected, event)
        if job is None:
            raise no_such_job(task_id, job_id)
        log.info("job.stop", task_id=task_id, job_id=job_id, sequence=job.stop_sequence)
        if job.schedule.kind is not ScheduleKind.NOW:
            await self._outbox.withdraw(job)
        await self._stop_executions(job, by)
        return job

    async def _stop_one_of_many(self, job: Job, by: Requester | None) -> None:
        try:
            await self.apply(job.task_id, job.id, by=by)
        except NotFound:
            log.debug("job.stop.gone", task_id=job.task_id, job_id=job.id)

    async def _stop_executions(self, job: Job, by: Requester | None) -> None:
        """Stops what is under way until a whole listing shows nothing new: executions that end during the call shift the pages."""
        known: set[str] = set()
        for _ in range(ROUNDS):
            new = [execution for execution in await self._under_way(job) if execution.id not in known]
            if not new:
                return
            for execution in new:
                known.add(execution.id)
                await self._stop(execution, by)
        log.warning("job.stop.unfinished", job_id=job.id, task_id=job.task_id)

    async def _under_way(self, job: Job) -> list[Execution]:
        found: list[Execution] = []
        while True:
            page = await self._store.executions_of(job.id, PAGE, len(found), statuses=UNDER_WAY)
            found += page
            if len(page) < PAGE:
                return [execution for execution in found if job.stops(execution.sequence) and execution.belongs_to(job)]

    async def _stop(self, execution: Execution, by: Requester | None) -> Execution:
        """Stops one execution, and reads it again when another process changed it first. Each change moves its status forward, so a few
        rounds are enough. The event with the requester is written before, so that no execution is stopped without a trace."""
        for _ in range(ROUNDS):
            if execution.status.final:
                return execution
            if execution.stop_requested_at is not None and execution.status is not Status.ENQUEUED:
                await self._stopper.pass_on(execution)
                return execution
            await self._store.add_events([_asked(execution, self._clock.now(), by)])
            after = await self._stopper.stop(execution)
            if after is not None:
                log.info("execution.stop", execution_id=after.id, job_id=after.job_id, task_id=after.task_id, status=after.status)
                return after
            execution = await self._store.execution(execution.id) or execution
        log.warning("execution.stop.unfinished", execution_id=execution.id, job_id=execution.job_id, task_id=execution.task_id)
        return execution


def _asked(execution: Execution, now: int, by: Requester | None) -> Event:
    """That somebody asked for the stop of an execution; the first who did so."""
    ids = {"task_id": execution.task_id, "job_id": execution.job_id, "execution_id": execution.id}
    return Event.now(EventKind.EXECUTION_STOP, now, by, id=derived_id(execution.id, "stop"), **ids)
