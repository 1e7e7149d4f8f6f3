"""Creates jobs and replaces them: POST and PUT."""

from dataclasses import dataclass, replace

import structlog

from fastlane.errors import Conflict
from fastlane.models import job_change
from fastlane.models.access import Requester
from fastlane.models.container import Resources
from fastlane.models.event import EventKind
from fastlane.models.ids import IdempotencyKey, new_id
from fastlane.models.job import ExpectedVersions, Job, Spec, next_runs
from fastlane.models.job_change import JobChange
from fastlane.models.pool import Pool, pool_for
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.services.admission import admit, enqueued, record_of
from fastlane.services.changes import JobService, check_version, until_written
from fastlane.services.parts import Service
from fastlane.services.reads.pools import HostRow, host_rows
from fastlane.services.results import Enqueued

log = structlog.get_logger()


class Submissions(JobService):
    """Takes jobs that clients submit, new ones and new versions.

    Both methods raise Invalid when no pool takes the task, Forbidden when the pool does not allow the container that the spec asks for,
    TooMany when it is to run at once and as many wait as the pool allows, and KeyReused for a known idempotency key with another body. A
    known key with the same body gets the first answer and changes nothing.
    """

    async def enqueue(
        self, task_id: str, spec: Spec, schedule: Schedule, by: Requester | None = None, key: IdempotencyKey | None = None
    ) -> Enqueued:
        """Creates a job of the task, and the task if it is new. ``by`` is who asks for it."""

        async def create() -> Enqueued:
            await self._admit(task_id, spec, schedule)
            now = self._clock.now()
            change = job_change.create(task_id, spec, schedule, id=new_id(now), incarnation=new_id(now), revision=1, now=now, by=by)
            await self._create(change, key)
            await self._outbox.enqueue(change.execution, change.job)
            return _accepted(change)

        return await self._idempotency.run_once(key, create)

    async def put(
        self,
        task_id: str,
        job_id: str,
        spec: Spec,
        schedule: Schedule,
        by: Requester | None = None,
        key: IdempotencyKey | None = None,
        expected: ExpectedVersions | None = None,
    ) -> Enqueued:
        """Creates the job under that id, or replaces its spec and schedule as if it were new: a stopped or paused job is active again, its
        next tick moves, and what runs is left alone. Raises Conflict when another task has the id, and Changed when the job has none of the
        expected versions."""

        async def write() -> tuple[JobChange, bool] | None:
            """What was written, and whether it replaced a job; None when another process created or changed the job at the same time."""
            seen, now = await self._read(task_id, job_id, expected), self._clock.now()
            if seen is None:
                created = create_under(job_id, task_id, spec, schedule, now, by)
                return (created, False) if await self._create_if_absent(created, key) else None
            change = job_change.put(seen, spec, schedule, now=now, by=by).told(EventKind.JOB_CHANGED, now, by, how="PUT")
            return (change, True) if await self._changes.replace(seen, change, record_of(key, change, now)) else None

        async def create_or_replace() -> Enqueued:
            await self._admit(task_id, spec, schedule)
            change, replaced = await until_written(job_id, write)
            await self._outbox.enqueue(change.execution, change.job)
            if replaced:
                await self._outbox.enqueue(await self._changes.release_waiting(change.job))
            if replaced and change.job.next_tick is None:
                await self._outbox.withdraw(change.job)
            return _accepted(change)

        return await self._idempotency.run_once(key, create_or_replace)

    async def check_put(self, task_id: str, job_id: str, expected: ExpectedVersions | None) -> None:
        """Raises what ``put`` would raise about the job that has the id now."""
        await self._read(task_id, job_id, expected)

    async def _admit(self, task_id: str, spec: Spec, schedule: Schedule) -> None:
        admit(self._pools, task_id, spec)
        await self._outbox.check()
        if schedule.kind is ScheduleKind.NOW:
            await self._quotas.check(task_id)

    async def _read(self, task_id: str, job_id: str, expected: ExpectedVersions | None) -> Job | None:
        """The job that has the id now."""
        seen = await self._store.job(job_id)
        if seen is not None and seen.task_id != task_id:
            raise Conflict(f"job {seen.id} is in another task than {task_id!r}; choose another id")
        check_version(seen, job_id, expected)
        return seen

    async def _create_if_absent(self, change: JobChange, key: IdempotencyKey | None) -> bool:
        try:
            await self._create(change, key)
        except Conflict:
            return False
        return True

    async def _create(self, change: JobChange, key: IdempotencyKey | None) -> None:
        record = record_of(key, change, change.job.created_at)
        await self._store.create(change.job, change.ticks[0] if change.ticks else None, change.execution, record)


def create_under(job_id: str, task_id: str, spec: Spec, schedule: Schedule, now: int, by: Requester | None) -> JobChange:
    """Creates a job under an id that a deleted job may have had: its revision begins with the time, so that the queue sees that the deleted
    job's entry is older."""
    return job_change.create(task_id, spec, schedule, id=job_id, incarnation=new_id(now), revision=now, now=now, by=by)


def _accepted(change: JobChange) -> Enqueued:
    """Logs a job that was created or replaced, and makes the answer."""
    job, answer = change.job, enqueued(change)
    event = "job.enqueued" if answer.execution_id else "job.scheduled"
    log.debug(event, task_id=job.task_id, job_id=job.id, tick_id=answer.tick_id, execution_id=answer.execution_id, due=job.next_tick)
    return answer


@dataclass(frozen=True, slots=True)
class Preview:
    """What a job would run and where: its pool's hosts as workers see them, its next due times (milliseconds; five at most), and the
    resources of its container (those that the spec asks for, or else the pool's limits)."""

    spec: Spec
    schedule: Schedule
    pool: Pool
    hosts: tuple[HostRow, ...]
    next_runs: tuple[int, ...]
    resources: Resources


class Previewer(Service):
    """Writes nothing. Raises QueueDown, because the job itself would be refused."""

    async def preview(self, task_id: str, spec: Spec, schedule: Schedule) -> Preview:
        """A job that would be created now. Raises Invalid when no pool takes the task, and Forbidden when the pool does not allow the
        container."""
        return await self._preview(admit(self._pools, task_id, spec), spec, schedule, first_run(schedule, self._clock.now()))

    async def preview_change(self, change: JobChange) -> Preview:
        """A job after a change that was admitted. Raises Invalid when no pool takes its task."""
        job = change.job
        pool = pool_for(self._pools, job.task_id) or admit(self._pools, job.task_id, job.spec)
        first = job.next_run(self._clock.now()) if change.execution is None else change.execution.scheduled_for
        return await self._preview(pool, job.spec, job.schedule, first)

    async def _preview(self, pool: Pool, spec: Spec, schedule: Schedule, first: int | None) -> Preview:
        resources = spec.resources.within(pool.limits)
        hosts = tuple(_for(resources, row) for row in host_rows([pool], await self._reports.current()))
        return Preview(spec, schedule, pool, hosts, next_runs(spec, schedule, first), resources)


def _for(resources: Resources, row: HostRow) -> HostRow:
    """A host as it is for a container with these resources."""
    if row.view is None or not row.view.usable or (shortage := row.view.shortage(resources)) is None:
        return row
    return replace(row, view=replace(row.view, usable=False, reason=shortage))


def first_run(schedule: Schedule, now: int) -> int | None:
    """When a job that is created now is first due; None for a cron that never is."""
    moment = schedule.first_tick(now)
    return moment if schedule.cron is not None else max(moment or now, now)
