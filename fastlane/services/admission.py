"""Decides whether a pool takes a job, by the task's id and by what the job asks for its container."""

from collections.abc import Awaitable, Callable, Sequence

import structlog

from fastlane.errors import Fault, Forbidden, Invalid, KeyReused, Repeated, StoreDown
from fastlane.models.ids import DAY, IdempotencyKey, IdempotencyRecord
from fastlane.models.job import Spec
from fastlane.models.job_change import JobChange, next_tick_id
from fastlane.models.pool import Pool, pool_for, refusals
from fastlane.models.status import Status
from fastlane.services.parts import Service
from fastlane.services.results import Enqueued


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
    tick_id = next_tick_id(job) if execution is None else execution.tick_id
    return Enqueued(job.task_id, job.id, tick_id, None if execution is None else execution.id)


def record_of(key: IdempotencyKey | None, change: JobChange, now: int) -> IdempotencyRecord | None:
    """The record to write with the change; None for a request without a key. ``now`` in milliseconds."""
    if key is None:
        return None
    answer = enqueued(change)
    return IdempotencyRecord(key.key, key.body, now, answer.task_id, answer.job_id, answer.tick_id, answer.execution_id)


class Idempotency(Service):
    """Lets a request with a key have its effect once. The record is in the commit of the effect, so a crash cannot separate them; only the
    queue may not have heard of the effect, and a repeated request tells it again."""

    async def run_once(self, key: IdempotencyKey | None, act: Callable[[], Awaitable[Enqueued]]) -> Enqueued:
        """The answer to an earlier request with this key, or else that of ``act``. Raises KeyReused when the earlier request had another
        body."""
        if key is None:
            return await act()
        if earlier := await self._earlier_answer(key):
            return earlier
        try:
            return await act()
        except Repeated:
            earlier = await self._earlier_answer(key)
        if earlier is None:
            raise StoreDown("the store refused a repeated idempotency key, but has no record of it; try again")
        return earlier

    async def _earlier_answer(self, key: IdempotencyKey) -> Enqueued | None:
        record = await self._store.idempotency_record(key.key, self._clock.now() - DAY)
        if record is None:
            return None
        if record.body != key.body:
            raise KeyReused("this key was sent with another body before; give each request its own key")
        log.info("request.repeated", task_id=record.task_id, job_id=record.job_id, tick_id=record.tick_id)
        await self._enqueue_again(record)
        return Enqueued(record.task_id, record.job_id, record.tick_id, record.execution_id, replayed=True)

    async def _enqueue_again(self, record: IdempotencyRecord) -> None:
        """The process that took the first request may have died before it told the queue."""
        if record.execution_id is None:
            job = await self._store.job(record.job_id)
            await self._outbox.enqueue(None, job)
            return
        execution = await self._store.execution(record.execution_id)
        if execution is not None and execution.status is Status.ENQUEUED:
            await self._outbox.enqueue(execution)
