"""Taking jobs in, and arming them again: POST and PUT."""

import structlog

from fastlane.errors import Conflict, Repeated, StoreDown
from fastlane.models import job_change
from fastlane.models.access import Requester
from fastlane.models.idempotency import IdempotencyKey
from fastlane.models.ids import new_id
from fastlane.models.job import Job, Spec
from fastlane.models.job_change import JobChange
from fastlane.models.schedule.schedule import Schedule
from fastlane.services.jobs.changes import MOST_TURNS, pool_allowing
from fastlane.services.jobs.idempotency import Idempotency, receipt_of, reply_of
from fastlane.services.jobs.results import Enqueued

log = structlog.get_logger()


class Submit(Idempotency):
    """Makes jobs, and replaces their details."""

    async def enqueue(
        self, task_id: str, spec: Spec, schedule: Schedule, by: Requester | None = None, once: IdempotencyKey | None = None
    ) -> Enqueued:
        """Makes a job of the task, which is made too when it is new; ``by`` is who asks. The same ``once`` again makes none and gets the
        first answer. Raises Invalid when no pool takes the task, Forbidden when the pool does not allow what the spec asks for a container,
        KeyReused for an old key with another body."""
        if once is not None and (answer := await self._answered(once)):
            return answer
        pool_allowing(self._pools, task_id, spec)
        await self._handover.ready()
        now = self._clock.now()
        ids = {"id": new_id(now), "incarnation": new_id(now)}
        advance = job_change.create(task_id, spec, schedule, **ids, revision=1, now=now, by=by)
        try:
            await self._create(advance, once)
        except Repeated:
            return await self._answered_meanwhile(once)
        return await self._armed(advance)

    async def put(
        self, task_id: str, job_id: str, spec: Spec, schedule: Schedule, by: Requester | None = None, once: IdempotencyKey | None = None
    ) -> Enqueued:
        """Makes the job under that id, or gives it other details and arms it again as if it were new: a stopped or paused job is alive
        again, a tick to come moves, what runs is left alone. The same ``once`` again does nothing and gets the first answer. Raises
        Invalid when no pool takes the task, Forbidden when the pool does not allow what the spec asks for a container, Conflict when
        another task has the id, KeyReused for an old key with another body."""
        if once is not None and (answer := await self._answered(once)):
            return answer
        pool_allowing(self._pools, task_id, spec)
        await self._handover.ready()
        try:
            return await self._put(task_id, job_id, spec, schedule, by, once)
        except Repeated:
            return await self._answered_meanwhile(once)

    async def _put(
        self, task_id: str, job_id: str, spec: Spec, schedule: Schedule, by: Requester | None, once: IdempotencyKey | None
    ) -> Enqueued:
        for _ in range(MOST_TURNS):
            seen, now = await self._store.job(job_id), self._clock.now()
            if seen is not None and seen.task_id != task_id:
                raise Conflict(f"job {job_id} is in another task than {task_id!r}; choose another id")
            if seen is None:
                advance = self._made_under(job_id, task_id, spec, schedule, now, by)
                done = await self._created(advance, once)
            else:
                advance = job_change.put(seen, spec, schedule, now=now, by=by)
                receipt = receipt_of(once, reply_of(advance), now)
                done = await self._store.advance(seen, advance.job, advance.ticks, advance.execution, receipt)
            if done:
                return await self._armed(advance, before=seen)
        raise StoreDown(f"job {job_id} changes too often just now; try again")

    def _made_under(self, job_id: str, task_id: str, spec: Spec, schedule: Schedule, now: int, by: Requester | None) -> JobChange:
        """A job under an id that may have been another's, which was deleted: its revision begins with the time, so that the queue knows an
        entry of that other one as older."""
        return job_change.create(task_id, spec, schedule, id=job_id, incarnation=new_id(now), revision=now, now=now, by=by)

    async def _create(self, advance: JobChange, once: IdempotencyKey | None) -> None:
        receipt = receipt_of(once, reply_of(advance), advance.job.created_at)
        await self._store.create(advance.job, advance.ticks[0] if advance.ticks else None, advance.execution, receipt)

    async def _created(self, advance: JobChange, once: IdempotencyKey | None) -> bool:
        """Whether it was made: False when somebody else made a job under the same id just before."""
        try:
            await self._create(advance, once)
        except Conflict:
            return False
        return True

    async def _armed(self, advance: JobChange, before: Job | None = None) -> Enqueued:
        """The queue hears of it; the reply."""
        job, made = advance.job, reply_of(advance)
        event = "job.enqueued" if made.execution_id else "job.scheduled"
        log.debug(event, task_id=job.task_id, job_id=job.id, tick_id=made.tick_id, execution_id=made.execution_id, due=job.next_tick)
        await self._hand_over(advance.execution, job)
        if before is not None and job.next_tick is None:
            await self._withdraw(job)
        return made
