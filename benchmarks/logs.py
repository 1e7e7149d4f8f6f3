"""Log ingest: parsing and storing an engine's bytes, against a bare loop that does only that; and reading a job's log from a real engine
into the store, against ``docker service logs`` of the same service.

Both sides of the first get the same bytes from memory, in the portions of a socket: 80-byte lines, each after the engine's header and
time. The bare loop removes those, collects 128 KiB of each stream, and commits them to a SQLite file as durably as fastlane does (WAL,
FULL). fastlane's side is its demultiplexer, pump and store, which also keep times and order.

The second writes 50 MB in a container, waits until it ends, and reads them: fastlane with its executor, pump and store, ``docker`` to
/dev/null.
"""

import asyncio
import contextlib
import sqlite3
import struct
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import docker
import uvloop

from benchmarks.figures import Figure, Target
from fastlane import log
from fastlane.clock import SystemClock
from fastlane.executors.port import Executor
from fastlane.executors.swarm.logs import Demultiplexer
from fastlane.models.ids import new_id
from fastlane.models.job import Job, Spec
from fastlane.models.log import STDERR, STDOUT, Mark, Portion
from fastlane.models.schedule import Schedule
from fastlane.models.tick import make_tick, once_key
from fastlane.storage.sqlite.store import SqliteStore
from fastlane.streams.pump import Pump
from tests.support import frames
from tests.support.defaults import default_executor

SIZE = 50_000_000
LINE = 80
READ = 128 * 1024
BARE_CHUNK = 128 * 1024
BEGAN = 1_795_611_459_000_000_000
MUCH = 1 << 40
PATIENCE = 300.0
IMAGE = "ubuntu:latest"
SCRIPT = f"yes {'x' * (LINE - 1)} | head -c {{size}}"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Case:
    """A log: the nanoseconds between its lines, and every which line goes to stderr (0: none)."""

    name: str
    step: int
    errors: int
    target: Target | None = None


CASES = (
    Case("log ingest, a line every 2 µs", 2_000, 0, Target(0.8, at_least=True)),
    Case("log ingest, a line every 2 µs, every tenth to stderr", 2_000, 10, Target(0.7, at_least=True)),
    Case("log ingest, a line every 2 ms", 2_000_000, 0, Target(0.5, at_least=True)),
)


