"""Ten noisy logs at once, against one log with as many bytes; and what it costs a new job to be written beside them.

Everything is in one process, as in a worker: ten engines' bytes from memory, each through its demultiplexer and pump, into one SQLite file.
Every 20 ms a job is created in the same file, as an enqueue does: beside the logs, and before them.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.figures import Figure, percentile
from benchmarks.logs import CASES, MUCH, Memory, bare, stored_execution, written
from fastlane import log
from fastlane.clock import SystemClock
from fastlane.executors.port import Executor
from fastlane.storage.sqlite.store import SqliteStore
from fastlane.streams.pump import Pump

LOGS = 10
GAP = 0.02
CALM = 2.0
CASE = CASES[1]

Say = Callable[[str], None]


@dataclass(slots=True)
class Noise:
    """Of each round: MB/s of ten logs and of one, and of the bare loop; milliseconds of a job's creation, beside the logs and without."""

    ten: list[float] = field(default_factory=list)
    one: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    calm: list[float] = field(default_factory=list)


def measure(rounds: int, say: Say, size: int) -> list[Figure]:
    """Measures with ``size`` bytes of lines in all."""
    log.configure("json", "warning")
    noise, part, whole = Noise(), written(CASE, size // LOGS), written(CASE, size)
    mega = size / 1e6
    for turn in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            took, beside, calm = uvloop.run(_at_once(Path(folder), [part] * LOGS))
            noise.ten.append(mega / took)
            noise.beside.append(percentile(beside, 99))
            noise.calm.append(percentile(calm, 99))
        with tempfile.TemporaryDirectory() as folder:
            noise.one.append(mega / uvloop.run(_at_once(Path(folder), [whole]))[0])
            noise.bare.append(mega / bare(whole, Path(folder)))
        told = f"{noise.ten[-1]:.1f} MB/s, {noise.one[-1]:.1f} as one, {noise.bare[-1]:.1f} bare"
        say(f"round {turn + 1}: {LOGS} logs at once: {told}; a new job, p99: {noise.beside[-1]:.1f} ms, {noise.calm[-1]:.1f} without")
    name = f"{LOGS} noisy logs at once"
    return [
        Figure(name, "MB/s", noise.ten, noise.one, "one log of the same size"),
        Figure(name, "MB/s", noise.ten, noise.bare, "bare demultiplex and store"),
        Figure(f"{name}: a new job's commit beside them, p99", "ms", noise.beside, noise.calm, "no logs"),
    ]


async def _at_once(folder: Path, logs: list[bytes]) -> tuple[float, list[float], list[float]]:
    """The seconds until all logs are stored; the milliseconds of each creation of a job meanwhile, and of those before."""
    store = SqliteStore(folder / "store.db")
    await store.open()
    try:
        executions = [await stored_execution(store) for _ in logs]
        calm = await _creations(store, asyncio.create_task(asyncio.sleep(CALM)))
        began = time.perf_counter()
        pumped = asyncio.create_task(_pump(store, dict(zip(executions, logs, strict=True))))
        beside = await _creations(store, pumped)
        await pumped
        return time.perf_counter() - began, beside, calm
    finally:
        await store.close()


async def _pump(store: SqliteStore, logs: dict[str, bytes]) -> None:
    async with asyncio.TaskGroup() as pumps:
        for execution, data in logs.items():
            pump = Pump(store, cast(Executor, Memory(data)), SystemClock(), execution, most=MUCH, untouched=True)
            pumps.create_task(pump.finish("host", "task"))
    for execution in logs:
        if (await store.log_head(execution)).offset == 0:
            raise RuntimeError("a log was not stored")


async def _creations(store: SqliteStore, until: "asyncio.Task[None]") -> list[float]:
    """Creates a job every 20 ms until that task has ended; the milliseconds of each."""
    times = []
    while not until.done():
        began = time.perf_counter()
        await stored_execution(store)
        times.append((time.perf_counter() - began) * 1_000)
        await asyncio.sleep(max(0.0, GAP - times[-1] / 1_000))
    return times
