"""The memory of ``fastlane up`` over 100,000 jobs, which should stay flat; and what those jobs leave behind in the store and in Redis.

It is the API, scheduler and worker in one process, with an executor that ends each job at once. The jobs come over HTTP, a part at a time;
after each part has ended and is cleaned, its memory is taken.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from benchmarks import load
from benchmarks.dispatch import until_file_is_clean
from benchmarks.enqueue import BODY
from benchmarks.figures import Comparison, Figure, Target
from benchmarks.processes import child, resident_bytes, settings_for
from tests.support.ports import free_port
from tests.support.redis import RealRedis

JOBS, PARTS, CONNECTIONS = 100_000, 10, 20
PATIENCE = 300.0
SETTLE = 2.0
"""Seconds after the last job of a part."""
MEBI = 2**20

Say = Callable[[str], None]


def measure(say: Say, jobs: int = JOBS) -> list[Figure]:
    """Measures one run of ``jobs`` jobs, in ten parts."""
    part = jobs // PARTS
    with tempfile.TemporaryDirectory() as folder, RealRedis() as redis:
        port = free_port()
        settings = {**settings_for(folder, redis.url), "FASTLANE_PORT": str(port), "FASTLANE_LISTEN": "127.0.0.1"}
        with child("dispatch_worker", "up", env={**settings, "FASTLANE_LOG_LEVEL": "warning"}) as process:
            time.sleep(SETTLE)
            memory = [resident_bytes(process.pid) / MEBI]
            before = _used(redis)
            for done in range(part, jobs + 1, part):
                _run(port, Path(folder), part, done)
                memory.append(resident_bytes(process.pid) / MEBI)
                say(f"after {done:,} jobs {memory[-1]:.1f} MiB")
            left = (_used(redis) - before) / jobs
        # The store is closed, so its file is whole.
        stored = (Path(folder) / "fastlane.db").stat().st_size / jobs
    return _figures(memory, part, stored, left)


def _figures(memory: list[float], part: int, stored: float, left: float) -> list[Figure]:
    name, alone, jobs = "fastlane up, memory", Comparison.ALONE, part * PARTS
    after = [Figure(f"{name} after {number * part:,} jobs", "MiB", [value], comparison=alone) for number, value in enumerate(memory)]
    flat = Figure(
        f"{name} after {jobs:,} jobs, against {jobs // 5:,}",
        "MiB",
        [memory[-1]],
        [memory[PARTS // 5]],
        f"after {jobs // 5:,}",
        target=Target(1.05, at_least=False),
    )
    return [
        *after,
        flat,
        Figure("a job that has ended, in SQLite's file", "bytes", [stored], comparison=alone),
        Figure("a job that has ended, in Redis", "bytes", [left], comparison=alone),
    ]


def _run(port: int, folder: Path, jobs: int, total: int) -> None:
    """Enqueues jobs, and waits until ``total`` in all have ended and are clean."""
    request, each = load.post(port, "/tasks/bench", BODY), jobs // CONNECTIONS
    uvloop.run(load.run(port, request, connections=CONNECTIONS, seconds=PATIENCE, each=each))
    uvloop.run(until_file_is_clean(folder / "fastlane.db", total))
    time.sleep(SETTLE)


def _used(redis: RealRedis) -> int:
    with redis.client() as client:
        return int(client.info("memory")["used_memory"])
