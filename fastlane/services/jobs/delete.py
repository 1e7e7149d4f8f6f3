"""Delete jobs and whole tasks with their history: when it may be done, and the waiting until it may."""

from dataclasses import dataclass
from functools import partial

import structlog

from fastlane.errors import Conflict, NotFound
from fastlane.models.execution import Execution
from fastlane.models.job import Job
from fastlane.services.jobs.changes import each
from fastlane.services.jobs.results import Deleted
from fastlane.services.jobs.stop import Stop
from fastlane.storage.base import Deletion

PAGE = 200
PATIENCE = 20_000
"""Milliseconds for which a deletion waits for what ends by itself: what was told to stop, and what follows an end."""
FIRST_LOOK, LONGEST_LOOK = 0.02, 0.5
"""Seconds between two looks at what is awaited, doubled each time."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DeletionBlocker:
    """Why a job cannot be deleted now, in words. ``passes``: it goes away by itself."""

    words: str
    passes: bool


class Delete(Stop):
    """Deletes what has come to its end. While something of it runs, or is to, it is kept; what still follows an end (settling, the removal
    of the service) is waited for."""

    async def delete_job(self, task_id: str, job_id: str, *, stop: bool = False) -> Deleted:
        """Deletes a job with its ledger, executions and logs; with ``stop`` it is stopped first, and its end waited for, 20 s at most.
        Raises Conflict, whose words say what stands in the way; a part of the history may be gone then. Safe to repeat."""
        job = await (self._stop_job(task_id, job_id) if stop else self._job(task_id, job_id))
        await self._delete(job, stop=stop, until=self._clock.now() + PATIENCE)
        return Deleted(task_id, job_id)

    async def delete_task(self, task_id: str, *, stop: bool = False) -> Deleted:
        """Deletes every job of a task as ``delete_job`` does, then the task. Without ``stop``, nothing is deleted while a job of it is
        scheduled or runs."""
        if await self._store.task(task_id) is None:
            raise NotFound(f"there is no task {task_id!r}")
        if stop:
            await self.stop_task(task_id)
        else:
            await self._check_open(task_id)
        until = self._clock.now() + PATIENCE
        while not await self._store.delete_task(task_id):
            jobs = await self._store.jobs_of(task_id, PAGE)
            await each(jobs, partial(self._delete, stop=stop, until=until))
        log.info("task.deleted", task_id=task_id)
        return Deleted(task_id, None)

    async def _check_open(self, task_id: str) -> None:
        """Raises Conflict for a job that is scheduled or runs, before anything is deleted."""
        after = ""
        while page := await self._store.open_jobs(task_id, PAGE, after):
            for job in page:
                obstacle = await self._obstacle(job, stop=False)
                if obstacle is not None and not obstacle.passes:
                    raise Conflict(obstacle.words)
            after = page[-1].id

    async def _delete(self, job: Job, *, stop: bool, until: int) -> None:
        """Deletes one job, slice by slice. Raises Conflict when what is in the way does not pass, or has not by that moment."""
        look = FIRST_LOOK
        while (step := await self._store.delete_job(job.id, job.incarnation, self._clock.now())) is not Deletion.DONE:
            obstacle = await self._obstacle(job, stop=stop) if step is Deletion.KEPT else None
            if obstacle is None:
                continue
            if not obstacle.passes or self._clock.now() >= until:
                raise Conflict(obstacle.words)
            await self._clock.sleep(look)
            look = min(look * 2, LONGEST_LOOK)
        log.info("job.deleted", task_id=job.task_id, job_id=job.id)
        await self._withdraw(job)

    async def _obstacle(self, job: Job, *, stop: bool) -> DeletionBlocker | None:
        """What keeps the job from being deleted now; None when nothing does, or another job has its id by now."""
        now = await self._store.job(job.id)
        if now is None or now.incarnation != job.incarnation:
            return None
        if now.next_tick is not None or now.paused:
            state = "is paused, with a tick to come" if now.paused else "has a tick to come"
            return DeletionBlocker(f"job {job.id} {state}{' again' if stop else ''}; {_advice(stop)}", passes=False)
        unfinished = await self._store.unfinished(job.task_id, job.id, PAGE)
        obstacles = [_obstacle_of(now, execution, stop=stop) for execution in unfinished]
        return min(obstacles, key=lambda obstacle: obstacle.passes, default=None)


def _obstacle_of(job: Job, execution: Execution, *, stop: bool) -> DeletionBlocker:
    named = f"execution {execution.id} of job {job.id}"
    if not execution.status.final:
        if stop and job.stops(execution.sequence):
            return DeletionBlocker(f"{named} was told to stop and is still {execution.status}; try again when it has ended", passes=True)
        return DeletionBlocker(f"{named} is {execution.status}; {_advice(stop)}", passes=False)
    if not execution.settled:
        return DeletionBlocker(
            f"{named} has ended ({execution.status}), and a worker has yet to settle it; try again in a moment", passes=True
        )
    words = f"the service of {named} is not removed from the host {execution.host} yet; try again when that host answers"
    return DeletionBlocker(words, passes=True)


def _advice(stop: bool) -> str:
    if stop:
        return "it was armed or run again after the stop; stop it once more"
    return "stop it first, or delete it with stop=1"
