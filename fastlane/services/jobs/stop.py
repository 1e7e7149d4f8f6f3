"""Stops: of an execution, of a job, of a whole task."""

import structlog

from fastlane.errors import NotFound
from fastlane.models import transitions
from fastlane.models.execution import Execution
from fastlane.models.job import Job
from fastlane.models.schedule.schedule import ScheduleKind
from fastlane.models.status import UNDER_WAY, Status
from fastlane.queue import base as queues
from fastlane.queue.base import TICKS, Cancelled, Entry
from fastlane.services.jobs.changes import JobChanges, each
from fastlane.services.jobs.results import Stopped, TaskStopped

PAGE, ROUNDS = 200, 10
LATER = 60_000
"""Milliseconds after a task's stop began, from which on a job was made later than it, whosever clock is off: so that a task to which jobs
keep coming can be stopped."""

log = structlog.get_logger()


class Stop(JobChanges):
    """Stops, safe to repeat at every moment."""

    async def stop_job(self, task_id: str, job_id: str) -> Stopped:
        """No further execution of the job starts, and one under way is stopped. Safe to repeat at every moment of its life."""
        return await self._standing(await self._stop_job(task_id, job_id))

    async def stop_execution(self, task_id: str, job_id: str, execution_id: str) -> Stopped:
        """Stops one execution; a final one stays as it ended."""
        await self._job(task_id, job_id)
        execution = await self._store.execution(execution_id)
        if execution is None or execution.job_id != job_id:
            raise NotFound(f"job {job_id} has no execution {execution_id}")
        after = await self._stop(execution)
        return Stopped(task_id, job_id, execution_id, after.status)

    async def stop_task(self, task_id: str) -> TaskStopped:
        """Stops every job of the task that has anything before it, those that were made when it began; how many these were."""
        if await self._store.task(task_id) is None:
            raise NotFound(f"there is no task {task_id!r}")
        latest, count, after = self._clock.now() + LATER, 0, ""
        while page := await self._store.open_jobs(task_id, PAGE, after):
            jobs = [job for job in page if job.created_at <= latest]
            await each(jobs, self._stop_one_of_many)
            count += len(jobs)
            after = page[-1].id
        log.info("task.stop", task_id=task_id, jobs=count)
        return TaskStopped(task_id, count)

    async def _stop_one_of_many(self, job: Job) -> None:
        try:
            await self._stop_job(job.task_id, job.id)
        except NotFound:
            log.debug("job.stop.gone", task_id=job.task_id, job_id=job.id)

    async def _stop_job(self, task_id: str, job_id: str) -> Job:
        await self._job(task_id, job_id)
        job = await self._store.stop_job(job_id, self._clock.now())
        if job is None:
            raise NotFound(f"task {task_id!r} has no job {job_id} any more")
        log.info("job.stop", task_id=task_id, job_id=job_id, sequence=job.stop_sequence)
        if job.schedule.kind is not ScheduleKind.NOW:
            await self._withdraw(job)
        await self._stop_covered(job)
        return job

    async def _stop_covered(self, job: Job) -> None:
        """Stops what is under way, page by page, until a whole look finds nothing new: what ends meanwhile moves the pages."""
        met: set[str] = set()
        for _ in range(ROUNDS):
            fresh = [execution for execution in await self._under_way(job) if execution.id not in met]
            if not fresh:
                return
            for execution in fresh:
                met.add(execution.id)
                await self._stop(execution)
        log.warning("job.stop.unfinished", job_id=job.id, task_id=job.task_id)

    async def _under_way(self, job: Job) -> list[Execution]:
        found: list[Execution] = []
        while True:
            page = await self._store.executions_of(job.id, PAGE, len(found), statuses=UNDER_WAY)
            found += page
            if len(page) < PAGE:
                return [execution for execution in found if job.stops(execution.sequence)]

    async def _stop(self, execution: Execution) -> Execution:
        """One execution, read again as often as somebody else was quicker; each such change moves it forward, so a few times are enough."""
        for _ in range(ROUNDS):
            if execution.status.final:
                return execution
            waits = execution.status is Status.ENQUEUED
            if execution.stop_requested_at is not None and not waits:
                await self._tell(execution, waits=False)
                return execution
            now = self._clock.now()
            change = transitions.cancel(execution, now=now) if waits else transitions.flag_stop(execution, now=now)
            after = await self._store.change(change)
            if after is not None:
                log.info("execution.stop", execution_id=after.id, job_id=after.job_id, task_id=after.task_id, status=after.status)
                await self._tell(after, waits=waits)
                return after
            execution = await self._store.execution(execution.id) or execution
        log.warning("execution.stop.unfinished", execution_id=execution.id, job_id=execution.job_id, task_id=execution.task_id)
        return execution

    async def _tell(self, execution: Execution, *, waits: bool) -> None:
        """The owner hears of it; of one that had none the entry goes, and comes back without a slot so that a worker ends it at once."""
        found = await self._cancel(execution.id)
        if found is Cancelled.REMOVED or (waits and found is not Cancelled.TOLD):
            await self._handover.put([Entry(execution.id, queues.EntryKind.EXECUTION, TICKS, self._clock.now())])
