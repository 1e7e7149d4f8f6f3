"""Creates jobs and replaces them (POST and PUT), previews what a job would run and where, and runs a job now, outside its schedule.

Changes a job by compare-and-set: reads it, decides by a pure rule, writes, and starts over when another process wrote first. Edits,
pauses and resumes are such changes; so are the changes of the other services.

Decides whether a pool takes a job, by the task's id and by what the job asks for its container, and lets a repeated request have its
effect once.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import structlog

from fastlane.clock import iso
from fastlane.errors import Conflict, Fault, Forbidden, Invalid, NotUnique, Repeated, StoreDown, Unreadable
from fastlane.models import job_change, transitions
from fastlane.models.access import Requester
from fastlane.models.container import Resources
from fastlane.models.event import EventKind
from fastlane.models.everywhere import alone, anew
from fastlane.models.forecast_impact import ForecastImpact
from fastlane.models.ids import DAY, IdempotencyKey, IdempotencyRecord, new_id
from fastlane.models.job import Execution, ExpectedVersions, Job, Spec, is_under_way, job_status, next_runs
from fastlane.models.job_change import JobChange, JobIdentity, ManualTick, next_tick_id, resettled, seed_of
from fastlane.models.parameter import value_faults
from fastlane.models.pool import Pool, pool_for, refusals
from fastlane.models.schedule import Overlap, Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.tick import STARTS, Outcome, OverlapDecision, execution_id, is_scheduled, manual_key, meet
from fastlane.queue.executions import WaitingQuotas
from fastlane.services.due_then import DueThen, due_then
from fastlane.services.parts import Service, ServiceParts
from fastlane.services.reads.pools import HostRow, host_rows
from fastlane.services.results import CurrentStatus, Enqueued
from fastlane.services.uniqueness import Uniqueness
from fastlane.storage.base import find_execution, find_job


def admit(pools: Sequence[Pool], task_id: str, spec: Spec) -> Pool:
    """The pool that takes the job. Raises Invalid when no pool takes the task, and Forbidden as ``check_allowed`` does."""
    pool = pool_for(pools, task_id)
    if pool is None:
        message = f"no pool takes the task {task_id!r}; use another task id, or add a pool whose match fits it to the settings"
        raise Invalid([Fault("taskId", message)])
    check_allowed(pool, spec)
    return pool


def check_allowed(pool: Pool, spec: Spec) -> None:
    """Raises Forbidden, with every fault at once, when the pool's policy or limits do not allow the container that the spec asks for."""
    if faults := refusals(pool, spec):
        raise Forbidden(faults)


log = structlog.get_logger()


def enqueued(change: JobChange) -> Enqueued:
    """The answer to a request that created, replaced or ran a job."""
    job, execution = change.job, change.execution
    if execution is not None and execution.spec.everywhere is not None:
        return Enqueued(job.task_id, job.id, execution.tick_id, None)
    if execution is not None:
        return Enqueued(job.task_id, job.id, execution.tick_id, execution.id)
    return Enqueued(job.task_id, job.id, None if job.schedule.is_manual else next_tick_id(job), None)


def record_of(key: IdempotencyKey | None, change: JobChange, now: int) -> IdempotencyRecord | None:
    """The record to write with the change; None for a request without a key. ``now`` in milliseconds."""
    if key is None:
        return None
    answer = enqueued(change)
    return IdempotencyRecord(key.key, key.body, now, answer.task_id, answer.job_id, answer.tick_id or "", answer.execution_id)


