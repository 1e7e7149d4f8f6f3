"""Dispatch: jobs that wait in the queue are claimed, placed, started, watched to their end and settled, every state durable.

The executor ends each job at once, so that only fastlane's own work is measured. The time runs from the moment when jobs in the store
are put into the queue until the last one is settled and clean in the store. A peer's no-ops also wait in its queue; its time runs from
the start of the first job to the start of the last.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import uvloop

from benchmarks import witness
from benchmarks.figures import Figure, Target
from benchmarks.history import lengthen
from benchmarks.others import Other
from benchmarks.peers.__main__ import WARM
from benchmarks.processes import AT_ONCE, HOST, child, settings_for
from fastlane.clock import SystemClock
from fastlane.models import tick
from fastlane.models.ids import new_id
from fastlane.models.job import Execution, Job, Spec
from fastlane.models.pool import Pool
from fastlane.models.schedule import Schedule
from fastlane.models.status import UNDER_WAY, Status
from fastlane.queue.port import execution_entry
from fastlane.queue.redis.queue import RedisQueue
from fastlane.storage.base import Store
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.redis import RealRedis

JOBS, WARM_UP = 4_000, 100
POOL = Pool("default", "", (HOST,), max_running=AT_ONCE)
PATIENCE = 300.0
CLOCK = SystemClock()
SPEC = Spec("ubuntu:latest", ("true",))
ABOUT = {"huey": "huey, which keeps no state", "celery": "Celery, which keeps no state"}
TARGETS = {"huey": Target(1.0, at_least=True)}


def measure(rounds: int, say: Callable[[str], None], peers: Sequence[Other], jobs: int = JOBS) -> list[Figure]:
    """Measures dispatch by one worker, by two and by four, and by the peers' workers."""
    ours: dict[int, list[float]] = {1: [], 2: [], 4: []}
    theirs: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for turn in range(rounds):
        ours[1].append(dispatch(1, jobs))
        for peer in peers:
            theirs[peer.name].append(processed(peer, jobs)[1])
        for workers in (2, 4):
            ours[workers].append(dispatch(workers, jobs))
        rates = [f"{ours[workers][-1]:,.0f}/s by {workers}" for workers in ours] + [
            f"{theirs[name][-1]:,.0f}/s by {name}" for name in theirs
        ]
        say(f"round {turn + 1}: {', '.join(rates)}")
    beside = [
        Figure("dispatch, 1 worker", "jobs/s", ours[1], theirs[peer.name], ABOUT[peer.name], target=TARGETS.get(peer.name))
        for peer in peers
    ]
    return [
        *(beside or [Figure("dispatch, 1 worker", "jobs/s", ours[1])]),
        Figure("dispatch, 2 workers, against 1", "jobs/s", ours[2], ours[1], "one worker", target=Target(1.6, at_least=True)),
        Figure("dispatch, 4 workers, against 1", "jobs/s", ours[4], ours[1], "one worker"),
    ]


def processed(peer: Other, jobs: int) -> tuple[float, float]:
    """The no-ops a second that one client of a peer enqueues without a worker, and that one worker then processes."""
    with tempfile.TemporaryDirectory() as folder, RealRedis() as redis:
        seen = Path(folder) / "starts"
        seen.touch()
        enqueued = float(peer.client(redis.socket, "enqueue", jobs))
        with peer.working(redis.socket, seen):
            moments = [moment for _, moment in witness.wait_for(seen, jobs, PATIENCE, ignore=(WARM,))]
    if len(moments) < jobs:
        raise TimeoutError(f"{peer.name} processed {len(moments)} of {jobs} within {PATIENCE:g} s")
    return enqueued, (jobs - 1) / (max(moments) - min(moments))


class Place(Protocol):
    """A new store."""

    url: str

    def store(self) -> Store:
        """The store, not opened yet."""


