"""Changes single fields of a job: PATCH."""

from collections.abc import Callable, Sequence
from functools import partial

import structlog

from fastlane.clock import Clock
from fastlane.errors import Conflict
from fastlane.models import job_change
from fastlane.models.access import Requester
from fastlane.models.event import EventKind
from fastlane.models.idempotency import IdempotencyKey
from fastlane.models.job import ExpectedVersions, Job, Spec
from fastlane.models.job_change import JobChange
from fastlane.models.placement.pool import Pool
from fastlane.models.schedule.schedule import Schedule
from fastlane.services.jobs.admission import admit
from fastlane.services.jobs.changes import JobChanges, check_version
from fastlane.services.jobs.idempotency import Idempotency, enqueued, record_of
from fastlane.services.jobs.outbox import QueueOutbox
from fastlane.services.results import Enqueued
from fastlane.storage.base import JobStore
from fastlane.storage.lookup import find_job

Edit = Callable[[Job, int], tuple[Spec, Schedule]]
"""What a job runs and when, after a change of the job that was read, at a moment (milliseconds). Raises Invalid."""

log = structlog.get_logger()


class Edits:
    """Changes jobs. A change that another process made in between is kept: the edit is made again to what the job is then.

    Both methods raise NotFound, Changed when the job has none of the expected versions, and what the edit raises. A new start makes the job
    active again, as ``Submissions.put`` does, and raises the same; any other change leaves its next tick, pause and stop as they are.
    """

    def __init__(
        self, store: JobStore, outbox: QueueOutbox, clock: Clock, pools: Sequence[Pool], changes: JobChanges, idempotency: Idempotency
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._clock = clock
        self._pools = pools
        self._changes = changes
        self._idempotency = idempotency

    async def preview(self, task_id: str, job_id: str, edit: Edit, expected: ExpectedVersions | None = None) -> JobChange:
        """The change that ``edit`` would write. Writes nothing."""
        return self._change(await find_job(self._store, task_id, job_id), edit, self._clock.now(), None, expected)

    async def edit(
        self,
        task_id: str,
        job_id: str,
        edit: Edit,
        by: Requester | None = None,
        key: IdempotencyKey | None = None,
        expected: ExpectedVersions | None = None,
    ) -> Enqueued:
        """Changes the job. Raises KeyReused for a known idempotency key with another body; with the same body the first answer comes
        again."""

        async def step(seen: Job, now: int) -> JobChange:
            return self._change(seen, edit, now, by, expected)

        async def apply() -> Enqueued:
            await self._outbox.check()
            change = await self._changes.apply(task_id, job_id, step, partial(record_of, key))
            await self._outbox.enqueue(change.execution, change.job)
            await self._outbox.enqueue(await self._changes.release_waiting(change.job))
            if change.job.next_tick is None:
                await self._outbox.withdraw(change.job)
            log.info("job.edited", task_id=task_id, job_id=job_id, revision=change.job.revision, next_tick=change.job.next_tick)
            return enqueued(change)

        return await self._idempotency.run_once(key, apply)

    def _change(self, seen: Job, edit: Edit, now: int, by: Requester | None, expected: ExpectedVersions | None) -> JobChange:
        check_version(seen, seen.id, expected)
        spec, schedule = edit(seen, now)
        if _would_revive(seen, spec, schedule):
            raise Conflict(f"job {seen.id} has expired, and a later expiration alone does not schedule it again; send a PUT")
        if not schedule.starts_as(seen.schedule) or _admitted(spec) != _admitted(seen.spec):
            admit(self._pools, seen.task_id, spec)
        return job_change.edit(seen, spec, schedule, now=now, by=by).told(EventKind.JOB_CHANGED, now, by, how="PATCH")


def _would_revive(job: Job, spec: Spec, schedule: Schedule) -> bool:
    """Whether only the expiration of a cron changes that has no run to come because of it."""
    over = job.next_tick is None and not job.stopped and not job.paused and schedule.cron is not None
    return over and schedule.starts_as(job.schedule) and spec.expiration != job.spec.expiration


def _admitted(spec: Spec) -> tuple[object, ...]:
    """What of a spec a pool may refuse. The rest changes even when the pool has since become stricter."""
    return spec.resources, spec.container, spec.timeout
