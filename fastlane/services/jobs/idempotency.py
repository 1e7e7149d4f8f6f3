"""Requests that come again: whoever sent a key with one, and saw no answer, sends it again and gets the answer of the first."""

import structlog

from fastlane.errors import KeyReused, StoreDown
from fastlane.models.idempotency import DAY, IdempotencyKey, IdempotencyRecord
from fastlane.models.job_change import JobChange, next_tick_id
from fastlane.models.status import Status
from fastlane.services.jobs.changes import JobChanges
from fastlane.services.jobs.results import Enqueued

log = structlog.get_logger()


def reply_of(advance: JobChange) -> Enqueued:
    """What a job that was made, armed or run by hand is called."""
    job, execution = advance.job, advance.execution
    tick_id = next_tick_id(job) if execution is None else execution.tick_id
    return Enqueued(job.task_id, job.id, tick_id, None if execution is None else execution.id)


def receipt_of(once: IdempotencyKey | None, made: Enqueued, now: int) -> IdempotencyRecord | None:
    """What is kept of a request with a key; None without one. ``now`` in milliseconds."""
    return None if once is None else IdempotencyRecord(once.key, once.body, now, made.task_id, made.job_id, made.tick_id, made.execution_id)


class Idempotency(JobChanges):
    """Answers again. The receipt is in the commit of the effect, so there is nothing in between for a crash to leave behind, but for the
    word to the queue: that is given again."""

    async def _answered(self, once: IdempotencyKey | None) -> Enqueued | None:
        """The answer of an earlier request with this key; None when there was none. Raises KeyReused when that had another body."""
        receipt = None if once is None else await self._store.receipt(once.key, self._clock.now() - DAY)
        if once is None or receipt is None:
            return None
        if receipt.body != once.body:
            raise KeyReused("this key was sent with another body before; give each request a key of its own")
        log.info("request.repeated", task_id=receipt.task_id, job_id=receipt.job_id, tick_id=receipt.tick_id)
        await self._remind(receipt)
        return Enqueued(receipt.task_id, receipt.job_id, receipt.tick_id, receipt.execution_id, replayed=True)

    async def _answered_meanwhile(self, once: IdempotencyKey | None) -> Enqueued:
        """The same when the store has just told that there was one."""
        answer = await self._answered(once)
        if answer is None:
            raise StoreDown("the store knows of a request with this key, and does not find it; try again")
        return answer

    async def _remind(self, receipt: IdempotencyRecord) -> None:
        """The process that took the request may have died before the queue heard of it."""
        if receipt.execution_id is not None:
            execution = await self._store.execution(receipt.execution_id)
            if execution is not None and execution.status is Status.ENQUEUED:
                await self._hand_over(execution)
            return
        job = await self._store.job(receipt.job_id)
        if job is not None:
            await self._hand_over(None, job)