def written(case: Case, size: int) -> bytes:
    """The engine's bytes for ``size`` bytes of lines."""
    lines = []
    for number in range(size // LINE):
        stream = STDERR if case.errors and number % case.errors == 0 else STDOUT
        lines.append(frames.frame(stream, BEGAN + number * case.step, b"%0*d\n" % (LINE - 1, number)))
    return b"".join(lines)


def bare(data: bytes, folder: Path) -> float:
    """The seconds that the loop takes."""
    with contextlib.closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE chunks (stream INTEGER, sequence INTEGER, data BLOB, PRIMARY KEY (stream, sequence))")
        began = time.perf_counter()
        _demultiplex(data, db)
        return time.perf_counter() - began


def _demultiplex(data: bytes, db: sqlite3.Connection) -> None:
    lines: dict[int, list[bytes]] = {STDOUT: [], STDERR: []}
    sizes = {STDOUT: 0, STDERR: 0}
    sequence, rest, head = 0, b"", len(frames.stamp(0)) + 8
    header = struct.Struct(">BxxxI").unpack_from

    def store(stream: int) -> None:
        nonlocal sequence
        db.execute("INSERT INTO chunks VALUES (?, ?, ?)", (stream, sequence, b"".join(lines[stream])))
        lines[stream].clear()
        sequence, sizes[stream] = sequence + 1, 0

    for start in range(0, len(data), READ):
        part, place = rest + data[start : start + READ], 0
        while place + 8 <= len(part):
            stream, size = header(part, place)
            end = place + 8 + size
            if end > len(part):
                break
            lines[stream].append(part[place + head : end])
            sizes[stream] += end - place - head
            if sizes[stream] >= BARE_CHUNK:
                store(stream)
            place = end
        rest = part[place:]
    for stream in lines:
        store(stream)


class Memory:
    """An engine whose log is in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def logs(self, _host: str, _task: str, marks: Mapping[int, Mark], **_how: object) -> AsyncGenerator[Portion, None]:
        taken = Demultiplexer(marks)
        for start in range(0, len(self._data), READ):
            yield taken.feed(self._data[start : start + READ])
            await asyncio.sleep(0)  # as a socket would: others have their turn


async def pumped(executor: Executor, host: str, task: str, folder: Path, size: int) -> float:
    """The seconds that fastlane takes to store a log."""
    store = SqliteStore(folder / "store.db")
    await store.open()
    try:
        execution = await stored_execution(store)
        began = time.perf_counter()
        tail = await Pump(store, executor, SystemClock(), execution, most=MUCH, untouched=True).finish(host, task)
        took = time.perf_counter() - began
    finally:
        await store.close()
    if tail.head.offset != size:
        raise RuntimeError(f"{tail.head.offset} bytes of {size} were stored")
    return took


async def stored_execution(store: SqliteStore) -> str:
    """Creates a job with an execution; returns the execution's id."""
    job = Job(new_id(1), "bench", new_id(1), 1, 1, Spec(IMAGE), Schedule(), sequence=1)
    tick, execution = make_tick(job, once_key(1), sequence=1, due=1, now=1)
    await store.create(job, tick, execution)
    return execution.id


def measure(engine: str, rounds: int, say: Say, size: int = SIZE) -> list[Figure]:
    """Of so many bytes in memory, and of a real engine's; whole lines."""
    log.configure("json", "warning")
    figures = []
    for case in CASES:
        data = written(case, size)
        ingest = partial(_ingest, data, size)
        ours, theirs = _alternate(case.name, rounds, say, size, ingest, partial(_in_folder, partial(bare, data)))
        figures.append(Figure(case.name, "MB/s", ours, theirs, "bare demultiplex and store", target=case.target))
    name = f"the log of a job, {size // 1_000_000} MB, from an engine"
    with _job(engine, size) as (service, task):
        ours, theirs = _alternate(name, rounds, say, size, partial(_from_engine, engine, task, size), partial(_docker, engine, service))
    return [*figures, Figure(name, "MB/s", ours, theirs, "docker service logs, to /dev/null")]


def _alternate(name: str, rounds: int, say: Say, size: int, *sides: Callable[[], float]) -> Sequence[list[float]]:
    rates: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds):
        for side, found in zip(sides, rates, strict=True):
            found.append(size / 1e6 / side())
        say(f"round {turn + 1}: {name}: {rates[0][-1]:.1f} MB/s against {rates[1][-1]:.1f} MB/s")
    return rates


def _ingest(data: bytes, size: int) -> float:
    return _in_folder(lambda folder: uvloop.run(pumped(cast(Executor, Memory(data)), "host", "task", folder, size)))


def _from_engine(engine: str, task: str, size: int) -> float:
    async def read(folder: Path) -> float:
        executor = default_executor([engine], f"bench-{uuid4().hex[:8]}")
        await executor.open()
        try:
            return await pumped(executor, engine, task, folder, size)
        finally:
            await executor.close()

    return _in_folder(lambda folder: uvloop.run(read(folder)))


def _in_folder(run: Callable[[Path], float]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return run(Path(folder))


def _docker(engine: str, service: str) -> float:
    began = time.perf_counter()
    subprocess.run(["docker", "-H", engine, "service", "logs", "--raw", service], stdout=subprocess.DEVNULL, check=True, timeout=PATIENCE)
    return time.perf_counter() - began


@contextlib.contextmanager
def _job(engine: str, size: int) -> Iterator[tuple[str, str]]:
    """A service that has written its log and ended, and its task."""
    client = docker.APIClient(base_url=engine, version="1.41", timeout=60)
    container = {"Image": client.inspect_image(IMAGE)["Id"], "Args": ["sh", "-c", SCRIPT.format(size=size)], "Init": True}
    driver = {"Name": "local", "Options": {"max-size": "1g", "max-file": "2", "compress": "false"}}
    template = {"ContainerSpec": container, "RestartPolicy": {"Condition": "none"}, "LogDriver": driver}
    service = client.create_service(template, name=f"bare-{uuid4().hex}", mode={"Replicated": {"Replicas": 1}})["ID"]
    try:
        give_up = time.monotonic() + PATIENCE
        while (task := _task(client, service))["Status"]["State"] != "complete":
            if time.monotonic() > give_up:
                raise RuntimeError(f"the job that writes did not end: {task['Status']}")
            time.sleep(0.1)
        yield service, task["ID"]
    finally:
        client.remove_service(service)
        client.close()


def _task(client: docker.APIClient, service: str) -> dict[str, Any]:
    tasks: list[dict[str, Any]] = client.tasks(filters={"service": service})
    return tasks[0] if tasks else {"Status": {"State": "new"}}
