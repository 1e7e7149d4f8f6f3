"""The timed queue, empty and with 1,000,000 delayed jobs in it: a rebuild, the memory of an entry, an idle worker, and lateness.

The jobs are written straight into the store's file. Workers whose executor ends each job at once do the rest.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import uvloop

from benchmarks import lateness, witness
from benchmarks.dispatch import CLOCK, SPEC, accepted
from benchmarks.figures import Comparison, Figure, Target
from benchmarks.lateness import Place
from benchmarks.processes import child, cpu_seconds, settings_for
from fastlane.models.ids import new_id
from fastlane.models.job import Job
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.storage.records import JOBS
from fastlane.storage.sqlite.connection import connect
from fastlane.storage.sqlite.rows import insert_into
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.redis import RealRedis

DAY = 86_400_000
APART = 100
"""Milliseconds from one far job's due time to the next one's."""
PAGE = 20_000
PATIENCE = 600.0
SETTLE = 5.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many jobs are far off; seconds that an idle worker is watched, and that each round of lateness takes."""

    far: int = 1_000_000
    idle: float = 40.0
    lateness: float = 5.0


def measure(rounds: int, say: Callable[[str], None], sizes: Sizes) -> list[Figure]:
    """Measures everything. The two Redis servers are started in the same way; one then holds the far-off jobs."""
    with tempfile.TemporaryDirectory() as name, RealRedis() as empty, RealRedis() as full:
        places = [_place("none", empty, Path(name)), _place(f"{sizes.far:,}", full, Path(name))]
        figures = _with_many(places, say, sizes)
        lateness.add(full, [f"{CLOCK.now() + DAY + number * APART}-{number:022d}" for number in range(sizes.far)])
        return [*lateness.measure(rounds, say, places, Path(name), sizes.lateness), *figures]


def _place(name: str, redis: RealRedis, folder: Path) -> Place:
    data = folder / f"data-{name}"
    data.mkdir()
    seen = folder / f"starts-{name}"
    seen.touch()
    return Place(name, redis, settings_for(data, redis.url, seen))


def _with_many(places: list[Place], say: Callable[[str], None], sizes: Sizes) -> list[Figure]:
    """Measures a worker's rebuild, the memory of its entries, and the idle worker against one with an empty queue."""
    folder = Path(places[1].settings["FASTLANE_DATA_DIR"])
    seen = Path(places[1].settings[witness.VARIABLE])
    uvloop.run(_fill(folder / "fastlane.db", sizes.far))
    before = _used(places[1].redis)
    with _worker(places[0]) as idle, _worker(places[1]) as busy:
        began = time.time()
        whole = uvloop.run(rebuilt(folder / "fastlane.db"))
        first = witness.starts(seen)[0][1]
        memory = (_used(places[1].redis) - before) / sizes.far
        say(f"{sizes.far:,} entries: dispatch after {first - began:.2f} s, whole after {whole - began:.1f} s, {memory:.0f} bytes each")
        time.sleep(SETTLE)
        cpu = _busy([idle, busy], sizes.idle)
        say(f"an idle worker: {cpu[1]:.2f} % of a core with them, {cpu[0]:.2f} % without")
    return [
        Figure(f"a rebuild of {sizes.far:,} entries", "s", [whole - began]),
        Figure("a rebuild: until what waits starts", "s", [first - began]),
        _alone("memory in Redis, a delayed job", "bytes", memory, 200.0),
        _alone(f"an idle worker, {sizes.far:,} far off", "% of a core", cpu[1], 0.3, beside=cpu[0]),
    ]


def _alone(name: str, unit: str, value: float, most: float, beside: float | None = None) -> Figure:
    peer = [] if beside is None else [beside]
    return Figure(name, unit, [value], peer, "none far off", Comparison.ALONE, Target(most, at_least=False))


@contextlib.contextmanager
def _worker(place: Place) -> Iterator[int]:
    with child("dispatch_worker", env=place.settings) as process:
        yield process.pid


async def _fill(path: Path, count: int) -> None:
    """A store with that many far-off jobs, and one waiting execution."""
    store = SqliteStore(path)
    await store.open()
    try:
        await accepted(store, 1)
        fill_store(path, count)
    finally:
        await store.close()


def fill_store(path: Path, count: int) -> None:
    """Writes jobs that are far off straight into a store's file: a worker that finds its queue empty puts them there."""
    now = CLOCK.now()
    write_jobs(path, (_far_job(now, now + DAY + number * APART) for number in range(count)))


def write_jobs(path: Path, jobs: Iterable[Job]) -> None:
    """Writes jobs of one new task straight into a store's file."""
    count, task, made, rest = 0, "", 0, iter(jobs)
    with closing(connect(path, 5.0)) as db:
        while page := list(islice(rest, PAGE)):
            db.execute("BEGIN IMMEDIATE")
            db.executemany(insert_into("jobs", JOBS.columns), [tuple(JOBS.row(job).values()) for job in page])
            db.execute("COMMIT")
            count, task, made = count + len(page), page[0].task_id, page[0].created_at
        db.execute("INSERT INTO tasks (id, created_at, modified_at, jobs_count) VALUES (?, ?, ?, ?)", (task, made, made, count))


def _far_job(now: int, due: int) -> Job:
    return Job(new_id(now), "far", new_id(now), now, now, SPEC, Schedule(ScheduleKind.AT, due), next_tick=due)


async def rebuilt(path: Path) -> float:
    """The moment (seconds since 1970) at which the store says that the queue is whole."""
    store = SqliteStore(path)
    await store.open()
    give_up = time.monotonic() + PATIENCE
    try:
        while (generation := await store.generation()).number == 0 or generation.builder is not None:
            if time.monotonic() > give_up:
                raise TimeoutError(f"the queue was not rebuilt within {PATIENCE:g} s")
            await CLOCK.sleep(0.1)
        return time.time()
    finally:
        await store.close()


def _used(redis: RealRedis) -> int:
    with redis.client() as client:
        return int(client.info("memory")["used_memory"])


def _busy(pids: list[int], seconds: float) -> list[float]:
    """The percentage of a core that each process uses during ``seconds``."""
    before = [cpu_seconds(pid) for pid in pids]
    time.sleep(seconds)
    return [(cpu_seconds(pid) - used) / seconds * 100 for pid, used in zip(pids, before, strict=True)]