class Idempotency(Service):
    """Lets a request with a key have its effect once. The record is in the commit of the effect, so a crash cannot separate them. Only the
    queue may lack the effect, and a repeated request puts it there again."""

    async def run_once(self, key: IdempotencyKey | None, act: Callable[[], Awaitable[Enqueued]]) -> Enqueued:
        """Answers as an earlier request with this key did, or else as ``act`` does. Raises KeyReused when the earlier request had another
        body."""
        if key is None:
            return await act()
        if earlier := await self.earlier_answer(key):
            return earlier
        try:
            return await act()
        except Repeated:
            earlier = await self.earlier_answer(key)
        if earlier is None:
            raise StoreDown("the store refused a repeated idempotency key, but has no record of it; try again")
        return earlier

    async def earlier_answer(self, key: IdempotencyKey) -> Enqueued | None:
        """The answer to an earlier request with this key, if there was one. Raises KeyReused when that had another body."""
        record = await self._store.idempotency_record(key.key, self._clock.now() - DAY)
        if record is None:
            return None
        key.check(record)
        log.info("request.repeated", task_id=record.task_id, job_id=record.job_id, tick_id=record.tick_id)
        await self._enqueue_again(record)
        return Enqueued(record.task_id, record.job_id, record.tick_id or None, record.execution_id, replayed=True)

    async def _enqueue_again(self, record: IdempotencyRecord) -> None:
        """The process that took the first request may have died before it wrote to the queue."""
        if record.execution_id is None:
            job = await self._store.job(record.job_id)
            await self._outbox.enqueue(None, job)
        execution = await self._store.execution(record.execution_id or execution_id(record.tick_id, 1))
        if execution is not None and execution.status is Status.ENQUEUED:
            await self._outbox.enqueue(execution)


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


def check_editable(job: Job) -> None:
    """Raises Conflict for a job that is a service's: only the service's labels change it."""
    source = job.source
    if source is None:
        return
    if source.gone is None:
        words = "change them there (in its stack file, then docker stack deploy; or docker service update --label-add)"
        raise Conflict(f"job {job.id} is declared by the labels of the service {source.service!r}; {words}")
    raise Conflict(f"job {job.id} was declared by the labels of the service {source.service!r}; delete it, or create another job")


def no_record(_change: JobChange, _now: int) -> None:
    """For requests without an idempotency key."""


class JobChanges(Service):
    """Applies changes to jobs in the store. The caller writes to the queue afterwards."""

    def __init__(self, parts: ServiceParts) -> None:
        super().__init__(parts)
        self._uniqueness = Uniqueness(parts)

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
        """Writes the change, if the job is still as it was ``seen``. Raises NotUnique for one that is to be unique, and equals another that
        waits."""
        events = change.recorded(self._clock.now())

        async def write() -> bool:
            return await self._store.advance(seen, change.job, change.ticks, change.execution, record, events)

        if change.job.unique_key is None or change.job.unique_key == seen.unique_key:
            return await write()
        return await self._uniqueness.write(change.job, write, True)

    async def release_waiting(self, job: Job) -> Execution | None:
        """Lets the job's execution that waits for others go on, now that the job allows overlap. Returns what to put into the queue. The
        job has been written by then, so a store that is down fails nothing: a worker looks again in half a minute."""
        if not job.schedule.always_overlaps:
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
        self._uniqueness = Uniqueness(parts)
        self._idempotency = Idempotency(parts)
        self._quotas = WaitingQuotas(parts.queue, parts.store, parts.pools)
        self._describe_change = parts.describe_change

    def _with_changes(self, seen: Job, change: JobChange, now: int, by: Requester | None, how: str) -> JobChange:
        """The change with its event, which says which fields have other values than ``seen``, and by which method."""
        return change.with_event(EventKind.JOB_CHANGED, now, by, how=how, **self._describe_change(seen, change.job))


class Edits(JobService):
    """Changes jobs. A change that another process made in between is kept: the edit is repeated on the job as it is then.

    Both methods raise NotFound, Changed when the job has none of the expected versions, and what the edit raises. A new start makes the job
    active again, as ``Submissions.put`` does, and raises the same; any other change leaves its next tick, pause and stop as they are.
    """

    async def preview(self, task_id: str, job_id: str, edit: Edit, expected: ExpectedVersions | None = None) -> JobChange:
        """The change that ``edit`` would write. Writes nothing."""
        change = self._change(await find_job(self._store, task_id, job_id), edit, self._clock.now(), None, expected)
        await self._uniqueness.check(change.job)
        return change

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
        check_editable(seen)
        spec, schedule = edit(seen, now)
        if _would_revive(seen, spec, schedule):
            raise Conflict(f"job {seen.id} has expired, and a later expiration alone does not schedule it again; send a PUT")
        if not schedule.starts_as(seen.schedule) or _admitted(spec) != _admitted(seen.spec):
            admit(self._pools, seen.task_id, spec)
        return self._with_changes(seen, job_change.edit(seen, spec, schedule, now=now, by=by), now, by, how="PATCH")


