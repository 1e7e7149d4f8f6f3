"""Goes on with backfills: gives their next due times ticks, as many at once as each allows, and ends them.

One worker does it for all. Each step is a commit of the job, with a receipt, and then a write of the record. A process that ends between
the two leaves a receipt, by which the next one sees that the step was made.
"""

from collections.abc import Awaitable, Callable

import structlog

from fastlane.clock import end_if_cancelled
from fastlane.errors import Conflict, FastlaneError, Repeated, TransientError
from fastlane.models import backfill as rules
from fastlane.models.backfill import Backfill
from fastlane.models.job import Job
from fastlane.models.pool import RESTORED
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, tick_id
from fastlane.queue.executions import WaitingQuotas
from fastlane.queue.port import execution_entry
from fastlane.scheduler.ports import Ports

log = structlog.get_logger()

EVERY = 2.0
"""Seconds between two looks. An idle look reads one index, which is empty."""
PAGE = 100


class Backfiller:
    """The backfills of a store. Works while it ``is_chosen``."""

    def __init__(self, ports: Ports, is_chosen: Callable[[], Awaitable[bool]]) -> None:
        self._store = ports.store
        self._queue = ports.queue
        self._clock = ports.clock
        self._pools = ports.pools
        self._quotas = WaitingQuotas(ports.queue, ports.store, ports.pools)
        self._is_chosen = is_chosen

    async def run(self) -> None:
        """Looks at all backfills, again and again. One that fails does not stop the others."""
        while True:
            await self._clock.sleep(EVERY)
            try:
                if await self._is_chosen():
                    await self.look()
            except TransientError as error:
                log.debug("backfills.waiting", error=str(error))

    async def look(self) -> None:
        """Goes on with each backfill as far as it may now. After a store went back to an earlier state, waits until somebody resumes
        dispatch."""
        after: tuple[int, str] | None = None
        while page := await self._store.backfills.running(PAGE, after):
            if (await self._store.paused_pools()).hold == RESTORED:
                return
            for one in page:
                try:
                    await self.go_on(one.id)
                except TransientError:
                    raise
                except Exception as error:
                    known = isinstance(error, FastlaneError)
                    log.warning("backfill.failed", task_id=one.task_id, job_id=one.id, error=str(error), exc_info=not known)
                    end_if_cancelled()
            after = (page[-1].created_at, page[-1].id)

    async def go_on(self, job_id: str) -> None:
        """Goes on with the backfill of a job, if it has one. Safe to repeat at any time."""
        for _ in range(rules.MOST_AT_ONCE + 1):
            job = await self._store.job(job_id)
            seen = await self._store.backfills.of_job(job_id)  # after the job: who stops a backfill changes the job after the record
            if seen is None or seen.ended_at is not None:
                return
            reason = rules.over(seen, job)
            if reason is not None or job is None:
                await self._end(seen, reason)
                return
            if (closed := await self._closed(seen)) is not seen:
                if not await self._store.backfills.write(closed):
                    continue
                seen = closed
            if not seen.remaining and not seen.open:
                await self._end(seen, None)
                return
            if not rules.may_go_on(seen, job) or await self._quotas.refusal(job.task_id) is not None:
                return
            await self._step(job, seen)

    async def _closed(self, seen: Backfill) -> Backfill:
        """The record without the due times whose executions have ended; the same one when none has."""
        last = await self._store.backfills.last_statuses(seen)
        ended = {due: status for due, status in last.items() if status is None or status.final}
        return rules.closed(seen, ended) if ended else seen

    async def _step(self, job: Job, seen: Backfill) -> None:
        now = max(self._clock.now(), seen.created_at)
        change = rules.step(job, seen, now=now)
        try:
            record = rules.receipt(seen, change, now=now)
            if not await self._store.advance(job, change.job, change.ticks, change.execution, record, change.recorded(now)):
                return
            outcome: Outcome | None = change.ticks[0].outcome
        except (Repeated, Conflict):  # a process made this step, and ended before it wrote the record
            tick = await self._store.tick(tick_id(seen.incarnation, seen.key_of(seen.remaining[0])))
            outcome = None if tick is None else tick.outcome
        await self._store.backfills.write(rules.stepped(seen, outcome))
        execution = await self._store.execution(seen.attempt_id(seen.remaining[0]))
        if execution is not None and execution.status is Status.ENQUEUED:
            await self._queue.put([execution_entry(execution, self._pools)])
        ids = {"task_id": job.task_id, "job_id": job.id, "execution_id": None if execution is None else execution.id}
        log.info("backfill.tick", **ids, backfill=seen.request, due=seen.remaining[0], left=len(seen.remaining) - 1)

    async def _end(self, seen: Backfill, reason: str | None) -> None:
        after = rules.ended(seen, reason, now=self._clock.now())
        await self._store.add_events([rules.ended_event(after)])
        if await self._store.backfills.write(after):
            log.info("backfill.ended", task_id=seen.task_id, job_id=seen.id, backfill=seen.request, reason=reason)
