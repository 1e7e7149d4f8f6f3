"""Running a job once more by hand: ``run``, and ``retry`` of its last execution."""

import structlog

from fastlane.clock import iso
from fastlane.errors import Conflict, Repeated
from fastlane.models import job_change
from fastlane.models.access import Requester
from fastlane.models.idempotency import IdempotencyKey
from fastlane.models.job import Job, Spec
from fastlane.models.job_change import JobChange
from fastlane.models.placement.pool import pool_for
from fastlane.models.schedule.retry import is_under_way
from fastlane.services.jobs.changes import Step, refuse_beyond
from fastlane.services.jobs.idempotency import Idempotency, receipt_of, reply_of
from fastlane.services.jobs.results import Enqueued

log = structlog.get_logger()


class ManualRun(Idempotency):
    """Makes ticks that are due now. A stop that was answered before does not cover them; one that comes after does."""

    async def run(self, task_id: str, job_id: str, by: Requester | None = None, once: IdempotencyKey | None = None) -> Enqueued:
        """Runs the job once now; its schedule, its stop and its pause stay as they are. Raises Conflict when its ``expiration`` is over,
        Forbidden when the pool no longer allows what it asks for its container. The same ``once`` again runs nothing and gets the first
        answer."""

        async def step(seen: Job, now: int) -> JobChange:
            return self._once_more(seen, seen.spec, now, by)

        return await self._begin(task_id, job_id, step, once)

    async def retry(self, task_id: str, job_id: str, by: Requester | None = None, once: IdempotencyKey | None = None) -> Enqueued:
        """Runs the job's last execution again now, as it was then, a stopped job's too. Raises Conflict when nothing ever ran, while
        something runs or is about to, and when the ``expiration`` is over; Forbidden and ``once`` are as for ``run``."""

        async def step(seen: Job, now: int) -> JobChange:
            return self._once_more(seen, await self._last_spec(seen), now, by)

        return await self._begin(task_id, job_id, step, once)

    def _once_more(self, seen: Job, spec: Spec, now: int, by: Requester | None) -> JobChange:
        if spec.is_over(now):
            moment = iso(spec.expiration or 0)
            raise Conflict(f"the expiration of job {seen.id} was {moment}, so nothing of it would start any more; PUT it with a later one")
        pool = pool_for(self._pools, seen.task_id)
        if pool is not None:
            refuse_beyond(pool, spec)
        return job_change.by_hand(seen, spec, now=now, by=by)

    async def _last_spec(self, job: Job) -> Spec:
        """What its last execution ran. It was read after the job: one that comes in between changes the job, and all is looked at again."""
        if job.next_tick is not None or job.paused:
            word = "paused" if job.paused else "scheduled"
            raise Conflict(f"job {job.id} is {word}: it has a tick to come; use run to run it once now")
        last = (await self._store.latest([job.id])).get(job.id)
        if last is None:
            raise Conflict(f"nothing of job {job.id} ever ran, so there is nothing to retry; use run")
        if not last.status.final:
            raise Conflict(f"execution {last.id} of job {job.id} is {last.status}; retry it when it has ended")
        if is_under_way(last):
            raise Conflict(f"execution {last.id} of job {job.id} failed and is about to be tried again by itself")
        return last.spec

    async def _begin(self, task_id: str, job_id: str, step: Step, once: IdempotencyKey | None) -> Enqueued:
        if once is not None and (answer := await self._answered(once)):
            return answer
        await self._handover.ready()
        try:
            advance = await self._bring_on(task_id, job_id, step, lambda advance, now: receipt_of(once, reply_of(advance), now))
        except Repeated:
            return await self._answered_meanwhile(once)
        job, made = advance.job, reply_of(advance)
        log.info("job.run_by_hand", task_id=job.task_id, job_id=job.id, execution_id=made.execution_id, sequence=job.sequence)
        await self._hand_over(advance.execution)
        return made
