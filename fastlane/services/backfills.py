"""Backfills: which due times of a job have passed without a success, and having them run. A worker goes on with what is written here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from fastlane.clock import iso
from fastlane.errors import Conflict, Fault, Invalid, NotFound, Repeated
from fastlane.models import backfill as rules
from fastlane.models.access import Requester
from fastlane.models.backfill import MOST_DUE_TIMES, Backfill, Found, own_ticks, without_success
from fastlane.models.cron import ticks_between
from fastlane.models.ids import DAY, IdempotencyKey, IdempotencyRecord, derived_id, new_id
from fastlane.models.job import Job
from fastlane.models.status import Status
from fastlane.models.tick import tick_id
from fastlane.services.jobs import check_may_run, until_written
from fastlane.services.parts import Service, ServiceParts
from fastlane.services.stops import Stops
from fastlane.storage.base import find_job

log = structlog.get_logger()

PAGE = 500
"""Rows of a ledger that are read together."""


@dataclass(frozen=True, slots=True)
class BackfillWish:
    """The backfill that is asked for: due times from ``since`` to ``until`` (milliseconds, both included; None: now), of which at most
    ``most`` run at the same time."""

    since: int
    until: int | None = None
    most: int = 1


@dataclass(frozen=True, slots=True)
class BackfillPreview:
    """What a backfill would run."""

    since: int
    until: int
    most: int
    found: Found


class Backfills(Service):
    """Begins, shows and stops backfills. Every method raises NotFound."""

    def __init__(self, parts: ServiceParts, stops: Stops) -> None:
        super().__init__(parts)
        self._stops = stops

    async def preview(self, task_id: str, job_id: str, wish: BackfillWish) -> BackfillPreview:
        """What a backfill would run. Raises Invalid and Conflict as ``begin`` does, but for nothing to run."""
        return await self._preview(await find_job(self._store, task_id, job_id), wish, self._clock.now())

    async def begin(
        self, task_id: str, job_id: str, wish: BackfillWish, by: Requester | None = None, key: IdempotencyKey | None = None
    ) -> tuple[Backfill, bool]:
        """Writes the record of a backfill, and returns it, with whether an earlier request with this key wrote it. Raises Invalid for a
        range that cannot be, Conflict for a job without a cron, while another backfill of it is under way and when nothing is to be run,
        Forbidden when the pool no longer allows its container, and KeyReused as other requests do."""
        job = await find_job(self._store, task_id, job_id)
        request = new_id(self._clock.now()) if key is None else derived_id(job.incarnation, key.key)
        if key is not None and (earlier := await self._earlier(job, key, request)) is not None:
            return earlier, True

        async def write() -> Backfill | None:
            job, now = await find_job(self._store, task_id, job_id), self._clock.now()
            seen = await self._store.backfills.of_job(job_id)
            if seen is not None and seen.request == request and seen.incarnation == job.incarnation:
                return seen  # this request, sent twice at once
            before = None if seen is None or seen.ended_at is not None else await self._store.backfills.current(job, now)
            if before is not None and before.ended_at is None:
                raise Conflict(f"backfill {before.request} of job {job_id} is under way; stop it, or wait until it has ended")
            check_may_run(self._pools, job, job.spec, now)
            preview = await self._preview(job, wish, now)
            if not preview.found.due:
                raise Conflict(f"no due time from {iso(preview.since)} to {iso(preview.until)} is without a success or a run under way")
            due = preview.found.due
            if before is not None:  # no worker has noticed its end yet, and this one takes its place
                await self._store.add_events([rules.ended_event(before)])
            made = Backfill(
                *(job_id, task_id, job.incarnation, request, now, preview.since, preview.until, wish.most, len(due), due, job.sequence),
                requested_by=by,
                version=1 if seen is None else seen.version + 1,
            )
            return made if await self._store.backfills.write(made) else None

        await self._outbox.check()
        made = await until_written(job_id, write)
        await self._note(job, made, by, key)
        log.info("backfill.begun", task_id=task_id, job_id=job_id, backfill=made.request, count=made.total)
        return made, False

    async def get(self, task_id: str, job_id: str) -> Backfill:
        """The present or last backfill of the job, as it is now."""
        found = await self._store.backfills.current(await find_job(self._store, task_id, job_id), self._clock.now())
        if found is None:
            raise NotFound(f"job {job_id} of task {task_id!r} has no backfill")
        return found

    async def stop(self, task_id: str, job_id: str, by: Requester | None = None) -> Backfill:
        """Ends the backfill: no due time of it begins any more, and what it runs is stopped. One that has ended stays as it is."""

        async def write() -> Backfill | None:
            seen = await self.get(task_id, job_id)
            after = seen if seen.ended_at is not None else rules.ended(seen, rules.STOPPED, now=self._clock.now())
            return after if after is seen or await self._store.backfills.write(after) else None

        after = await until_written(job_id, write)
        await self._store.add_events([rules.ended_event(after, by if after.reason == rules.STOPPED else None)])
        await self._close_gate(after)
        for due in (*after.open, *after.remaining[:1]):
            ticks = await self._store.backfills.attempts([id := tick_id(after.incarnation, after.key_of(due))])
            if ticks[id] and not ticks[id][-1].final:
                await self._stops.stop_execution(task_id, job_id, after.attempt_id(due, len(ticks[id])), by)
        log.info("backfill.stopped", task_id=task_id, job_id=job_id, backfill=after.request)
        return after

    async def _close_gate(self, after: Backfill) -> None:
        """Changes the job, so that a worker which read it before the record was ended can make no tick of the backfill any more."""

        async def bump() -> bool | None:
            job = await self._store.job(after.id)
            if job is None or job.incarnation != after.incarnation:
                return True
            return await self._store.advance(job, replace(job, sequence=job.sequence + 1), (), None) or None

        await until_written(after.id, bump)

    async def _preview(self, job: Job, wish: BackfillWish, now: int) -> BackfillPreview:
        cron, until = job.schedule.cron, now if wish.until is None else wish.until
        if job.spec.everywhere is not None:
            words = "a backfill is for jobs with one execution for each due time; use run, or retry an execution of it"
            raise Conflict(f"job {job.id} runs everywhere, and {words}")
        if cron is None:
            raise Conflict(f"job {job.id} has no cron, so it has no due times to fill in; use run, or retry an execution of it")
        faults = []
        if until > now:
            faults.append(Fault("to", f"is in the future; due times up to now, {iso(now)}, can be filled in"))
        if wish.since >= until:
            faults.append(Fault("from", "is not before to; give the earlier moment of the range"))
        kept = await self._kept_since(job)
        if kept is not None and wish.since < kept:
            faults.append(Fault("from", f"is older than the history that is kept, which begins at {iso(kept)}; begin there"))
        if faults:
            raise Invalid(faults)
        to_come = [moment for moment in (until + 1, job.next_tick) if moment is not None]
        due = ticks_between(cron, wish.since - 1, min(to_come) - 1, MOST_DUE_TIMES + 1)
        if len(due) > MOST_DUE_TIMES:
            words = f"has more than {MOST_DUE_TIMES:,} due times after from; the first {MOST_DUE_TIMES:,} end at {iso(due[-2])}"
            raise Invalid([Fault("to", f"{words}: fill in up to there first")])
        schedule = await self._calendars.schedule(job.schedule)
        unknown = next(filter(None, map(schedule.unknown_at, due)), None)
        if unknown is not None:
            raise Conflict(f"skipDates names the {unknown}, so nothing tells which due times are to run; put that right first")
        due = tuple(one for one in due if schedule.skipped_at(one) is None)
        found = without_success(due, await self._statuses(job, due)) if due else Found(())
        return BackfillPreview(wish.since, until, wish.most, found)

    async def _kept_since(self, job: Job) -> int | None:
        """The due time since which all executions of the job are kept; None when none has been removed."""
        if job.floor == 0:
            return None
        return await self._store.backfills.kept_since(job.id) or self._clock.now()

    async def _statuses(self, job: Job, due: Sequence[int]) -> Mapping[int, Sequence[Status]]:
        """The statuses of the executions that stand for each due time."""
        found: dict[int, list[Status]] = {}
        after: tuple[int, str] | None = None
        while True:
            page = await self._store.backfills.ticks_between(job.id, due[0], due[-1], PAGE, after)
            ticks = {tick.id: tick.due for tick in own_ticks(job, page) if tick.execution_id is not None}
            for id, statuses in (await self._store.backfills.attempts(list(ticks))).items():
                found.setdefault(ticks[id], []).extend(statuses)
            if len(page) < PAGE:
                return found
            after = (page[-1].due, page[-1].id)

    async def _note(self, job: Job, made: Backfill, by: Requester | None, key: IdempotencyKey | None) -> None:
        """Records who asked for it, and the request's key."""
        event, receipt = rules.begun_event(made, by), None
        if key is not None:
            receipt = IdempotencyRecord(key.key, key.body, made.created_at, made.task_id, made.id, made.request, None)

        async def write() -> bool | None:
            seen = await find_job(self._store, job.task_id, job.id)
            return await self._store.advance(seen, seen, (), None, receipt, [event]) or None

        try:
            await until_written(job.id, write)
        except Repeated:
            log.debug("backfill.noted", job_id=job.id, backfill=made.request)

    async def _earlier(self, job: Job, key: IdempotencyKey, request: str) -> Backfill | None:
        """The backfill that an earlier request with this key began."""
        record = await self._store.idempotency_record(key.key, self._clock.now() - DAY)
        if record is None:
            return None
        key.check(record)
        found = await self._store.backfills.of_job(job.id)
        if found is None or found.request != request:
            raise Conflict(f"the backfill {record.tick_id} that this key began has ended, and another one has come after it")
        return found
