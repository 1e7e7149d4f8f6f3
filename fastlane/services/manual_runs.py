"""Runs a job now, outside its schedule: ``run``, and ``retry`` of its last execution."""

from functools import partial

import structlog

from fastlane.clock import iso
from fastlane.errors import Conflict, Unreadable
from fastlane.models import job_change
from fastlane.models.access import Requester
from fastlane.models.event import EventKind
from fastlane.models.ids import IdempotencyKey
from fastlane.models.job import Job, Spec
from fastlane.models.job_change import JobChange
from fastlane.models.pool import pool_for
from fastlane.models.retry import is_under_way
from fastlane.models.schedule import Overlap
from fastlane.models.tick import STARTS, Outcome, OverlapDecision, meet
from fastlane.services.admission import check_allowed, enqueued, record_of
from fastlane.services.changes import JobService, Step
from fastlane.services.results import Enqueued

log = structlog.get_logger()


class ManualRuns(JobService):
    """Adds a tick to a job that is due now. A stop that was answered earlier does not cover it; a later stop does.

    Both methods raise NotFound, Conflict when the job's ``expiration`` is over, Forbidden when the pool no longer allows its container,
    TooMany when as many executions wait as the pool allows, and KeyReused for a known idempotency key with another body. A known key with
    the same body gets the first answer and runs nothing.
    """

    async def run(
        self, task_id: str, job_id: str, by: Requester | None = None, key: IdempotencyKey | None = None, *, force: bool = False
    ) -> Enqueued:
        """Runs the job once now. Its schedule, stop and pause stay as they are. While it runs, its ``overlap`` says what follows, as for a
        tick; Conflict is raised in place of a skipped tick. With ``force`` it runs at once, whatever else of it does."""

        async def step(seen: Job, now: int) -> JobChange:
            change = self._run_now(seen, seen.spec, now, by, STARTS if force else await self._met(seen))
            return change.told(EventKind.JOB_RUN, now, by)

        return await self._idempotency.run_once(key, partial(self._apply, task_id, job_id, step, key))

    async def retry(self, task_id: str, job_id: str, by: Requester | None = None, key: IdempotencyKey | None = None) -> Enqueued:
        """Runs the job's last execution again with the same spec, also that of a stopped job. Raises Conflict when the job never ran, and
        while it runs or is about to."""

        async def step(seen: Job, now: int) -> JobChange:
            change = self._run_now(seen, await self._last_spec(seen, now), now, by)
            return change.told(EventKind.JOB_RETRIED, now, by)

        return await self._idempotency.run_once(key, partial(self._apply, task_id, job_id, step, key))

    async def _met(self, job: Job) -> OverlapDecision:
        """What a run comes to beside what is under way. That is read after the job: a newer execution changes the job, and the step is
        repeated."""
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

    def _run_now(self, seen: Job, spec: Spec, now: int, by: Requester | None, met: OverlapDecision = STARTS) -> JobChange:
        if spec.is_over(now):
            moment = iso(spec.expiration or 0)
            raise Conflict(f"the expiration of job {seen.id} was {moment}, so it would not start; send a PUT with a later one")
        pool = pool_for(self._pools, seen.task_id)
        if pool is not None:
            check_allowed(pool, spec)
        return job_change.run_now(seen, spec, now=now, by=by, met=met)

    async def _last_spec(self, job: Job, now: int) -> Spec:
        """What the job's last execution ran. The execution is read after the job: a newer one changes the job, and the step is repeated."""
        if job.next_run(now) is not None or job.paused:
            state = "paused" if job.paused else "scheduled"
            raise Conflict(f"job {job.id} is {state}: it has a tick to come; use run to run it once now")
        last = (await self._store.latest([job.id])).get(job.id)
        if last is None:
            raise Conflict(f"job {job.id} never ran, so there is nothing to retry; use run")
        if not last.status.final:
            stopping = job.stops(last.sequence) or last.stop_requested_at is not None
            raise Conflict(f"execution {last.id} of job {job.id} is {'stopping' if stopping else last.status}; try again when it has ended")
        if is_under_way(last):
            raise Conflict(f"execution {last.id} of job {job.id} failed, and is about to be retried")
        return last.spec

    async def _apply(self, task_id: str, job_id: str, step: Step, key: IdempotencyKey | None) -> Enqueued:
        await self._outbox.check()
        await self._quotas.check(task_id)
        change = await self._changes.apply(task_id, job_id, step, partial(record_of, key))
        job, answer = change.job, enqueued(change)
        log.info("job.run_by_hand", task_id=job.task_id, job_id=job.id, execution_id=answer.execution_id, sequence=job.sequence)
        await self._outbox.enqueue(change.execution)
        return answer