def dispatch(workers: int, jobs: int = JOBS, hosts: Sequence[str] = (HOST,), history: int = 0, place: Place | None = None) -> float:
    """Jobs a second by that many worker processes, on a new Redis and a new store (None: a SQLite file, with so many executions that have
    ended)."""
    with tempfile.TemporaryDirectory() as folder, RealRedis() as redis, contextlib.ExitStack() as stack:
        settings = settings_for(folder, redis.url, hosts=hosts)
        file = Path(folder) / "fastlane.db"
        if history:
            uvloop.run(_with_one(SqliteStore(file)))
            lengthen(file, history)
        store: Store = SqliteStore(file) if place is None else place.store()
        if place is not None:
            settings["FASTLANE_STORE_URL"] = place.url
        queue = RedisQueue(redis.url, settings["FASTLANE_INSTALLATION"])
        return uvloop.run(_dispatch(stack, settings, workers, jobs, store, queue))


async def _with_one(store: SqliteStore) -> None:
    await store.open()
    await accepted(store, 1)
    await store.close()


async def _dispatch(
    stack: contextlib.ExitStack, settings: dict[str, str], workers: int, jobs: int, store: Store, queue: RedisQueue
) -> float:
    await store.open()
    await queue.open()
    try:
        before = (await store.counts()).executions[Status.DONE]
        for _ in range(workers):
            await asyncio.to_thread(stack.enter_context, child("dispatch_worker", env=settings))
        # Before it is measured, the queue's generation is made, and code and caches are warm.
        await _rate(store, queue, await accepted(store, WARM_UP), before + WARM_UP)
        return await _rate(store, queue, await accepted(store, jobs), before + WARM_UP + jobs)
    finally:
        await queue.close()
        await store.close()


async def accepted(store: Store, count: int, task: str = "bench", spec: Spec = SPEC) -> list[Execution]:
    """Creates ``count`` jobs in the store that are not in the queue yet."""
    made = []
    for start in range(0, count, 200):
        batch = [_job(task, spec) for _ in range(min(200, count - start))]
        ticks = [tick.make_tick(job, tick.once_key(1), sequence=1, due=job.created_at, now=job.created_at) for job in batch]
        await asyncio.gather(*(store.create(job, *first) for job, first in zip(batch, ticks, strict=True)))
        made += [execution for _, execution in ticks]
    return made


def _job(task: str, spec: Spec) -> Job:
    now = CLOCK.now()
    return Job(new_id(now), task, new_id(now), now, now, spec, Schedule(), sequence=1, last_tick=now)


async def _rate(store: Store, queue: RedisQueue, executions: list[Execution], total: int) -> float:
    """Puts the executions into the queue. Returns how many a second are done, settled and clean, until that many are in all. (A worker
    looks at the store now and then, and may have done some of them before.)"""
    left = total - (await store.counts()).executions[Status.DONE]
    began = time.perf_counter()
    await queue.put([execution_entry(execution, [POOL]) for execution in executions])
    await until_clean(store, total)
    return left / (time.perf_counter() - began)


async def until_clean(store: Store, done: int) -> None:
    """Waits until so many executions are done, settled and clean in all."""
    began = asked = time.perf_counter()
    while not await _all_clean(store, done):
        if time.perf_counter() - began > PATIENCE:
            raise TimeoutError(f"{done} jobs did not end within {PATIENCE:g} s")
        await CLOCK.sleep(max(0.02, 5 * (time.perf_counter() - asked)))  # a store that answers slowly is not asked all the time
        asked = time.perf_counter()


async def until_file_is_clean(file: Path, done: int) -> None:
    """The same of a store in a file that others work on."""
    store = SqliteStore(file)
    await store.open()
    try:
        await until_clean(store, done)
    finally:
        await store.close()


async def _all_clean(store: Store, done: int) -> bool:
    """Whether so many executions are done, settled and clean. On MongoDB, a look at those under way may miss one that changes meanwhile."""
    left = await store.executions_in(UNDER_WAY, 1) or await store.unsettled(1) or await store.uncleaned(1)
    return not left and (await store.counts()).executions[Status.DONE] >= done
