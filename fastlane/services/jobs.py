"""Jobs: taking them in, and stopping them.

Both write the store first, which is the truth, and tell the queue after it. What the queue did not hear is told again in the
background, and found by the reconciler in any case; so nothing fails any more once the store has it.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from fastlane.clock import Clock
from fastlane.errors import Fault, Invalid, NotFound, QueueDown
from fastlane.models import status, tick
from fastlane.models.execution import Execution
from fastlane.models.ids import new_id
from fastlane.models.job import Job, Spec, job_status
from fastlane.models.pool import Pool, pool_for
from fastlane.models.schedule import Kind, Schedule
from fastlane.models.status import UNDER_WAY, Status
from fastlane.queue import base as queues
from fastlane.queue.base import TICKS, Cancelled, Entry, Queue
from fastlane.storage.base import Store

ANSWER_HOLDS = 1_000
"""For so long (milliseconds) an answer of the queue counts as "it answers": a burst of jobs pays for one look at it."""

FIRST_RETRY, LAST_RETRY = 0.2, 5.0
BACKLOG, BATCH = 10_000, 200
PAGE, ROUNDS = 200, 10

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What an accepted job is called. ``execution_id`` is None when it starts later: the execution does not exist yet."""

    task_id: str
    job_id: str
    tick_id: str
    execution_id: str | None


@dataclass(frozen=True, slots=True)
class Stopped:
    """What was told to stop, and the status that this left it in (``running`` while its end is awaited)."""

    task_id: str
    job_id: str
    execution_id: str | None
    status: str


