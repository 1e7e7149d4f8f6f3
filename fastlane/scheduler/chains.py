"""Lets jobs follow the end of others: makes the ticks of the jobs after an upstream job, before the execution that ended is settled. So a
process that dies in between leaves an execution that another one settles, and whose ticks it makes.
"""

import structlog

from fastlane.errors import Conflict, Unreadable
from fastlane.models.chain import follow, has_taken_in
from fastlane.models.job import Execution, Job
from fastlane.models.status import Status
from fastlane.queue.executions import WaitingQuotas
from fastlane.queue.port import execution_entry
from fastlane.scheduler.ports import Ports

log = structlog.get_logger()

PAGE = 100
"""Jobs after an upstream job that are read together."""


class ChainLinker:
    """Makes the ticks of the jobs after an execution that ended. Safe to repeat, by any worker and from any point: a job knows the ends
    that it has taken in, and the tick's id derives from the ids of the executions."""

    def __init__(self, ports: Ports) -> None:
        self._store = ports.store
        self._queue = ports.queue
        self._clock = ports.clock
        self._pools = ports.pools
        self._quotas = WaitingQuotas(ports.queue, ports.store, ports.pools)

    async def follow(self, ended: Execution, unsettled: Execution) -> None:
        """Makes the ticks that follow the last attempt of a tick. ``unsettled``: the execution whose row says that this is not done; it is
        the same one, unless the tick has several."""
        after = ""
        while page := await self._store.followers(ended.job_id, PAGE, after):
            for job in page:
                await self._follow(job.id, ended, unsettled.id)
            after = page[-1].id

    async def _follow(self, job_id: str, ended: Execution, unsettled: str) -> None:
        """Writes what becomes of one job, whatever other processes write to it meanwhile. The job is read before the execution: when that
        is not settled then, no other process has made the tick and seen it pruned from the ledger since."""
        while (job := await self._store.job(job_id)) is not None:
            if has_taken_in(job, ended):
                await self._put_again(job)
                return
            current = await self._store.execution(unsettled)
            if current is None or current.settled or await self._write(job, ended):
                return

    async def _write(self, job: Job, ended: Execution) -> bool:
        """Writes what becomes of the job as it was read. False when another process has changed it since."""
        refused, others = await self._quotas.refusal(job.task_id), list[Execution]()
        try:
            others += () if job.schedule.always_overlaps else await self._store.under_way_of(job.task_id, job.id)
        except Unreadable as error:
            refused = f"whether the job runs is not known: {error}"
        now = self._clock.now()
        change = follow(job, ended, others=others, now=now, refused=refused)
        if change is None:
            return True
        try:
            if not await self._store.advance(job, change.job, change.ticks, change.execution, None, change.recorded(now)):
                return False
        except Conflict as error:  # the ledger has this tick
            log.warning("chain.tick_exists", task_id=job.task_id, job_id=job.id, after=ended.id, error=str(error))
            return True
        for tick in change.ticks:
            ids = {"task_id": job.task_id, "job_id": job.id, "tick_id": tick.id, "execution_id": tick.execution_id}
            log.info("tick.decided", **ids, due=tick.due, outcome=tick.outcome.value, after=ended.id)
        if change.execution is not None:
            await self._queue.put([execution_entry(change.execution, self._pools)])
        return True

    async def _put_again(self, job: Job) -> None:
        """Puts the entry of the job's latest execution, in case the worker that made its tick ended before it did. An entry that exists
        stays as it is."""
        latest = (await self._store.latest([job.id])).get(job.id)
        if latest is not None and latest.status is Status.ENQUEUED:
            await self._queue.put([execution_entry(latest, self._pools)])
