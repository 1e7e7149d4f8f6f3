"""Stops an execution, a job, or every job of a task. Deletes jobs and whole tasks with their history: what blocks a deletion, and waiting
for what stops blocking it by itself."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from fastlane.clock import Clock
from fastlane.errors import Conflict, NotFound
from fastlane.models.access import Requester
from fastlane.models.event import Event, EventKind
from fastlane.models.ids import derived_id
from fastlane.models.job import Execution, ExpectedVersions, Job
from fastlane.models.schedule import ScheduleKind
from fastlane.models.status import UNDER_WAY, Status
from fastlane.queue.executions import Stopper
from fastlane.services.jobs import JobChanges, check_version
from fastlane.services.outbox import QueueOutbox
from fastlane.services.parts import Service, ServiceParts
from fastlane.services.results import CurrentStatus, Deleted, TaskStopped
from fastlane.storage.base import Deletion, Store, find_execution, find_job, find_task, no_such_job

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
        await self.follow(job, by)
        return job

    async def follow(self, job: Job, by: Requester | None = None) -> None:
        """Does what follows the stop of a job that is written: its entry goes, and what runs of it is stopped."""
        if job.schedule.kind is not ScheduleKind.NOW:
            await self._outbox.withdraw(job)
        await self._stop_executions(job, by)

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


MAX_WAIT = 20_000
"""Milliseconds for which a deletion waits for stopped executions to end and for workers to finish with ended ones."""
MOST_FOLLOWERS = 100
"""Jobs that followed a deleted one that the answer names."""
FIRST_PAUSE, MAX_PAUSE = 0.02, 0.5
"""Seconds between two checks of what blocks the deletion; doubled each time."""


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
        job = await find_job(self._store, task_id, job_id)
        check_version(job, job_id, expected)
        await self._check_not_declared(job)
        if stop:
            job, expected = await self._stops.apply(task_id, job_id, expected, by), None
        elif (backfill := await self._store.backfills.current(job, self._clock.now())) is not None and not backfill.ended_at:
            raise Conflict(f"backfill {backfill.request} of job {job_id} is under way; {_advice(stop)}")
        await self._delete(job, stop=stop, until=self._clock.now() + MAX_WAIT, expected=expected, by=by)
        followers = [one for one in await self._store.followers(job_id, MOST_FOLLOWERS) if one.id != job_id]
        for one in followers:
            log.warning("chain.upstream_deleted", task_id=one.task_id, job_id=one.id, after=job_id)
        return Deleted(task_id, job_id, tuple((one.task_id, one.id) for one in followers))

    async def delete_task(self, task_id: str, *, stop: bool = False, by: Requester | None = None) -> Deleted:
        """Deletes every job of a task as ``delete_job`` does, then the task. Without ``stop``, nothing is deleted while one of its jobs is
        scheduled or runs."""
        await find_task(self._store, task_id)
        await self._check_none_declared(task_id)
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

    async def _check_none_declared(self, task_id: str) -> None:
        """Raises Conflict for a job that a service declares, before anything is stopped."""
        after = ""
        while page := await self._store.jobs_of_services(PAGE, after):
            for job in page:
                if job.task_id == task_id:
                    await self._check_not_declared(job)
            after = page[-1].id

    async def _check_not_declared(self, job: Job) -> None:
        """Raises Conflict for a job that would come back. A stopped one does not while no worker reads the labels of its swarm."""
        if not job.is_declared or job.source is None:
            return
        swarms = (job.source.swarm_id, None)  # None: a host whose swarm is not known yet
        readers = [report for report in await self._reports.current() if report.reads_labels]
        if job.stopped and not any(view.swarm_id in swarms for report in readers for view in report.hosts):
            return
        words = "remove them, and it stops and can be deleted; or stop it first, while no worker reads the labels of its swarm"
        raise Conflict(f"job {job.id} is declared by the labels of the service {job.source.service!r}; {words}")

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