class Handover:
    """Hands entries over to the queue: at once when it answers, else again and again, in order, until it does.

    At most 10,000 entries wait; what comes beyond them is left to the reconciler. ``close`` ends the one task of it.
    """

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._answered_at: int | None = None
        self._asking: asyncio.Task[None] | None = None
        self._backlog: deque[Entry] = deque()
        self._retrying: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        """Returns when the queue answers, or did within the last second; raises QueueDown. All who ask at once share one look."""
        if self._answered_at is not None and 0 <= self._clock.now() - self._answered_at < ANSWER_HOLDS:
            return
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(self._asked)
        await asyncio.shield(self._asking)

    async def put(self, entries: Sequence[Entry]) -> None:
        """Puts entries; never raises: when the queue is down they wait for it."""
        try:
            await self._queue.put(entries)
        except QueueDown as error:
            self._answered_at = None
            self._defer(entries, error)
        else:
            self._answered_at = self._clock.now()

    async def close(self) -> None:
        """Gives up what still waits, and ends the tasks."""
        tasks = [task for task in (self._retrying, self._asking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self) -> None:
        await self._queue.check()
        self._answered_at = self._clock.now()

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._asking = None
        if not task.cancelled():
            task.exception()  # seen, also when everybody who asked has gone

    def _defer(self, entries: Sequence[Entry], error: QueueDown) -> None:
        kept = list(entries)[: BACKLOG - len(self._backlog)]
        log.warning("queue.put.deferred", entries=[entry.id for entry in entries], kept=len(kept), error=str(error))
        self._backlog.extend(kept)
        if self._retrying is None or self._retrying.done():
            self._retrying = asyncio.create_task(self._retry())

    async def _retry(self) -> None:
        delay = FIRST_RETRY
        while self._backlog:
            await self._clock.sleep(delay)
            batch = [self._backlog[place] for place in range(min(BATCH, len(self._backlog)))]
            try:
                await self._queue.put(batch)
            except QueueDown:
                delay = min(max(delay * 2, FIRST_RETRY), LAST_RETRY)
                continue
            for _ in batch:
                self._backlog.popleft()
            delay = 0.0
        log.info("queue.put.caught_up")


class Jobs:
    """Takes jobs in and stops them. Raises ``StoreDown`` and ``QueueDown`` only as long as nothing was written."""

    def __init__(self, store: Store, queue: Queue, clock: Clock, pools: Sequence[Pool]) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._pools = tuple(pools)
        self._handover = Handover(queue, clock)

    async def close(self) -> None:
        """Ends the background work."""
        await self._handover.close()

    async def enqueue(self, task_id: str, spec: Spec, schedule: Schedule) -> Enqueued:
        """Makes a job of the task, which is made too when it is new. Raises Invalid when no pool takes the task."""
        if pool_for(self._pools, task_id) is None:
            words = f"no pool takes the task {task_id!r}; use another task id, or add a pool whose match fits it to the settings"
            raise Invalid([Fault("taskId", words)])
        await self._handover.ready()
        now = self._clock.now()
        job = _new_job(task_id, spec, schedule, now)
        if schedule.kind is Kind.NOW:
            return await self._run_now(job, now)
        return await self._run_later(job)

    async def stop_job(self, task_id: str, job_id: str) -> Stopped:
        """No further execution of the job starts, and one under way is stopped. Safe to repeat at every moment of its life."""
        await self._job(task_id, job_id)
        job = await self._store.stop_job(job_id, self._clock.now())
        if job is None:
            raise NotFound(f"task {task_id!r} has no job {job_id} any more")
        log.info("job.stop", task_id=task_id, job_id=job_id, sequence=job.stop_sequence)
        if job.schedule.kind is not Kind.NOW:
            await self._cancel(job_id)
        await self._stop_covered(job)
        latest = (await self._store.latest([job_id])).get(job_id)
        return Stopped(task_id, job_id, None, job_status(job, latest.status if latest else None))

    async def stop_execution(self, task_id: str, job_id: str, execution_id: str) -> Stopped:
        """Stops one execution; a final one stays as it ended."""
        await self._job(task_id, job_id)
        execution = await self._store.execution(execution_id)
        if execution is None or execution.job_id != job_id:
            raise NotFound(f"job {job_id} has no execution {execution_id}")
        after = await self._stop(execution)
        return Stopped(task_id, job_id, execution_id, after.status)

    async def _run_now(self, job: Job, now: int) -> Enqueued:
        first, execution = tick.make(job, tick.once_key(job.schedule_revision), sequence=job.sequence, due=now, now=now)
        await self._store.create(job, first, execution)
        log.debug("job.enqueued", task_id=job.task_id, job_id=job.id, tick_id=first.id, execution_id=execution.id)
        await self._handover.put([queues.entry_of(execution, self._pools, due=now)])
        return Enqueued(job.task_id, job.id, first.id, execution.id)

    async def _run_later(self, job: Job) -> Enqueued:
        cron = job.schedule.cron is not None
        key = tick.cron_key(job.next_tick) if cron and job.next_tick is not None else tick.once_key(job.schedule_revision)
        tick_id = tick.tick_id(job.incarnation, key)
        await self._store.create(job, None, None)
        log.debug("job.scheduled", task_id=job.task_id, job_id=job.id, tick_id=tick_id, due=job.next_tick)
        if job.next_tick is not None:
            await self._handover.put([Entry(job.id, queues.Kind.JOB, TICKS, job.next_tick, job.revision)])
        return Enqueued(job.task_id, job.id, tick_id, None)

    async def _job(self, task_id: str, job_id: str) -> Job:
        job = await self._store.job(job_id)
        if job is None or job.task_id != task_id:
            raise NotFound(f"task {task_id!r} has no job {job_id}")
        return job

    async def _stop_covered(self, job: Job) -> None:
        """Stops what is under way, page by page, until a whole look finds nothing new: what ends meanwhile moves the pages."""
        met: set[str] = set()
        for _ in range(ROUNDS):
            fresh = [execution for execution in await self._under_way(job) if execution.id not in met]
            if not fresh:
                return
            for execution in fresh:
                met.add(execution.id)
                await self._stop(execution)
        log.warning("job.stop.unfinished", job_id=job.id, task_id=job.task_id)

    async def _under_way(self, job: Job) -> list[Execution]:
        found: list[Execution] = []
        while True:
            page = await self._store.executions_of(job.id, PAGE, len(found), statuses=UNDER_WAY)
            found += page
            if len(page) < PAGE:
                return [execution for execution in found if job.stops(execution.sequence)]

    async def _stop(self, execution: Execution) -> Execution:
        """One execution, read again as often as somebody else was quicker; each such change moves it forward, so a few times are enough."""
        for _ in range(ROUNDS):
            if execution.status.final:
                return execution
            waits = execution.status is Status.ENQUEUED
            if execution.stop_requested_at is not None and not waits:
                await self._tell(execution, waits=False)
                return execution
            now = self._clock.now()
            change = status.cancel(execution, now=now) if waits else status.flag_stop(execution, now=now)
            after = await self._store.change(change)
            if after is not None:
                log.info("execution.stop", execution_id=after.id, job_id=after.job_id, task_id=after.task_id, status=after.status)
                await self._tell(after, waits=waits)
                return after
            execution = await self._store.execution(execution.id) or execution
        log.warning("execution.stop.unfinished", execution_id=execution.id, job_id=execution.job_id, task_id=execution.task_id)
        return execution

    async def _tell(self, execution: Execution, *, waits: bool) -> None:
        """The owner hears of it; of one that had none the entry goes, and comes back without a slot so that a worker settles it at once."""
        found = await self._cancel(execution.id)
        if waits and found is not Cancelled.TOLD:
            await self._handover.put([Entry(execution.id, queues.Kind.EXECUTION, TICKS, self._clock.now())])

    async def _cancel(self, entry_id: str) -> Cancelled | None:
        try:
            return await self._queue.cancel(entry_id)
        except QueueDown as error:
            log.warning("queue.cancel.failed", entry=entry_id, error=str(error))
            return None


def _new_job(task_id: str, spec: Spec, schedule: Schedule, now: int) -> Job:
    """A job as it begins: one that runs now gives its first number to its tick; a later one's tick takes it when it is due."""
    at_once = schedule.kind is Kind.NOW
    return Job(
        id=new_id(now),
        task_id=task_id,
        incarnation=new_id(now),
        created_at=now,
        modified_at=now,
        spec=spec,
        schedule=schedule,
        sequence=1 if at_once else 0,
        next_tick=schedule.first_tick(now),
        last_tick=now if at_once else None,
    )
