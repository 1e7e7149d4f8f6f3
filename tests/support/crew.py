"""Workers of one fastlane in this process, on a real SQLite store, a real Redis, and the executor that ends at once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from fastlane.clock import Clock, SystemClock
from fastlane.models.execution import Execution
from fastlane.models.job import Spec
from fastlane.models.placement.pool import Pool
from fastlane.models.schedule.schedule import Schedule, ScheduleKind
from fastlane.models.schedule.tick import Tick
from fastlane.queue.base import TICKS, Entry, EntryKind
from fastlane.queue.redis.queue import RedisQueue
from fastlane.scheduler.limits import Limits
from fastlane.scheduler.worker import Worker
from fastlane.services.results import Enqueued
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.defaults import default_limits, default_worker
from tests.support.instant import InstantExecutor
from tests.support.ledger import ticks_of
from tests.support.services import services_of

T = TypeVar("T")

HOST = "unix:///instant"
PATIENCE = 30.0


class Crew:
    """One store and one executor's world, and any number of workers on them. Used as an async context manager."""

    def __init__(
        self,
        folder: Path,
        redis_url: str,
        *,
        pools: tuple[Pool, ...] = (Pool("default", "", (HOST,), max_running=10),),
        lease: float = 15.0,
        limits: Limits | None = None,
    ) -> None:
        self.clock: Clock = SystemClock()
        self.pools = pools
        self.store = SqliteStore(folder / "store.db")
        self.installation = f"crew-{uuid4().hex[:8]}"
        self.redis_url = redis_url
        hosts = sorted({host for pool in pools for host in pool.hosts})
        self.executor = InstantExecutor(hosts, self.clock)
        self.queue = RedisQueue(redis_url, self.installation)
        self.services = services_of(self.store, self.queue, self.clock, pools)
        self.settings = default_worker(pools, limits or default_limits(gone_after=1.0), lease=lease, renew=lease / 3, reconcile=0.5)
        self._running: list[tuple[asyncio.Task[None], RedisQueue]] = []

    async def __aenter__(self) -> "Crew":
        await self.store.open()
        await self.queue.open()
        return self

    async def __aexit__(self, *error: object) -> None:
        while self._running:
            await self.dismiss()
        await self.services.outbox.close()
        await self.queue.close()
        await self.store.close()

    async def hire(self) -> Worker:
        """One more worker, at work, with a connection of its own to Redis."""
        queue = RedisQueue(self.redis_url, self.installation)
        worker = Worker(self.store, queue, queue.generation, queue.reports, self.executor, self.clock, self.settings)
        await queue.open()
        self._running.append((asyncio.create_task(worker.run()), queue))
        return worker

    async def dismiss(self) -> None:
        """The worker hired first ends as at a SIGTERM."""
        task, queue = self._running.pop(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await queue.close()

    async def enqueue(
        self, *command: str, task: str = "task", at: int | None = None, schedule: Schedule | None = None, **rules: int
    ) -> Enqueued:
        """A job that runs now, at that moment, or by that schedule; ``rules`` are fields of its spec."""
        when = schedule or (Schedule() if at is None else Schedule(ScheduleKind.AT, at))
        return await self.services.submissions.enqueue(task, Spec("ubuntu:latest", command or None, **rules), when)

    async def move(self, job: Enqueued, due: int) -> None:
        """Sets the next tick of a job for later, as time would: it waits in the queue, and is not being fired."""

        async def at_rest() -> bool:
            row = (await self.queue.counts([TICKS]))[TICKS]
            return (row.timed, row.ready, row.running) == (1, 0, 0)

        await self.until(at_rest, f"{job} to stand in the queue, the only one for later")
        stored = await self.store.job(job.job_id)
        assert stored is not None
        assert await self.store.advance(stored, replace(stored, next_tick=due), [], None)
        await self.queue.cancel(job.job_id)
        await self.queue.put([Entry(job.job_id, EntryKind.JOB, TICKS, due, stored.revision)])

    async def ledger(self, job: Enqueued, *outcomes: str) -> list[Tick]:
        """The job's ledger, the earliest due first, once its rows have these outcomes."""

        async def written() -> list[Tick] | None:
            rows = list(reversed(await ticks_of(self.store, job.job_id, 100)))
            return rows if [row.outcome.value for row in rows] == list(outcomes) else None

        found = await self.until(written, f"{outcomes} in the ledger of {job}")
        assert found is not None
        return found

    async def attempts(self, job: Enqueued) -> list[Execution]:
        """The job's executions, the oldest first."""
        return list(reversed(await self.store.executions_of(job.job_id, 100)))

    async def execution(self, job: Enqueued) -> Execution | None:
        """The newest execution of a job, None while there is none."""
        return (await self.store.latest([job.job_id])).get(job.job_id)

    async def until(self, condition: Callable[[], Awaitable[T]], what: str) -> T:
        """What the condition answers once it is true; fails with ``what`` when that does not come."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not (answer := await condition()):
                    await self.clock.sleep(0.005)
                return answer
        except TimeoutError:
            raise AssertionError(f"waited {PATIENCE:g} s in vain for {what}") from None

    async def reaches(self, job: Enqueued, *statuses: str) -> Execution:
        """The newest execution of a job, once it has one of these statuses."""

        async def reached() -> Execution | None:
            execution = await self.execution(job)
            return execution if execution is not None and execution.status.value in statuses else None

        found = await self.until(reached, f"{statuses} of {job}")
        assert found is not None
        return found

    async def cleaned(self, job: Enqueued) -> Execution:
        """The newest execution of a job, once it is final, settled and clean."""

        async def clean() -> Execution | None:
            execution = await self.execution(job)
            return execution if execution is not None and execution.cleaned and execution.settled else None

        found = await self.until(clean, f"the end of {job}")
        assert found is not None
        return found

    async def idle(self) -> None:
        """Returns once nothing is left in the queue."""

        async def empty() -> bool:
            counts = await self.queue.counts([TICKS, *(pool.name for pool in self.pools)])
            return all(row.ready == row.timed == row.running == 0 for row in counts.values())

        await self.until(empty, "an empty queue")

    async def log(self, execution: Execution) -> bytes:
        """All of its stored log, in stored order."""
        read = await self.store.read_log(execution.id, 0, 1 << 30)
        return b"".join(piece.data for piece in read.pieces)