def _would_revive(job: Job, spec: Spec, schedule: Schedule) -> bool:
    """Whether a cron that has expired would only get another expiration."""
    over = job.next_tick is None and not job.stopped and not job.paused and schedule.cron is not None
    return over and schedule.starts_as(job.schedule) and spec.expiration != job.spec.expiration


def _admitted(spec: Spec) -> tuple[object, ...]:
    """The parts of a spec that a pool may refuse. The rest changes even when the pool has since become stricter."""
    return spec.service, spec.resources, spec.container, spec.timeout


class JobPauses(JobService):
    """Pauses, resumes and starts the schedules of jobs. Executions that are under way are left alone."""

    async def pause(self, task_id: str, job_id: str, by: Requester | None = None) -> CurrentStatus:
        """Lets no tick of the job fire until it is resumed; safe to repeat. Raises NotFound, and Conflict when the job has no tick
        to come."""

        async def step(seen: Job, now: int) -> JobChange | None:
            if seen.paused:
                return None
            if seen.next_tick_to_come(now) is None and seen.schedule.after is not None:
                raise Conflict(f"job {job_id} runs after other jobs and has no tick of its own to pause; stop it, and start it again later")
            if seen.next_tick_to_come(now) is None:
                raise Conflict(f"job {job_id} has no tick to come, so there is nothing to pause; a PUT gives it a schedule")
            return JobChange(job_change.pause(seen, now=now)).with_event(EventKind.JOB_PAUSED, now, by)

        job = (await self._changes.apply(task_id, job_id, step)).job
        log.info("job.paused", task_id=task_id, job_id=job_id, held_tick=job.held_tick)
        await self._outbox.withdraw(job)
        return await self._changes.current_status(job)

    async def resume(self, task_id: str, job_id: str, by: Requester | None = None) -> CurrentStatus:
        """Resumes a paused job: at its due time, at once when that has passed, or at its cron's next tick. A job that is not paused stays
        as it is. Raises NotFound, and Conflict when it was stopped."""

        async def step(seen: Job, now: int) -> JobChange | None:
            if seen.stopped:
                raise Conflict(f"job {job_id} was stopped, so there is nothing to resume; a POST to its start starts its schedule again")
            return job_change.resume(seen, now=now).with_event(EventKind.JOB_RESUMED, now, by) if seen.paused else None

        await self._outbox.check()
        change = await self._changes.apply(task_id, job_id, step)
        log.info("job.resumed", task_id=task_id, job_id=job_id, next_tick=change.job.next_tick, rows=len(change.ticks))
        await self._outbox.enqueue(None, change.job)
        return await self._changes.current_status(change.job)

    async def start(self, task_id: str, job_id: str, by: Requester | None = None) -> CurrentStatus:
        """Starts the schedule of a stopped job again, as a PUT of the job as it is would: ticks that were due since the stop do not run. A
        job that was not stopped stays as it is. Raises NotFound, Conflict when nothing of its schedule is to come, and what a PUT
        raises."""

        async def step(seen: Job, now: int) -> JobChange | None:
            if not seen.stopped:
                return None
            if seen.source is not None and seen.source.gone is not None:
                raise Conflict(f"job {job_id} has nothing to run: {seen.source.gone}; it starts again when that is back")
            first = None if seen.schedule.kind is ScheduleKind.NOW else seen.schedule.first_tick(now)
            if not seen.schedule.is_manual and (first is None or first <= now or seen.spec.is_over(first)):
                raise Conflict(f"job {job_id} has no due time to come, so there is no schedule to start; use run to run it now")
            admit(self._pools, task_id, seen.spec)
            change = job_change.put(seen, seen.spec, seen.schedule, now=now, by=by)
            return change.with_event(EventKind.JOB_CHANGED, now, by, how="start")

        await self._outbox.check()
        change = await self._changes.apply(task_id, job_id, step)
        log.info("job.started", task_id=task_id, job_id=job_id, next_tick=change.job.next_tick)
        await self._outbox.enqueue(None, change.job)
        await self._outbox.enqueue(await self._changes.release_waiting(change.job))
        return await self._changes.current_status(change.job)


