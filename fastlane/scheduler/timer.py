"""Fires jobs whose tick is due: inserts the tick and its execution, by one compare-and-set on the job."""

import structlog

from fastlane.models.job import Execution, Job
from fastlane.models.job_change import fire
from fastlane.models.status import Status
from fastlane.queue.executions import WaitingQuotas
from fastlane.queue.port import Lease, execution_entry
from fastlane.scheduler.ports import Ports

log = structlog.get_logger()


class Timer:
    """Handles the job entries that the dispatcher claims."""

    def __init__(self, ports: Ports) -> None:
        self._store = ports.store
        self._queue = ports.queue
        self._clock = ports.clock
        self._owner = ports.owner
        self._pools = ports.pools
        self._calendars = ports.book()
        self._quotas = WaitingQuotas(ports.queue, ports.store, ports.pools)

    async def handle(self, lease: Lease, now: int) -> None:
        """Fires the job while a tick of it is due at ``now`` (the queue's time); then moves its entry to the next tick, or removes it."""
        fired = False
        while True:
            job = await self._store.job(lease.id)
            if job is not None and job.next_tick is not None and job.next_tick <= now:
                fired = await self._fire(job, now, first=not fired) or fired
                continue
            if not fired:
                await self._put_again(await self._latest(lease.id))
                await self._put_again(await self._store.waiting(lease.id))
            if job is None or job.next_tick is None:
                await self._queue.finish({lease.id: lease.revision})
            else:
                await self._queue.requeue(self._owner, lease.id, job.next_tick)
            return

    async def _fire(self, job: Job, now: int, *, first: bool) -> bool:
        latest = await self._latest(job.id)
        if first and latest is not None and latest.status is Status.ENQUEUED:
            await self._put_again(latest)
        if first:
            await self._put_again(await self._store.waiting(job.id))
        others = () if job.schedule.always_overlaps else await self._store.under_way_of(job.task_id, job.id)
        refused = None if job.schedule.cron is None else await self._quotas.refusal(job.task_id)
        job = await self._calendars.job(job)
        firing = fire(job, others=others, now=max(now, self._clock.now()), refused=refused)
        if not await self._store.advance(job, firing.job, firing.ticks, firing.execution, None, firing.recorded(self._clock.now())):
            return False
        for tick in firing.ticks:
            ids = {"task_id": job.task_id, "job_id": job.id, "tick_id": tick.id, "execution_id": tick.execution_id}
            log.info("tick.decided", **ids, due=tick.due, outcome=tick.outcome.value)
        if firing.execution is not None:
            await self._queue.put([execution_entry(firing.execution, self._pools)])
        return True

    async def _latest(self, job_id: str) -> Execution | None:
        return (await self._store.latest([job_id])).get(job_id)

    async def _put_again(self, latest: Execution | None) -> None:
        """Puts the latest execution's entry, in case the worker that fired its tick ended, or lost the queue, before it did. An entry that
        exists stays as it is."""
        if latest is not None and not latest.status.final:
            await self._queue.put([execution_entry(latest, self._pools)])
