"""Deletes jobs and whole tasks with their history: what blocks a deletion, and waiting for what stops blocking it by itself."""

from dataclasses import dataclass
from functools import partial

import structlog

from fastlane.errors import Conflict
from fastlane.models.access import Requester
from fastlane.models.event import Event, EventKind
from fastlane.models.execution import Execution
from fastlane.models.ids import derived_id
from fastlane.models.job import ExpectedVersions, Job
from fastlane.services.changes import check_version
from fastlane.services.parts import Service, ServiceParts
from fastlane.services.results import Deleted
from fastlane.services.stops import Stops, in_batches
from fastlane.storage.base import Deletion
from fastlane.storage.lookup import find_job, find_task

PAGE = 200
MAX_WAIT = 20_000
"""Milliseconds for which a deletion waits for stopped executions to end and for workers to finish with ended ones."""
FIRST_PAUSE, MAX_PAUSE = 0.02, 0.5
"""Seconds between two checks of what blocks the deletion; doubled each time."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DeletionBlocker:
    """Why a job cannot be deleted now. ``temporary``: the reason goes away by itself."""

    reason: str
    temporary: bool


class Deletions(Service):
    """Deletes what has ended. A job that has a tick to come or an execution under way is kept; settling and the removal of a service are
    waited for."""

    def __init__(self, parts: ServiceParts, stops: Stops) -> None:
        super().__init__(parts)
        self._stops = stops

    async def delete_job(
        self,
        task_id: str,
        job_id: str,
        *,
        stop: bool = False,
        expected: ExpectedVersions | None = None,
        by: Requester | None = None,
    ) -> Deleted:
        """Deletes a job with its ticks, executions and logs. With ``stop`` it is stopped first and given 20 s to end. Raises NotFound,
        Changed when the job has none of the expected versions as the first write begins, and Conflict with the reason when something blocks
        the deletion; part of the history may be gone by then. Safe to repeat."""
        if stop:
            job, expected = await self._stops.apply(task_id, job_id, expected, by), None
        else:
            job = await find_job(self._store, task_id, job_id)
            check_version(job, job_id, expected)
        await self._delete(job, stop=stop, until=self._clock.now() + MAX_WAIT, expected=expected, by=by)
        return Deleted(task_id, job_id)

    async def delete_task(self, task_id: str, *, stop: bool = False, by: Requester | None = None) -> Deleted:
        """Deletes every job of a task as ``delete_job`` does, then the task. Without ``stop``, nothing is deleted while one of its jobs is
        scheduled or runs."""
        await find_task(self._store, task_id)
        if stop:
            await self._stops.stop_task(task_id, by)
        else:
            await self._check_ended(task_id)
        until = self._clock.now() + MAX_WAIT
        while not await self._store.delete_task(task_id, Event.now(EventKind.TASK_DELETED, self._clock.now(), by, task_id=task_id)):
            jobs = await self._store.jobs_of(task_id, PAGE)
            if not jobs and (task := await self._store.task(task_id)) is not None and task.jobs_count:
                words = f"{task.jobs_count} jobs of task {task_id!r} cannot be read from the store; the log of fastlane names them"
                raise Conflict(words)
            await in_batches(jobs, partial(self._delete, stop=stop, until=until, by=by))
        log.info("task.deleted", task_id=task_id)
        return Deleted(task_id, None)

    async def _check_ended(self, task_id: str) -> None:
        """Raises Conflict for a job that is scheduled or runs, before anything is deleted."""
        after = ""
        while page := await self._store.open_jobs(task_id, PAGE, after):
            for job in page:
                blocker = await self._blocker(job, stop=False)
                if blocker is not None and not blocker.temporary:
                    raise Conflict(blocker.reason)
            after = page[-1].id

    async def _delete(
        self, job: Job, *, stop: bool, until: int, expected: ExpectedVersions | None = None, by: Requester | None = None
    ) -> None:
        """Deletes one job, step by step. Raises Conflict for a blocker that is not temporary, or that is still there at ``until``."""
        pause = FIRST_PAUSE
        while (step := await self._step(job, expected, by)) is not Deletion.DONE:
            expected = None if step is Deletion.MORE else expected
            blocker = await self._blocker(job, stop=stop) if step is Deletion.KEPT else None
            if blocker is None:
                continue
            if not blocker.temporary or self._clock.now() >= until:
                raise Conflict(blocker.reason)
            await self._clock.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE)
        log.info("job.deleted", task_id=job.task_id, job_id=job.id)
        await self._outbox.withdraw(job)

    async def _step(self, job: Job, expected: ExpectedVersions | None, by: Requester | None) -> Deletion:
        now, names = self._clock.now(), {"task_id": job.task_id, "job_id": job.id}
        event = Event.now(EventKind.JOB_DELETED, now, by, id=derived_id(job.incarnation, "deleted"), **names, created=job.created_at)
        return await self._store.delete_job(job.id, job.incarnation, now, expected, event)

    async def _blocker(self, job: Job, *, stop: bool) -> DeletionBlocker | None:
        """What blocks the deletion now; None when nothing does, or when another job has taken the id."""
        current = await self._store.job(job.id)
        if current is None or current.incarnation != job.incarnation:
            return None
        if current.next_tick is not None or current.paused:
            state = "is paused, with a tick to come" if current.paused else "has a tick to come"
            return DeletionBlocker(f"job {job.id} {state}{' again' if stop else ''}; {_advice(stop)}", temporary=False)
        unfinished = await self._store.unfinished(job.task_id, job.id, PAGE)
        blockers = [_blocked_by(current, execution, stop=stop) for execution in unfinished]
        return min(blockers, key=lambda blocker: blocker.temporary, default=None)


def _blocked_by(job: Job, execution: Execution, *, stop: bool) -> DeletionBlocker:
    named = f"execution {execution.id} of job {job.id}"
    if not execution.status.final:
        if job.stops(execution.sequence) or execution.stop_requested_at is not None:
            return DeletionBlocker(f"{named} is stopping; try again when it has ended", temporary=stop)
        return DeletionBlocker(f"{named} is {execution.status}; {_advice(stop)}", temporary=False)
    if not execution.settled:
        reason = f"{named} has ended ({execution.status}), but a worker has not settled it yet; try again in a moment"
        return DeletionBlocker(reason, temporary=True)
    reason = f"the service of {named} has not been removed from the host {execution.host} yet; try again when that host answers"
    return DeletionBlocker(reason, temporary=True)


def _advice(stop: bool) -> str:
    if stop:
        return "it was scheduled or run again after the stop; stop it once more"
    return "stop it first, or delete it with stop=1"
