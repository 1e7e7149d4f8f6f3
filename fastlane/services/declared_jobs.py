"""Writes the jobs that the labels of services declare, in the way in which requests write theirs: admitted by a pool, by compare-and-set,
store first and queue second. ``models.job_source`` has the rules, ``sources.labels`` the loop that calls this.

Every method is safe to repeat, and two processes may call it at once: the second one finds that nothing is left to do.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from fastlane.clock import iso
from fastlane.errors import Conflict, Fault, Invalid
from fastlane.models import job_source
from fastlane.models.event import Event, EventKind
from fastlane.models.job import Job, JobSource, Spec, never_in_time
from fastlane.models.job_change import JobChange
from fastlane.models.job_source import DeclaredJob, LabelledService
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.services.calendars import Calendars
from fastlane.services.jobs import JobService, admit, create_under, until_written
from fastlane.services.parts import ServiceParts
from fastlane.services.stops import Stops

log = structlog.get_logger()

MAX_WORDS = 500
"""Characters of the faults of a job's labels that are kept."""
HOW = "labels"
"""How such a job is changed, in the event ``job.changed``."""


class DeclaredJobs(JobService):
    """The writer of declared jobs of one process."""

    def __init__(self, parts: ServiceParts, stops: Stops, calendars: Calendars) -> None:
        super().__init__(parts)
        self._dated = calendars
        self._stops = stops

    async def declare(self, service: LabelledService, declared: DeclaredJob, job_id: str, source: JobSource) -> bool:
        """Creates the job, or lets it follow its service; whether anything changed. Raises what a PUT raises."""
        spec, given, task_id = declared.spec, declared.schedule, service.task_id
        if spec is None or given is None:
            raise ValueError(f"job {job_id} of {service.name} has faults")
        if given.kind is ScheduleKind.NOW:
            raise Invalid([Fault("", "the job would run at once; say when it runs")])
        admit(self._pools, task_id, spec)
        await self._outbox.check()

        async def write() -> tuple[JobChange, bool] | None:
            seen, now = await self._store.job(job_id), self._clock.now()
            schedule = await self._dated.known(given, None if seen is None else seen.schedule)
            if seen is None:
                _check_moments(spec, schedule, now)
                made = create_under(job_id, task_id, spec, schedule, now, None)
                made = replace(made, job=replace(made.job, source=source))
                return (made, True) if await self._created(made) else None
            if seen.task_id != task_id:
                raise Conflict(f"job {job_id} is in the task {seen.task_id!r}, not in {task_id!r}; delete it there")
            if not schedule.starts_as(seen.schedule):
                _check_moments(spec, schedule, now)
            elif spec.expiration != seen.spec.expiration:
                _check_in_time(spec, schedule, now)
            change = job_source.redeclared(seen, spec, schedule, source, now=now)
            if change is None:
                return JobChange(seen), False
            if (spec, schedule) != (seen.spec, seen.schedule) or seen.stopped is not change.job.stopped:
                change = self._with_changes(seen, change, now, None, how=HOW)
            return (change, True) if await self._changes.replace(seen, change, None) else None

        change, changed = await until_written(job_id, write)
        await self._follow(change.job)
        if changed:
            log.info("job.declared", task_id=task_id, job_id=job_id, service=service.name, next_tick=change.job.next_tick)
        return changed

    async def _created(self, change: JobChange) -> bool:
        try:
            await self._store.create(change.job, None, None, None)
        except Conflict:  # another process made it
            return False
        return True

    async def _follow(self, job: Job) -> None:
        """Brings the queue in line with the job. Safe to repeat."""
        if job.next_tick is None:
            await self._outbox.withdraw(job)
            return
        await self._outbox.enqueue(None, job)
        await self._outbox.enqueue(await self._changes.release_waiting(job))

    async def report(self, service: LabelledService, job_id: str, faults: Sequence[Fault], *, refused: bool) -> None:
        """Records what is wrong with a service's labels, once for each version of them. ``refused``: the job stays as it was, and says
        why; otherwise the labels count, but for what the faults say."""
        words = "; ".join(f"{fault.field} {fault.message}".strip() for fault in faults)
        words = words if len(words) <= MAX_WORDS else f"{words[: MAX_WORDS - 1]}…"
        seen, now = await self._store.job(job_id), self._clock.now()
        own = seen if seen is not None and seen.task_id == service.task_id else None
        kind = EventKind.LABELS_REFUSED if refused else EventKind.LABELS_LIMITED
        id = _event_id(job_id, service, words)
        ids: Mapping[str, Any] = {"task_id": service.task_id, "job_id": None if own is None else job_id}
        if service.stack_fault:  # it names no task, or one that is not its own
            ids = {}
        await self._store.add_events([Event.now(kind, now, id=id, **ids, service=service.name, reason=words)])
        if not refused or own is None:
            return

        async def write() -> JobChange | None:
            job = await self._store.job(job_id)
            change = None if job is None else job_source.faulty(job, words, now=self._clock.now())
            if job is None or change is None:
                return JobChange(own)
            return change if await self._changes.replace(job, change, None) else None

        await until_written(job_id, write)

    async def give_up(self, job: Job, why: str, version: int) -> None:
        """Stops a job whose service declares it no more, and what runs of it; labels before that version of the service count no more.
        Raises NotFound."""

        async def step(seen: Job, now: int) -> JobChange | None:
            change = job_source.given_up(seen, why, version, now=now)
            if change is None or change.job.stop_sequence == seen.stop_sequence:
                return change
            service = None if seen.source is None else seen.source.service
            return change.with_event(EventKind.JOB_STOPPED, now, None, reason=why, service=service)

        after = (await self._changes.apply(job.task_id, job.id, step)).job
        if after.source is None or after.source.gone is None or not after.stopped:
            return  # newer labels declare it
        log.info("job.given_up", task_id=job.task_id, job_id=job.id, reason=why)
        await self._stops.follow(after)


def _check_moments(spec: Spec, schedule: Schedule, now: int) -> None:
    """Raises Invalid for a moment that is over: the job may have run then, and have changed or been deleted since."""
    first = schedule.first_tick(now)
    if first is not None and first <= now:
        raise Invalid([Fault("startAt", f"was {iso(first)}, before fastlane read this label, so it does not run; give a moment to come")])
    _check_in_time(spec, schedule, now)


def _check_in_time(spec: Spec, schedule: Schedule, now: int) -> None:
    """Raises Invalid for a job that would expire before it is first due."""
    if fault := never_in_time(spec, schedule, now):
        raise Invalid([fault])


def _event_id(job_id: str, service: LabelledService, words: str) -> str:
    """The same id in each process that sees the same labels, so that one event is recorded."""
    digest = hashlib.sha256(f"{job_id}/{service.id}/{service.version}/{words}".encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"
