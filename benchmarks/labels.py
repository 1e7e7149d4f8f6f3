"""1,000 services with labels of jobs: what a worker that follows them uses when nothing changes.

The services are on a real engine, with no replicas, twenty variables and labels for one job each. The worker is ``fastlane worker`` with
the setting ``service_labels``; beside it, in the same round, is one without the setting. What is compared is processor time, which other
work on the machine changes less than it does the clock on the wall.
"""

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvloop

from benchmarks.figures import Comparison, Figure, Target
from benchmarks.processes import cpu_seconds, started
from fastlane.app import opened
from fastlane.queue.redis.queue import RedisQueue
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.engine import connect
from tests.support.redis import RealRedis

STACK = "bench-labels"
VARIABLES = [f"VARIABLE_{number}=a value of some length, as services have them" for number in range(20)]
PATIENCE = 300.0
PROBES = 10.0
"""Seconds after the first jobs in which a worker settles."""
AT_MOST = Target(2.0, at_least=False)
"""Percent of a core."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many services, and for how many seconds the processor time is taken: several looks, and two comparisons with the store."""

    services: int = 1_000
    seconds: float = 120.0


QUICK = Sizes(20, 10.0)


def measure(engine: str, rounds: int, say: Say, sizes: Sizes) -> list[Figure]:
    """Measures both workers in each round."""
    found: list[tuple[float, float]] = []
    with labelled(engine, sizes.services):
        for turn in range(rounds):
            found.append((uvloop.run(used(engine, sizes, follows=True)), uvloop.run(used(engine, sizes, follows=False))))
            say(f"round {turn + 1}: {found[-1][0]:.2f} % of a core with {sizes.services:,} labelled services, {found[-1][1]:.2f} % without")
    ours, plain = zip(*found, strict=True)
    name = f"a worker beside {sizes.services:,} labelled services that do not change"
    return [Figure(name, "% of a core", ours, plain, "without service_labels", Comparison.DIFFERENCE, AT_MOST)]


@contextlib.contextmanager
def labelled(engine: str, count: int) -> Iterator[None]:
    """That many services without replicas, whose labels declare a job each. They are gone after the block."""
    client = connect(engine)

    def create(number: int) -> None:
        labels = {"com.docker.stack.namespace": STACK, "fastlane.cron": "0 3 1 1 *", "fastlane.command": f"work --part {number}"}
        service: dict[str, Any] = {"Name": f"{STACK}_{number}", "Labels": labels, "Mode": {"Replicated": {"Replicas": 0}}}
        service["TaskTemplate"] = {"ContainerSpec": {"Image": "ubuntu:latest", "Env": VARIABLES}}
        client._result(client._post_json(client._url("/services/create"), service), json=True)  # with the task as the engine takes it

    with contextlib.closing(client), ThreadPoolExecutor(4) as pool:
        try:
            list(pool.map(create, range(count)))
            yield
        finally:
            names = [row["ID"] for row in client.services(filters={"label": f"com.docker.stack.namespace={STACK}"})]
            list(pool.map(client.remove_service, names))


async def used(engine: str, sizes: Sizes, *, follows: bool) -> float:
    """The percentage of a core that a worker uses, once it has made what jobs it makes."""
    async with worker(engine, FASTLANE_SERVICE_LABELS=str(follows).lower()) as (pid, store, queue):

        async def ready() -> bool:
            reports = await queue.reports.current()
            if not any(view.usable for report in reports for view in report.hosts):
                return False
            return not follows or await count_jobs(store) == sizes.services

        give_up = time.monotonic() + PATIENCE
        while not await ready():
            if time.monotonic() > give_up:
                raise TimeoutError(f"waited {PATIENCE:g} s for the worker and its {sizes.services} jobs")
            await asyncio.sleep(0.5)
        await asyncio.sleep(PROBES)
        before, began = cpu_seconds(pid), time.monotonic()
        await asyncio.sleep(sizes.seconds)
        return (cpu_seconds(pid) - before) / (time.monotonic() - began) * 100


async def count_jobs(store: SqliteStore) -> int:
    """How many declared jobs there are."""
    found, after = 0, ""
    while page := await store.jobs_of_services(500, after):
        found, after = found + len(page), page[-1].id
    return found


@contextlib.asynccontextmanager
async def worker(engine: str, **more: str) -> AsyncIterator[tuple[int, SqliteStore, RedisQueue]]:
    """A worker on this engine with ``more`` settings: its process, its store and its queue."""
    with tempfile.TemporaryDirectory() as folder, RealRedis() as redis:
        pool = {"name": "all", "match": "", "hosts": [engine], "services": [f"{STACK}_*"], "policy": {}}
        token = {"name": "bench", "token": f"sha256:{'0' * 64}", "role": "read"}
        settings = {
            "FASTLANE_DATA_DIR": folder,
            "FASTLANE_REDIS_URL": redis.url,
            "FASTLANE_INSTALLATION": f"bench-{uuid4().hex[:8]}",
            "FASTLANE_POOLS": json.dumps([pool]),
            "FASTLANE_TOKENS": json.dumps([token]),
            **more,
        }
        store, queue = SqliteStore(Path(folder) / "fastlane.db"), RedisQueue(redis.url, settings["FASTLANE_INSTALLATION"])
        async with opened(store), opened(queue):
            with started([sys.executable, "-m", "fastlane", "worker"], settings) as (process, _said):
                yield process.pid, store, queue
