"""Dispatch: jobs that wait in the queue are claimed, placed, started, watched to their end and settled, every state durable.

The executor ends each at once, so that what is left is fastlane's own part. Measured from the moment when the queue is told of the
jobs, which the store has, until the store says that the last one is settled and clean.
"""

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import uvloop

from benchmarks import peer_huey
from benchmarks.figures import Figure, Target
from benchmarks.processes import child
from fastlane.clock import SystemClock
from fastlane.models import tick
from fastlane.models.execution import Execution
from fastlane.models.ids import new_id
from fastlane.models.job import Job, Spec
from fastlane.models.pool import Pool
from fastlane.models.schedule import Schedule
from fastlane.models.status import Status
from fastlane.queue.base import entry_of
from fastlane.queue.redis import RedisQueue
from fastlane.storage.sqlite import SqliteStore
from tests.support.redis import RealRedis

JOBS = 4_000
AT_ONCE = 200
"""The pool's ``maxRunning``."""
HOST = "unix:///instant"
POOL = Pool("default", "", (HOST,), max_running=AT_ONCE)
PATIENCE = 120.0
CLOCK = SystemClock()


def measure(rounds: int, say: Callable[[str], None]) -> list[Figure]:
    """Dispatch by one worker and by two, huey's beside it."""
    one, two, peer = [], [], []
    for turn in range(rounds):
        one.append(dispatch(1))
        peer += peer_huey.rate(JOBS)
        two.append(dispatch(2))
        say(f"round {turn + 1}: {one[-1]:,.0f}/s by one worker, {two[-1]:,.0f}/s by two; huey {[round(rate) for rate in peer[-1:]]}")
    return [
        Figure("dispatch, 1 worker, against huey", "jobs/s", one, peer, "huey, which keeps no state", target=Target(1.0, at_least=True)),
        Figure("dispatch, 2 workers, against 1", "jobs/s", two, one, "one worker", target=Target(1.6, at_least=True)),
    ]


def dispatch(workers: int, jobs: int = JOBS) -> float:
    """Jobs a second by so many worker processes on a new store and a new Redis."""
    with tempfile.TemporaryDirectory() as folder, RealRedis() as redis, contextlib.ExitStack() as stack:
        installation = f"bench-{uuid4().hex[:8]}"
        settings = {
            "FASTLANE_DATA_DIR": folder,
            "FASTLANE_REDIS_URL": redis.url,
            "FASTLANE_INSTALLATION": installation,
            "FASTLANE_POOLS": json.dumps([{"name": POOL.name, "match": "", "hosts": [HOST], "maxRunning": AT_ONCE}]),
        }
        store = SqliteStore(Path(folder) / "fastlane.db")
        queue = RedisQueue(redis.url, installation)
        return uvloop.run(_dispatch(stack, settings, workers, jobs, store, queue))


async def _dispatch(
    stack: contextlib.ExitStack, settings: dict[str, str], workers: int, jobs: int, store: SqliteStore, queue: RedisQueue
) -> float:
    await store.open()
    await queue.open()
    try:
        for _ in range(workers):
            await asyncio.to_thread(stack.enter_context, child("dispatch_worker", env=settings))
        await _settled(store, queue, await _accepted(store, 100))  # a warm-up: the queue's generation is made, code and caches are warm
        executions = await _accepted(store, jobs)
        return jobs / await _settled(store, queue, executions)
    finally:
        await queue.close()
        await store.close()


async def _accepted(store: SqliteStore, count: int) -> list[Execution]:
    """So many jobs in the store, of which the queue knows nothing yet."""
    made = []
    for start in range(0, count, 200):
        batch = [_job() for _ in range(min(200, count - start))]
        ticks = [tick.make(job, tick.once_key(1), sequence=1, due=job.created_at, now=job.created_at) for job in batch]
        await asyncio.gather(*(store.create(job, *first) for job, first in zip(batch, ticks, strict=True)))
        made += [execution for _, execution in ticks]
    return made


def _job() -> Job:
    now = CLOCK.now()
    return Job(new_id(now), "bench", new_id(now), now, now, Spec("ubuntu:latest", ("true",)), Schedule(), sequence=1, last_tick=now)


async def _settled(store: SqliteStore, queue: RedisQueue, executions: list[Execution]) -> float:
    """Tells the queue of them; the seconds until each is done, settled and clean."""
    done = (await store.counts()).executions[Status.DONE] + len(executions)
    began = time.perf_counter()
    await queue.put([entry_of(execution, [POOL], due=execution.scheduled_for) for execution in executions])
    while (await store.counts()).executions[Status.DONE] < done or await store.unsettled(1) or await store.uncleaned(1):
        if time.perf_counter() - began > PATIENCE:
            raise TimeoutError(f"{len(executions)} jobs did not end within {PATIENCE:g} s")
        await CLOCK.sleep(0.02)
    return time.perf_counter() - began