class Submissions(JobService):
    """Takes jobs that clients submit, new ones and new versions.

    Both methods raise Invalid when no pool takes the task, Forbidden when the pool does not allow the container that the spec asks for,
    TooMany when it is to run at once and as many wait as the pool allows, NotUnique when it is to be unique and equals a job that waits,
    and KeyReused for a known idempotency key with another body. A known key with the same body gets the first answer and changes nothing.
    """

    async def enqueue(
        self, task_id: str, spec: Spec, schedule: Schedule, by: Requester | None = None, key: IdempotencyKey | None = None
    ) -> Enqueued:
        """Creates a job of the task, and the task if it is new. ``by`` is who asks for it."""

        async def create() -> Enqueued:
            await self._admit(task_id, spec, schedule)
            now = self._clock.now()
            change = job_change.create(JobIdentity(task_id, new_id(now), new_id(now), 1), spec, schedule, now=now, by=by)
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
            change = self._with_changes(seen, job_change.put(seen, spec, schedule, now=now, by=by), now, by, how="PUT")
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
        if seen is not None:
            check_editable(seen)
        return seen

    async def _create_if_absent(self, change: JobChange, key: IdempotencyKey | None) -> bool:
        try:
            await self._create(change, key)
        except NotUnique:
            raise
        except Conflict:
            return False
        return True

    async def _create(self, change: JobChange, key: IdempotencyKey | None) -> None:
        record = record_of(key, change, change.job.created_at)
        create = partial(self._store.create, change.job, change.ticks[0] if change.ticks else None, change.execution, record)
        await (create() if change.job.unique_key is None else self._uniqueness.write(change.job, create, None))


def create_under(job_id: str, task_id: str, spec: Spec, schedule: Schedule, now: int, by: Requester | None) -> JobChange:
    """Creates a job under an id that a deleted job may have had: its revision begins with the time, so that the queue sees that the deleted
    job's entry is older."""
    return job_change.create(JobIdentity(task_id, job_id, new_id(now), now), spec, schedule, now=now, by=by)


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
    due_then: DueThen | None = None
    """Of a cron: who else is due at its next run."""
    forecast: ForecastImpact | None = None
    """What it would do to its pool, where that was asked for."""


class Previewer(Service):
    """Previews jobs, and writes nothing. Raises QueueDown, because the job itself would be refused."""

    def __init__(self, parts: ServiceParts) -> None:
        super().__init__(parts)
        self._uniqueness = Uniqueness(parts)

    async def preview(self, task_id: str, spec: Spec, schedule: Schedule, job_id: str | None = None) -> Preview:
        """A job that would be created now, under that id, which another job may have (None: its id is chosen when it is created). Raises
        Invalid when no pool takes the task, Forbidden when the pool does not allow the container, and NotUnique as ``Submissions`` does."""
        pool = admit(self._pools, task_id, spec)
        if spec.unique:
            would_be = create_under(job_id or new_id(self._clock.now()), task_id, spec, schedule, self._clock.now(), None)
            await self._uniqueness.check(would_be.job)
        seen = await self._store.job(job_id) if job_id is not None and schedule.cron is not None else None
        now = self._clock.now()
        schedule = schedule.settled(seed_of(task_id, spec.name, job_id), now) if seen is None else resettled(seen, spec, schedule, now)
        first = first_run(schedule, now) if schedule.is_settled else None
        return await self._preview(pool, spec, schedule, first, job_id)

    async def preview_change(self, change: JobChange) -> Preview:
        """A job after a change that was admitted. Raises Invalid when no pool takes its task."""
        job = await self._calendars.job(change.job)
        pool = pool_for(self._pools, job.task_id) or admit(self._pools, job.task_id, job.spec)
        first = job.next_run(self._clock.now()) if change.execution is None else change.execution.scheduled_for
        return await self._preview(pool, job.spec, job.schedule, first, job.id)

    async def _preview(self, pool: Pool, spec: Spec, schedule: Schedule, first: int | None, job_id: str | None) -> Preview:
        resources = spec.resources.within(pool.limits)
        hosts = tuple(_for(resources, row) for row in host_rows([pool], await self._reports.current()))
        others = None if first is None or schedule.cron is None else await due_then(self._store, self._calendars, first, job_id)
        return Preview(spec, schedule, pool, hosts, next_runs(spec, schedule, first), resources, others)


def _for(resources: Resources, row: HostRow) -> HostRow:
    """The host as seen by a container with these resources: not usable when it is too small."""
    if row.view is None or not row.view.usable or (shortage := row.view.shortage(resources)) is None:
        return row
    return replace(row, view=replace(row.view, usable=False, reason=shortage))


