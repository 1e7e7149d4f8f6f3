"""Watches for jobs that are late: those without a success for as long as they are expected to have one.

The check is a row's moment in the store, so any process notices, whatever has become of the worker that should have run the job: another
worker or, while no worker is alive, an API server. Each step is a compare-and-set of the job, so of several processes one tells it.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from fastlane.clock import Clock
from fastlane.errors import TransientError
from fastlane.models.delivery import checked, notices, succeeded, told
from fastlane.models.execution import Execution
from fastlane.models.job import Job
from fastlane.models.notify import NotificationTrigger
from fastlane.models.pool import RESTORED, Pool
from fastlane.models.status import Status
from fastlane.scheduler.known_workers import always
from fastlane.storage.base import DeliveryStore, ExecutionStore, JobStore, PoolStore

log = structlog.get_logger()

LOOK_EVERY = 2.0
"""Seconds between two looks for jobs whose check is due."""
PAGE = 100


class LatenessStore(JobStore, ExecutionStore, DeliveryStore, PoolStore, Protocol):
    """What is needed of the store."""


class Lateness:
    """``pools`` have webhooks of jobs without any. ``on_deliveries`` is called when there is something to send."""

    def __init__(
        self,
        store: LatenessStore,
        clock: Clock,
        pools: Sequence[Pool],
        on_deliveries: Callable[[], None],
        is_needed: Callable[[], Awaitable[bool]] = always,
    ) -> None:
        self._store = store
        self._clock = clock
        self._pools = pools
        self._on_deliveries = on_deliveries
        self._is_needed = is_needed
        self._chance = random.Random(random.random())  # its own, so that a seed repeats a run whatever is drawn elsewhere meanwhile

    async def run(self) -> None:
        """Looks for jobs that are late, forever."""
        while True:
            try:
                if await self._is_needed():
                    await self.look()
            except TransientError as error:
                log.warning("lateness.waiting", error=str(error))
            await self._clock.sleep(LOOK_EVERY * (0.75 + self._chance.random() / 2))

    async def succeeded(self, execution: Execution) -> None:
        """Takes note of an execution that is done; a late job has recovered. Safe to repeat."""
        at = execution.finished_at
        while at is not None:
            job = await self._store.job(execution.job_id)
            if job is None or job.spec.expect_every is None or not execution.belongs_to(job):
                return
            now = self._clock.now()
            after = succeeded(job, at, now)
            if job.late_since is not None and job.late_since <= at:
                if job.check_at is not None:
                    await self._tell(
                        job, NotificationTrigger.LATE, job.late_since
                    )  # whoever said that it is late has perhaps not come to it
                await self._tell(job, NotificationTrigger.RECOVERED, at)
            if after == job or await self._store.advance(job, after, (), None):
                if job.late_since is not None and after.late_since is None:
                    log.info("job.recovered", task_id=job.task_id, job_id=job.id, execution_id=execution.id)
                return

    async def look(self) -> None:
        """Checks what is due. When a store went back to an earlier state, jobs seem late that are not: it waits until somebody resumes
        dispatch."""
        while True:
            rows = await self._store.jobs_to_check(self._clock.now(), PAGE)
            if not rows or (await self._store.paused_pools()).hold == RESTORED:
                return
            for job in rows:
                await self._check(job)
            if len(rows) < PAGE:
                return

    async def _check(self, job: Job) -> None:
        if job.late_since is None:
            after = checked(job, await self._last_success(job), self._clock.now())
            if not await self._store.advance(job, after, (), None) or after.late_since is None:
                return
            log.warning("job.late", task_id=job.task_id, job_id=job.id, late_since=after.late_since)
            job = after
        if job.late_since is not None:
            await self._tell(job, NotificationTrigger.LATE, job.late_since)
            await self._store.advance(job, told(job), (), None)

    async def _last_success(self, job: Job) -> int | None:
        """When the job was done last, as far as is stored: an execution may be done and not settled yet."""
        done = await self._store.executions_of(job.id, 1, statuses=frozenset({Status.DONE}))
        return max((one.finished_at for one in done if one.finished_at is not None and one.belongs_to(job)), default=None)

    async def _tell(self, job: Job, trigger: NotificationTrigger, at: int) -> None:
        deliveries = notices(job, trigger, self._pools, at, self._clock.now())
        if deliveries:
            await self._store.insert_deliveries(deliveries)
            self._on_deliveries()
