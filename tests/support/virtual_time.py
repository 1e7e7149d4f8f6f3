"""Fastlane in virtual time, for races: one store, one queue, clients and a worker's parts, and a test that takes each step.

Its ports are intercepted, so a test can act in the moment before or after a call: there another client comes in between, or the process
ends. So each interleaving is a test that always goes the same way.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from fastlane.models import job_change, transitions
from fastlane.models.job import Ending, Execution, Failure, Job, Started
from fastlane.models.pool import Pool
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import Schedule, ScheduleKind as When
from fastlane.models.status import Status
from fastlane.queue.port import TICKS, EntryKind, Lane, Lease
from fastlane.queue.redis.queue import RedisQueue
from fastlane.scheduler.leases import Assignment
from fastlane.scheduler.worker import WorkerParts, build_parts
from tests.support.clock import FakeClock
from tests.support.defaults import default_worker, ports_of
from tests.support.instant import InstantExecutor
from tests.support.intercept import Act, Intercepted
from tests.support.ledger import ticks_of
from tests.support.services import services_of
from tests.support.stored_data import add_history
from tests.support.stores import ON_MONGO, new_store, store_url

HOST = "unix:///instant"
POOLS = (Pool("other", "other-", (HOST,)), Pool("default", "", (HOST,), max_running=100))
LEASE = 10**12


class SkippingClock(FakeClock):
    """Time passes while somebody sleeps, and then at once. ``in_sleep``: what happens in the next sleeps, one each."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        super().__init__(now)
        self.in_sleep: list[Act] = []
        self._one = asyncio.Lock()

    async def sleep(self, seconds: float) -> None:
        async with self._one:  # whoever sleeps beside: what happens happens in its order
            if self.in_sleep:
                await self.in_sleep.pop(0)()
        self._microseconds += round(seconds * 1_000_000)
        await asyncio.sleep(0)

    def set(self, now: int) -> None:
        """It is this moment."""
        self._microseconds = now * 1000