def first_run(schedule: Schedule, now: int) -> int | None:
    """When a job that is created now is first due; None for a cron that never is, and for a manual job."""
    moment = schedule.unskipped_from(schedule.first_tick(now))
    return moment if schedule.cron is not None or schedule.is_manual else max(moment or now, now)


@dataclass(frozen=True, slots=True)
class RunWish:
    """What a run by hand is to be like. ``force``: at once, beside anything else of the job. ``parameters``: the values that it is given.
    ``reschedule``: in place of the job's next tick."""

    force: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)
    reschedule: bool = False


USUAL_RUN = RunWish()


def check_ended(job: Job, past: Execution) -> None:
    """Raises Conflict for an execution of the job that is under way."""
    if not past.status.final:
        stopping = job.stops(past.sequence) or past.stop_requested_at is not None
        raise Conflict(f"execution {past.id} of job {job.id} is {'stopping' if stopping else past.status}; try again when it has ended")
    if is_under_way(past):
        raise Conflict(f"execution {past.id} of job {job.id} failed, and is about to be retried")


def check_may_run(pools: Sequence[Pool], job: Job, spec: Spec, now: int) -> None:
    """Raises Conflict for a spec of the job whose expiration has passed, and Forbidden when the task's pool no longer allows its
    container."""
    if spec.is_over(now):
        moment = iso(spec.expiration or 0)
        raise Conflict(f"the expiration of job {job.id} was {moment}, so it would not start; send a PUT with a later one")
    pool = pool_for(pools, job.task_id)
    if pool is not None:
        check_allowed(pool, spec)


def again(spec: Spec) -> Spec:
    """What an execution ran, for a run by hand: of a job that runs everywhere, on all targets that there are then."""
    spec = anew(spec)
    return replace(spec, backfill=None, remedy=None) if spec.backfill or spec.remedy else spec


@dataclass(frozen=True, slots=True)
class RetryWish:
    """Which execution is run again, and how: ``image`` in place of the one that it had; ``force`` as for a run."""

    execution_id: str
    image: str | None = None
    force: bool = False


