"""Pauses and resumes a job's schedule."""

import structlog

from fastlane.errors import Conflict
from fastlane.models import job_change
from fastlane.models.access import Requester
from fastlane.models.event import EventKind
from fastlane.models.job import Job
from fastlane.models.job_change import JobChange
from fastlane.services.jobs.changes import JobChanges
from fastlane.services.jobs.outbox import QueueOutbox
from fastlane.services.results import CurrentStatus

log = structlog.get_logger()


class JobPauses:
    """Pauses and resumes jobs. Executions that are under way are left alone."""

    def __init__(self, outbox: QueueOutbox, changes: JobChanges) -> None:
        self._outbox = outbox
        self._changes = changes

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
