"""Other mixes of jobs: a thousand tiny ones at once, and 10,000 cron jobs that are due at the same minute.

The thousand are for ``fastlane up`` on a simulated engine, by requests and by the engine's calls. The cron jobs are those of a worker whose
executor ends each job at once, so that the storm is fastlane's own; requests for other jobs come every 50 ms, before it and during it,
every second one with a priority that is worth more than the storm's wait.
"""

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from uuid import uuid4

import uvloop

from benchmarks import dispatch, load, noisy, witness
from benchmarks.enqueue import BODY
from benchmarks.figures import Comparison, Figure, percentile
from benchmarks.hosts import pool, simulated
from benchmarks.processes import api, child, cpu_seconds, server, settings_for
from benchmarks.starts import HttpClient
from benchmarks.timed import rebuilt, write_jobs
from fastlane.models.cron import Cron
from fastlane.models.ids import new_id
from fastlane.models.job import Job
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.redis import RealRedis

MINUTE = 60_000
AHEAD = 15.0
"""Seconds from the start of the processes to the first storm, at least."""
CALM = 5.0
"""Seconds before a storm in which requests come."""
GAP = 0.05
LOOKS = 0.5
PRIORITY = 5
"""Each point is worth a minute of waiting."""
FIRST = json.dumps({**json.loads(BODY), "priority": PRIORITY}).encode()
CONNECTIONS, WARM_UP = 20, 20
PATIENCE = 120.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many tiny jobs, how many cron jobs, and in how many minutes those storm."""

    tiny: int = 1_000
    crons: int = 10_000
    storms: int = 2


QUICK = Sizes(100, 500, 1)


@dataclass(frozen=True, slots=True)
class Tiny:
    """Tiny jobs at once: how many ended a second until the last was clean, the processor time of each in milliseconds, and the p99 of a
    request in milliseconds."""

    rate: float
    cpu: float
    request: float


@dataclass(frozen=True, slots=True)
class Storm:
    """Milliseconds: from the minute to the start of each cron job; from the request to the start of others, during the storm, of those with
    a priority, and before it."""

    late: Sequence[float]
    beside: Sequence[float]
    first: Sequence[float]
    calm: Sequence[float]


def measure(rounds: int, say: Say, sizes: Sizes, log: int) -> list[Figure]:
    """Measures all mixes; ``log``: the bytes of the noisy logs."""
    tiny = []
    for turn in range(rounds):
        tiny.append(_tiny(sizes.tiny))
        say(f"round {turn + 1}: {sizes.tiny:,} tiny jobs at once: {tiny[-1].rate:.1f}/s, {tiny[-1].cpu:.2f} ms each")
    return [*_figures_of_tiny(sizes.tiny, tiny), *noisy.measure(rounds, say, log), *_figures_of_storms(sizes.crons, _storms(say, sizes))]


def _figures_of_tiny(jobs: int, rounds: Sequence[Tiny]) -> list[Figure]:
    name, alone = f"{jobs:,} tiny jobs at once, simulated engine", Comparison.ALONE
    return [
        Figure(name, "jobs/s", [one.rate for one in rounds], comparison=alone),
        Figure(f"{name}: processor time of each", "ms", [one.cpu for one in rounds], comparison=alone),
        Figure(f"{name}: a request, p99", "ms", [one.request for one in rounds], comparison=alone),
    ]


def _figures_of_storms(jobs: int, storms: Sequence[Storm]) -> list[Figure]:
    name = f"{jobs:,} cron jobs due at one minute"
    figures = [
        Figure(f"{name}: {what} start", "s", [percentile(storm.late, percent) / 1_000 for storm in storms], comparison=Comparison.ALONE)
        for what, percent in (("the median", 50.0), ("the last", 100.0))
    ]
    others: dict[str, Callable[[Storm], Sequence[float]]] = {
        "another job": lambda storm: storm.beside,
        f"another job of priority {PRIORITY}": lambda storm: storm.first,
    }
    for who, times in others.items():
        if not all(times(storm) for storm in storms):
            continue  # with few cron jobs, the storm is over before another job comes
        for percent in (50.0, 99.0):
            ours, calm = ([percentile(side(storm), percent) for storm in storms] for side in (times, lambda storm: storm.calm))
            figures.append(Figure(f"{name}: {who}, request to start, p{percent:g}", "ms", ours, calm, "no storm"))
    return figures


def _tiny(jobs: int) -> Tiny:
    with tempfile.TemporaryDirectory() as folder, RealRedis() as redis, simulated(1) as hosts:
        settings = {
            **settings_for(folder, redis.url),
            "FASTLANE_INSTALLATION": f"bench-{uuid4().hex[:8]}",
            "FASTLANE_POOLS": json.dumps([pool("default", hosts)]),
        }
        with server("up", settings) as (port, pid):
            request, file = load.post(port, "/tasks/bench", BODY), Path(folder) / "fastlane.db"
            uvloop.run(load.run(port, request, connections=WARM_UP, seconds=PATIENCE, each=1))
            uvloop.run(dispatch.until_file_is_clean(file, WARM_UP))
            began, cpu = time.perf_counter(), cpu_seconds(pid)
            sent = uvloop.run(load.run(port, request, connections=CONNECTIONS, seconds=PATIENCE, each=jobs // CONNECTIONS))
            uvloop.run(dispatch.until_file_is_clean(file, WARM_UP + jobs))
            took, cpu = time.perf_counter() - began, cpu_seconds(pid) - cpu
    return Tiny(jobs / took, cpu / jobs * 1_000, sent.percentile(99))


def _storms(say: Say, sizes: Sizes) -> list[Storm]:
    """The same jobs are due again at the next minute."""
    storms = []
    with tempfile.TemporaryDirectory() as name, RealRedis() as redis:
        folder = Path(name)
        seen = folder / "starts"
        seen.touch()
        settings = settings_for(folder, redis.url, seen)
        first = _minute(AHEAD)
        ids = uvloop.run(_fill(folder / "fastlane.db", sizes.crons, first))
        with api(settings) as port, child("dispatch_worker", env=settings), contextlib.closing(HttpClient(port)) as client:
            uvloop.run(rebuilt(folder / "fastlane.db"))
            for _ in range(sizes.storms):
                uvloop.run(dispatch.until_file_is_clean(folder / "fastlane.db", 0))
                storms.append(_storm(client, seen, ids, max(first, _minute(CALM))))
                late, sides = storms[-1].late, [f"{percentile(side, 50):.0f}" for side in (storms[-1].beside, storms[-1].first) if side]
                told = f"the median start after {percentile(late, 50) / 1_000:.2f} s, the last after {max(late) / 1_000:.2f} s"
                say(f"{sizes.crons:,} cron jobs at one minute: {told}; another job {' and '.join(sides)} ms")
    return storms


def _minute(ahead: float) -> int:
    """The first full minute that is so many seconds away, in milliseconds."""
    return -(-round((time.time() + ahead) * 1_000) // MINUTE) * MINUTE


def _storm(client: HttpClient, seen: Path, ids: frozenset[str], due: int) -> Storm:
    time.sleep(max(0.0, due / 1_000 - CALM - time.time()))
    after = seen.stat().st_size
    sent = dict(_requests(client, lambda: _started(seen, ids, after) == len(ids), due / 1_000 + PATIENCE))
    late = {job: moment for job, moment in witness.starts(seen, after) if job in ids}
    if len(late) < len(ids):
        raise TimeoutError(f"{len(late)} of {len(ids)} cron jobs started within {PATIENCE:g} s")
    others = witness.wait_for(seen, len(sent), PATIENCE, only=sent.keys(), after=after)
    if len(others) != len(sent):
        raise TimeoutError(f"{len(others)} of {len(sent)} other jobs started")
    last, times = max(late.values()), {BODY: list[float](), FIRST: list[float](), b"": list[float]()}
    for job, moment in others:
        began, body = sent[job]
        if began <= last:
            times[body if began >= due / 1_000 else b""].append((moment - began) * 1_000)
    return Storm([moment * 1_000 - due for moment in late.values()], times[BODY], times[FIRST], times[b""])


def _started(seen: Path, ids: frozenset[str], after: int) -> int:
    return len({job for job, _ in witness.starts(seen, after) if job in ids})


def _requests(client: HttpClient, over: Callable[[], bool], give_up: float) -> Iterator[tuple[str, tuple[float, bytes]]]:
    """Posts a job every 50 ms until it is ``over``; every second one with a priority: the jobs, and the moments and bodies of their
    requests."""
    looked = time.time()
    for body in cycle((BODY, FIRST)):
        moment = time.time()
        yield client.enqueue(body), (moment, body)
        if moment > give_up or (moment - looked > LOOKS and over()):
            return
        looked = moment if moment - looked > LOOKS else looked
        time.sleep(max(0.0, moment + GAP - time.time()))


async def _fill(file: Path, count: int, due: int) -> frozenset[str]:
    """A store with so many jobs that run each minute, from ``due`` on; their ids."""
    store = SqliteStore(file)
    await store.open()
    await store.close()
    now = dispatch.CLOCK.now()
    schedule = Schedule(ScheduleKind.CRON, cron=Cron("* * * * *"))
    jobs = [Job(new_id(now), "crons", new_id(now), now, now, dispatch.SPEC, schedule, next_tick=due) for _ in range(count)]
    await asyncio.to_thread(write_jobs, file, jobs)
    return frozenset(job.id for job in jobs)