class ManualRuns(JobService):
    """Adds a tick to a job that is due now. A stop that was answered earlier does not cover it; a later stop does.

    Both methods raise NotFound, Conflict when the job's ``expiration`` is over, Forbidden when the pool no longer allows its container,
    TooMany when as many executions wait as the pool allows, and KeyReused for a known idempotency key with another body. A known key with
    the same body gets the first answer and runs nothing.
    """

    async def run(
        self, task_id: str, job_id: str, by: Requester | None = None, key: IdempotencyKey | None = None, *, wish: RunWish = USUAL_RUN
    ) -> Enqueued:
        """Runs the job once now. Its stop and pause stay as they are. While it runs, its ``overlap`` says what follows, as for a tick;
        Conflict is raised in place of a skipped tick, and for a wish to reschedule a job without a tick to come. Raises Invalid for
        parameters that the job does not take."""

        tick = manual_key(self._clock.now())

        async def step(seen: Job, now: int) -> JobChange:
            if faults := list(value_faults(seen.spec.parameters, wish.parameters)):
                raise Invalid(faults)
            if wish.reschedule and seen.next_tick_to_come(now) is None:
                raise Conflict(f"job {job_id} has no tick to come in whose place it could run; leave reschedule out")
            spec = replace(seen.spec, arguments=wish.parameters) if wish.parameters else seen.spec
            manner = ManualTick(STARTS if wish.force else await self._met(seen), tick, wish.reschedule)
            detail = {"reschedule": True} if wish.reschedule else {}
            return self._run_now(seen, spec, now, by, manner).with_event(EventKind.JOB_RUN, now, by, **detail)

        return await self._idempotency.run_once(key, partial(self._apply, task_id, job_id, step, key, stands_in=wish.reschedule))

    async def retry(self, task_id: str, job_id: str, by: Requester | None = None, key: IdempotencyKey | None = None) -> Enqueued:
        """Runs the job's last execution again with the same spec, even if the job is stopped. Raises Conflict when the job never ran, while
        it runs, and before a retry that is due."""

        tick = manual_key(self._clock.now())

        async def step(seen: Job, now: int) -> JobChange:
            last = await self._last_ended(seen, now)
            change = self._run_now(seen, again(last.spec), now, by, ManualTick(key=tick, upstream=last.upstream))
            return change.with_event(EventKind.JOB_RETRIED, now, by)

        return await self._idempotency.run_once(key, partial(self._apply, task_id, job_id, step, key))

    async def retry_execution(
        self, task_id: str, job_id: str, wish: RetryWish, by: Requester | None = None, key: IdempotencyKey | None = None
    ) -> Enqueued:
        """Runs any execution of the job that has ended again, with the spec that it had, whatever the job is now. While the job runs, its
        ``overlap`` says what follows, as for ``run``. One of a schedule stands for the same due time. Raises Invalid for another image in
        place of a service, and Conflict for an execution that has not ended or is about to be retried."""

        tick = manual_key(self._clock.now())

        async def step(seen: Job, now: int) -> JobChange:
            past = await find_execution(self._store, task_id, job_id, wish.execution_id)
            check_ended(seen, past)
            spec, due = again(alone(past.spec)), await self._due_of(past)
            if wish.image is not None:
                if spec.service is not None:
                    words = f"does not go with execution {past.id}, which ran as the service {spec.service!r}; leave it out"
                    raise Invalid([Fault("image", words)])
                spec = replace(spec, image=wish.image)
            manner = ManualTick(STARTS if wish.force else await self._met(seen), tick, due=due, upstream=past.upstream)
            change = self._run_now(seen, replace(spec, due_at=due), now, by, manner)
            detail = {"of": past.id} if wish.image is None else {"of": past.id, "image": wish.image}
            return change.with_event(EventKind.JOB_RETRIED, now, by, **detail)

        return await self._idempotency.run_once(key, partial(self._apply, task_id, job_id, step, key))

    async def _due_of(self, past: Execution) -> int | None:
        """The due time of a schedule that an execution stands for; None for one that somebody asked for, or that ran once."""
        tick = None if past.spec.due_at is not None else await self._store.tick(past.tick_id)
        return past.spec.due_at if tick is None else tick.due if is_scheduled(tick.key) else None

    async def _met(self, job: Job) -> OverlapDecision:
        """Applies the overlap rule to a manual run. The executions under way are read after the job: a newer execution changes the job, and
        the step is repeated."""
        if job.schedule.overlap is Overlap.ALLOW:
            return STARTS
        try:
            others = await self._store.under_way_of(job.task_id, job.id)
        except Unreadable as error:
            raise Conflict(f"whether the job runs is not known: {error}; or add ?force=1 to start it whatever else of it runs") from error
        met = meet(job.schedule.overlap, others)
        if met.outcome is Outcome.SKIPPED:
            raise Conflict(f"{met.reason}; run it when that has ended, or add ?force=1 to start it beside that")
        return met

    def _run_now(self, seen: Job, spec: Spec, now: int, by: Requester | None, manner: ManualTick) -> JobChange:
        """How the job changes. The key of the tick is chosen once for a request, however often it tries."""
        check_may_run(self._pools, seen, spec, now)
        return job_change.run_now(seen, spec, now=now, by=by, manner=manner)

    async def _last_ended(self, job: Job, now: int) -> Execution:
        """The job's last execution. It is read after the job: a newer one changes the job, and the step is repeated."""
        if job.next_tick_to_come(now) is not None or job.paused:
            state = "paused" if job.paused else "scheduled"
            raise Conflict(f"job {job.id} is {state}: it has a tick to come; use run to run it once now")
        last = (await self._store.latest([job.id])).get(job.id)
        if last is None:
            raise Conflict(f"job {job.id} never ran, so there is nothing to retry; use run")
        check_ended(job, last)
        return last

    async def _apply(self, task_id: str, job_id: str, step: Step, key: IdempotencyKey | None, *, stands_in: bool = False) -> Enqueued:
        await self._outbox.check()
        await self._quotas.check(task_id)
        change = await self._changes.apply(task_id, job_id, step, partial(record_of, key))
        job, answer = change.job, enqueued(change)
        log.info("job.run_by_hand", task_id=job.task_id, job_id=job.id, execution_id=answer.execution_id, sequence=job.sequence)
        await self._outbox.enqueue(change.execution)
        if stands_in and job.next_tick is None:
            await self._outbox.withdraw(job)
        return answer
