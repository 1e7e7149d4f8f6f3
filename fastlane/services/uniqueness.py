"""Lets no equal job wait beside one with ``unique``. The store refuses a second job with the same key (``models.unique``); here it is
decided whether the first one may keep it."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from fastlane.errors import NotUnique, StoreDown
from fastlane.models.job import Job
from fastlane.models.unique import first_start, waits
from fastlane.services.parts import Service

T = TypeVar("T")

MAX_TRIES = 50
"""Other jobs with the same key that may come and go while one is written."""
PAUSE = 0.02
"""Seconds before a further try, when the job with the key is not to be seen yet, or has just given the key up."""

log = structlog.get_logger()


class Uniqueness(Service):
    """Writes jobs that may have a key."""

    async def write(self, job: Job, act: Callable[[], Awaitable[T]], written: T) -> T:
        """The result of ``act``, which writes the job. Takes the key from a job that does not wait any more. Raises NotUnique, which names
        the other, while that waits. ``written``: the result when an earlier try wrote the job, and only its answer was lost."""
        for _ in range(MAX_TRIES):
            try:
                return await act()
            except NotUnique:
                if job.unique_key is None:
                    raise
            holder = await self._store.unique_job(job.unique_key)
            if holder is None:
                await self._clock.sleep(PAUSE)
                continue
            if (holder.incarnation, holder.revision) == (job.incarnation, job.revision):
                return written
            if await self._waits(holder):
                raise NotUnique(_words(holder), task_id=holder.task_id, job_id=holder.id)
            if await self._store.take_unique_key(holder):
                log.debug("job.unique_key_taken", task_id=holder.task_id, job_id=holder.id)
        raise StoreDown(f"equal jobs of the task {job.task_id!r} come and go too often just now; try again")

    async def check(self, job: Job) -> None:
        """Raises NotUnique, which names the other, when a job that is not written yet would equal one that waits."""
        holder = None if job.unique_key is None else await self._store.unique_job(job.unique_key)
        if holder is not None and holder.id != job.id and await self._waits(holder):
            raise NotUnique(_words(holder), task_id=holder.task_id, job_id=holder.id)

    async def _waits(self, holder: Job) -> bool:
        holder, now = await self._calendars.job(holder), self._clock.now()
        return waits(holder, None, now) or waits(holder, await self._store.execution(first_start(holder)), now)


def _words(holder: Job) -> str:
    state = "is paused" if holder.paused else "is enqueued" if holder.next_tick is None else "is scheduled"
    return f"the job must be unique, and an equal one {state}: {holder.id}; wait for that, or leave unique out"
