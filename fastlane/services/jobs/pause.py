"""Pause a job's schedule, and releasing it."""

import structlog

from fastlane.errors import Conflict
from fastlane.models import job_change
from fastlane.models.job import Job
from fastlane.models.job_change import JobChange
from fastlane.services.jobs.changes import JobChanges
from fastlane.services.jobs.results import Stopped

log = structlog.get_logger()


class Pause(JobChanges):
    """Pauses jobs, and lets them go on. What runs is left alone by both."""

    async def pause(self, task_id: str, job_id: str) -> Stopped:
        """No tick of the job fires until it is resumed; safe to repeat. Raises Conflict when it has no tick to come."""

        async def step(seen: Job, now: int) -> JobChange | None:
            if seen.paused:
                return None
            if seen.next_tick is None:
                raise Conflict(f"job {job_id} has no tick to come, so there is nothing to pause; a PUT gives it a schedule")
            return JobChange(job_change.pause(seen, now=now))

        job = (await self._bring_on(task_id, job_id, step)).job
        log.info("job.paused", task_id=task_id, job_id=job_id, held_tick=job.held_tick)
        await self._withdraw(job)
        return await self._standing(job)

    async def resume(self, task_id: str, job_id: str) -> Stopped:
        """A paused job goes on: at its moment, at once where that has passed, or at its cron's next tick. Another job stays as it is."""

        async def step(seen: Job, now: int) -> JobChange | None:
            return job_change.resume(seen, now=now) if seen.paused else None

        await self._handover.ready()
        advance = await self._bring_on(task_id, job_id, step)
        log.info("job.resumed", task_id=task_id, job_id=job_id, next_tick=advance.job.next_tick, rows=len(advance.ticks))
        await self._hand_over(None, advance.job)
        return await self._standing(advance.job)