class VirtualFastlane:
    """Used as an async context manager. ``jobs`` is the client whose calls are met (at ``store`` and ``queue``); ``others`` are whoever
    comes in between; ``worker_store`` is where a worker's calls are met."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.clock = SkippingClock()
        self.store_url = store_url(folder)
        self.real_store = new_store(self.store_url)
        self.real_queue = RedisQueue(redis_url, f"virtual-{uuid4().hex[:8]}", time=self.clock.now)
        self.store, self.queue, self.worker_store = Intercepted(self.real_store), Intercepted(self.real_queue), Intercepted(self.real_store)
        store: Any = self.store
        self.services = services_of(store, self.queue, self.clock, POOLS)
        self.others = services_of(self.real_store, self.real_queue, self.clock, POOLS)
        self.executor = InstantExecutor((HOST,), self.clock)
        parts = self._parts("me", self.worker_store)
        self.timer, self.settler, self.reconciler, self.launcher = parts.timer, parts.settler, parts.reconciler, parts.launcher
        self.leases, self.leftovers = parts.leases, parts.leftovers
        self.leases.enter_generation("1")
        self.generation = "1"

    async def __aenter__(self) -> "VirtualFastlane":
        await self.real_store.open()
        await self.real_queue.open()
        await self.real_queue.generation.set_generation("1")
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.services.outbox.close()
        await self.others.outbox.close()
        await self.real_queue.close()
        await self.real_store.close()

    # what is there

    async def job(self, job_id: str) -> Job:
        """The job as it is stored."""
        found = await self.real_store.job(job_id)
        assert found is not None
        return found

    async def executions(self, job_id: str) -> list[Execution]:
        """All of the job's, the oldest first."""
        return list(reversed(await self.real_store.executions_of(job_id, 1_000)))

    async def ledger(self, job_id: str) -> list[str]:
        """The outcomes of the job's ticks, the earliest due first."""
        return [tick.outcome.value for tick in reversed(await ticks_of(self.real_store, job_id, 1_000))]

    # what a worker does

    async def claim(self) -> list[Lease]:
        """All that can be leased now."""
        lanes = [Lane(TICKS, None), *(Lane(pool.name, pool.max_running) for pool in POOLS)]
        claim = await self.real_queue.claim(self.generation, "me", lanes, 256, lease=LEASE)
        assert not claim.cold
        return list(claim.leases)

    async def work(self) -> list[str]:
        """Fires the jobs that are due, settles what has ended; the ids of the executions that a worker has then to start, in order."""
        started: list[str] = []
        while leases := await self.claim():
            for lease in leases:
                execution = await self.real_store.execution(lease.id)
                if lease.kind is EntryKind.JOB:
                    await self.timer.handle(lease, self.clock.now())
                elif execution is None:
                    await self.real_queue.finish({lease.id: lease.revision})
                elif execution.status.final:
                    await self.settle(lease.id)
                elif execution.waits is not None:
                    await self.launcher.decline(Assignment(lease), execution)
                else:
                    started.append(lease.id)
        return started

    async def place(self, execution_id: str) -> Execution | None:
        """A worker claims the execution, or takes it over, and binds a service to it, unless it ends or goes before that; the row after
        it."""
        assignment = Assignment(Lease(execution_id, EntryKind.EXECUTION, "default", 0))
        execution = await self.launcher.claim(assignment)
        if execution is not None and execution.status is Status.PULLING and assignment.epoch is None:
            execution = await self._change(transitions.take_over(execution))
        elif execution is not None and execution.status is Status.ENQUEUED:
            execution = await self.launcher.decline(assignment, execution)
        while execution is not None and not execution.status.final and execution.service_id is None:
            execution = await self.launcher.bind(assignment, execution)
        return execution

    async def until(self, moment: int) -> list[str]:
        """Works, and again at that moment; what is to be started then. Nothing may be before it."""
        self.clock.set(moment - 1)
        assert await self.work() == []
        self.clock.set(moment)
        return await self.work()

    async def run(self, execution_id: str) -> Execution:
        """A worker starts the execution, and sees it run."""
        execution = await self.real_store.execution(execution_id)
        assert execution is not None
        now = self.clock.now()
        pulling = await self._change(transitions.claim(execution, host=HOST, pool="default", now=now))
        bound = await self._change(
            transitions.bind(pulling, service_id=f"s-{execution_id}", swarm_id=f"swarm of {HOST}", image_digest=None, now=now)
        )
        return await self._change(transitions.run(bound, Started("task", None, now)))

    async def end(self, execution_id: str, code: int = 0) -> Execution:
        """What runs ends with this exit code; not settled yet."""
        execution = await self.real_store.execution(execution_id)
        assert execution is not None
        final = Status.FAILED if code else Status.STOPPED if execution.stop_requested_at else Status.DONE
        failure = Failure(FailureReason.EXIT, f"exit code {code}") if code else None
        return await self._change(transitions.end(execution, Ending(final, self.clock.now(), code, failure)))

    async def settle(self, execution_id: str) -> None:
        """What follows an end."""
        execution = await self.real_store.execution(execution_id)
        assert execution is not None
        await self.settler.clean(await self.settler.settle(execution))

    async def finish(self, execution_id: str, code: int = 0) -> None:
        """What a worker was given is run, ends, is settled and cleaned."""
        await self.run(execution_id)
        await self.end(execution_id, code)
        await self.settle(execution_id)

    async def past(self, job_id: str, count: int) -> None:
        """So many executions more that the job has had, all of them at their end."""
        first = seen = await self.job(job_id)
        past = []
        for _ in range(count):
            advance = job_change.run_now(seen, seen.spec, now=self.clock.now(), by=None)
            assert advance.execution is not None
            ended = replace(advance.execution, status=Status.DONE, finished_at=self.clock.now(), settled=True, cleaned=True)
            past.append((seen, advance, ended))
            seen = advance.job
        if not ON_MONGO:
            assert all(await asyncio.gather(*(self.real_store.advance(seen, one.job, one.ticks, ended) for seen, one, ended in past)))
            return
        *some, (_, last, ended) = past
        add_history(self.store_url, [tick for _, one, _ in some for tick in one.ticks], [ended for *_, ended in some])
        assert await self.real_store.advance(first, last.job, last.ticks, ended)

    async def rebuild(self, *, flush: bool = True) -> None:
        """The queue's data are lost, and it is built anew, by a worker that is at its first look."""
        if flush:
            await self.real_queue.generation.wipe()
        rebuilder = self._parts(f"builder-{uuid4().hex[:6]}", self.real_store).rebuilder
        self.generation = await rebuilder.ensure()
        async with asyncio.timeout(20):
            await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "rebuild"))

    def _parts(self, worker_id: str, store: Any) -> WorkerParts:
        ports = ports_of(store, self.real_queue, self.clock, executor=self.executor, pools=POOLS, owner=worker_id)
        return build_parts(ports, default_worker(lease=LEASE / 1000))

    async def _change(self, change: Any) -> Execution:
        after = await self.real_store.change(change)
        assert after is not None
        return after

    # what jobs are made of

    def at(self, seconds: float) -> Schedule:
        """In so many seconds."""
        return Schedule(When.AT, self.clock.now() + round(seconds * 1000))
