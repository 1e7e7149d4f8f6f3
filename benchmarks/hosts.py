"""Many hosts: what 10, 100 and 1,000 of them cost, and what one that is away costs the others.

The hosts are simulated engines (``tests.support.simulated_engine``), all in one process; the workers are ``fastlane worker``, with the
executor for Docker Swarm. Placements are measured on it, with the calls and the processor time of each, and on the executor that ends each
job at once in the workers' own processes. Costs are processor time, which other work on the machine changes less than it does the clock on
the wall; each is beside the same at 10 hosts.
"""

import asyncio
import contextlib
import json
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import uvloop

from benchmarks import dispatch
from benchmarks.figures import Comparison, Figure, Target, percentile
from benchmarks.processes import child, cpu_seconds, started
from fastlane.models.job import Execution, Spec
from fastlane.models.pool import Pool
from fastlane.models.status import Status
from fastlane.queue.port import execution_entry
from fastlane.queue.redis.queue import RedisQueue
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.redis import RealRedis

PATIENCE = 120.0
PROBES = 3.0
"""Seconds after the first probes in which a worker settles."""
HOLD = Spec("ubuntu:latest", ("hold",))
GAP = 0.02
"""Seconds between two jobs of the hosts that are well."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many hosts; how many executions run at once; how many are placed, and how many by calls; for how many seconds costs are taken."""

    hosts: Sequence[int] = (10, 100, 1_000)
    running: int = 1_000
    placed: int = 4_000
    over_http: int = 8_000
    """So many that what each host is asked every half a minute or minute comes among them, with and without dead hosts."""
    history: int = 1_000_000
    """How many executions the store has when they are placed once more."""
    seconds: float = 10.0
    jobs: int = 1_000
    """Jobs on the hosts beside a silent one."""
    idle: float = 30.0
    """Seconds for which an idle worker is measured: it lists the services of each host once meanwhile."""


QUICK = Sizes((2, 20), 20, 400, 100, 2_000, 3.0, 50, 3.0)


@dataclass(frozen=True, slots=True)
class Ground:
    """Workers on hosts, simulated or not: the hosts' addresses, the installation, its store and queue, and the workers' processes."""

    hosts: Sequence[str]
    installation: str
    store: SqliteStore
    queue: RedisQueue
    pools: Sequence[Pool]
    pids: Sequence[int]

    async def cpu(self, seconds: float) -> float:
        """The percentage of a core that all workers use together during that time."""
        before = sum(map(cpu_seconds, self.pids))
        await asyncio.sleep(seconds)
        return (sum(map(cpu_seconds, self.pids)) - before) / seconds * 100

    async def usable(self) -> list[int]:
        """How many hosts each worker can use."""
        return [sum(view.usable for view in report.hosts) for report in await self.queue.reports.current()]

    async def put(self, task: str, spec: Spec, count: int) -> list[Execution]:
        """Enqueues jobs of a task."""
        executions = await dispatch.accepted(self.store, count, task, spec)
        await self.queue.put([execution_entry(execution, self.pools) for execution in executions])
        return executions

    async def start(self, spec: Spec, count: int) -> list[Execution]:
        """Enqueues jobs, and waits until they run and the workers have settled. Returns their executions."""
        wanted = await self.count(Status.RUNNING) + count

        async def all_run() -> bool:
            return await self.count(Status.RUNNING) == wanted

        executions = await self.put("bench", spec, count)
        await _until(all_run, f"{wanted} executions to run")
        await asyncio.sleep(PROBES)
        return executions

    async def count(self, status: Status) -> int:
        """How many executions have that status."""
        return (await self.store.counts()).executions[status]

    def control(self, host: str, what: str) -> bytes:
        """Makes a simulated engine ``silent`` or ``dead``, makes what runs on all of them write ``lines`` or be ``quiet``, or asks for all
        engines' ``calls``. Returns the answer's body."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(host.removeprefix("unix://"))
            connection.sendall(f"POST /simulated/{what} HTTP/1.1\r\nHost: engine\r\n\r\n".encode())
            return connection.recv(65_536).partition(b"\r\n\r\n")[2]

    async def placed(self, jobs: int) -> "Placed":
        """Places jobs until the last one has ended and its service is removed."""
        calls, cpu, done = self.calls(), sum(map(cpu_seconds, self.pids)), await self.count(Status.DONE)

        async def all_clean() -> bool:
            return await self.count(Status.DONE) == done + jobs and not await self.store.uncleaned_by_host(1)

        executions = await dispatch.accepted(self.store, jobs)
        began = time.perf_counter()
        await self.queue.put([execution_entry(execution, self.pools) for execution in executions])
        await _until(all_clean, f"{jobs} jobs to be placed")
        took = time.perf_counter() - began
        cpu, calls = sum(map(cpu_seconds, self.pids)) - cpu, self.calls() - calls
        return Placed(jobs / took, cpu / jobs * 1_000, calls.total() / jobs, {kind: count / jobs for kind, count in calls.items()})

    async def ran(self, jobs: int) -> Mapping[str, float]:
        """Runs jobs that are all seen running before they end. Returns the calls of each, by kind, until its service is removed."""
        calls, done = self.calls(), await self.count(Status.DONE)

        async def all_run() -> bool:
            return await self.count(Status.RUNNING) == jobs

        async def all_clean() -> bool:
            return await self.count(Status.DONE) == done + jobs and not await self.store.uncleaned_by_host(1)

        await self.put("bench", HOLD, jobs)
        await _until(all_run, f"{jobs} jobs to run")
        for host in self.hosts:
            self.control(host, "release")
        await _until(all_clean, f"{jobs} jobs to end")
        return {kind: count / jobs for kind, count in (self.calls() - calls).items()}

    def calls(self) -> Counter[str]:
        """How many calls of each kind the simulated engines have had."""
        return Counter(json.loads(self.control(self.hosts[-1], "calls")))


@dataclass(frozen=True, slots=True)
class Placed:
    """How many jobs a second ended and were cleaned; the milliseconds of processor time and the calls of engines of each, also by kind."""

    rate: float
    cpu: float
    calls: float
    kinds: Mapping[str, float]


@contextlib.contextmanager
def simulated(count: int) -> Iterator[list[str]]:
    """That many engines; their addresses."""
    with tempfile.TemporaryDirectory(prefix="fl", dir="/tmp") as folder, child("simulated_engine", folder, str(count), of="tests.support"):
        yield [f"unix://{folder}/{number}" for number in range(count)]


@contextlib.asynccontextmanager
async def ground(pools: Sequence[Mapping[str, object]], hosts: Sequence[str], workers: int = 1) -> AsyncIterator[Ground]:
    """Workers with these pools, as soon as they can use all these hosts."""
    with tempfile.TemporaryDirectory() as folder, RealRedis() as redis, contextlib.ExitStack() as stack:
        settings = {
            "FASTLANE_DATA_DIR": folder,
            "FASTLANE_REDIS_URL": redis.url,
            "FASTLANE_INSTALLATION": f"bench-{uuid4().hex[:8]}",
            "FASTLANE_POOLS": json.dumps(pools),
        }
        store, queue = SqliteStore(Path(folder) / "fastlane.db"), RedisQueue(redis.url, settings["FASTLANE_INSTALLATION"])
        await store.open()
        await queue.open()
        try:
            command = [sys.executable, "-m", "fastlane", "worker"]
            pids = [stack.enter_context(started(command, settings))[0].pid for _ in range(workers)]
            known = [Pool(str(pool["name"]), str(pool["match"]), tuple(hosts)) for pool in pools]
            made = Ground(hosts, settings["FASTLANE_INSTALLATION"], store, queue, known, pids)
            await _until(lambda: _all_usable(made), f"{len(hosts)} hosts to be usable")
            await asyncio.sleep(PROBES)
            yield made
        finally:
            await queue.close()
            await store.close()


async def _all_usable(made: Ground) -> bool:
    return await made.usable() == [len(made.hosts)] * len(made.pids)


async def _until(done: Callable[[], Awaitable[bool]], what: str) -> None:
    give_up = time.monotonic() + PATIENCE
    while not await done():
        if time.monotonic() > give_up:
            raise TimeoutError(f"waited {PATIENCE:g} s for {what}")
        await asyncio.sleep(0.1)


def pool(name: str, hosts: Sequence[str], match: str = "", running: int = 2_000) -> Mapping[str, object]:
    """A pool as the settings have it."""
    return {"name": name, "match": match, "hosts": list(hosts), "maxRunning": running}


async def idle(count: int, seconds: float) -> tuple[float, float]:
    """The percentage of a core that an idle worker uses on that many hosts, and with a dead tenth of them."""
    with simulated(count) as hosts:
        async with ground([pool("all", hosts)], hosts) as made:
            well = await made.cpu(seconds)
            for host in hosts[: max(1, count // 10)]:
                made.control(host, "dead")
            await asyncio.sleep(PROBES)
            return well, await made.cpu(seconds)


async def running(count: int, executions: int, seconds: float) -> float:
    """The percentage of a core that two workers use together while that many executions run."""
    with simulated(count) as hosts:
        async with ground([pool("all", hosts)], hosts, workers=2) as made:
            await made.start(HOLD, executions)
            return await made.cpu(seconds)


async def over_http(count: int, jobs: int) -> tuple[Placed, Placed]:
    """What placements by four workers on that many hosts cost, and with a dead tenth of them."""
    with simulated(count) as hosts:
        async with ground([pool("all", hosts)], hosts, workers=4) as made:
            await made.placed(dispatch.WARM_UP)
            well, dead = await made.placed(jobs), max(1, count // 10)
            for host in hosts[:dead]:
                made.control(host, "dead")

            async def all_noticed() -> bool:
                return await made.usable() == [count - dead] * len(made.pids)

            await _until(all_noticed, "the dead hosts to be noticed")
            return well, await made.placed(jobs)


async def beside(silent: bool, jobs: int) -> list[float]:
    """Milliseconds from the enqueue to the start of jobs on ten hosts, while jobs also come for another host; ``silent``: that one accepts
    calls and does not answer from the first job on."""
    with simulated(11) as hosts:
        pools = [pool("one", hosts[:1], "^one"), pool("others", hosts[1:])]
        async with ground(pools, hosts) as made:
            for _ in range(20):
                await made.put("bench", dispatch.SPEC, 1)
                await asyncio.sleep(GAP)
            if silent:
                made.control(hosts[0], "silent")
            executions = []
            for number in range(jobs):
                executions += await made.put("bench", dispatch.SPEC, 1)
                if number % 5 == 0:
                    await made.put("one", dispatch.SPEC, 1)
                await asyncio.sleep(GAP)

            async def all_done() -> bool:
                rows = await asyncio.gather(*(made.store.execution(execution.id) for execution in executions[-50:]))
                return all(row is not None and row.status is Status.DONE for row in rows)

            await _until(all_done, "the jobs on the other hosts")
            rows = [await made.store.execution(execution.id) for execution in executions]
            return [float((row.started_at or 0) - row.scheduled_for) for row in rows if row is not None]


def measure(rounds: int, say: Say, sizes: Sizes) -> list[Figure]:
    """Measures all of it; costs of processor time once, since noise hardly changes them."""
    return [
        *_idle(1, say, sizes),
        *_running(1, say, sizes),
        *_over_http(1, say, sizes),
        *_placed(rounds, say, sizes),
        *_silent(rounds, say, sizes),
    ]


def _idle(rounds: int, say: Say, sizes: Sizes) -> list[Figure]:
    found: dict[int, list[tuple[float, float]]] = {count: [] for count in sizes.hosts}
    for turn in range(rounds):
        for count in sizes.hosts:
            found[count].append(uvloop.run(idle(count, sizes.idle)))
        say(f"round {turn + 1}: idle, and with a dead tenth: {_told({count: pairs[-1] for count, pairs in found.items()})} % of a core")
    few, most = sizes.hosts[0], sizes.hosts[-1]
    figures = [
        _cost(f"an idle worker, {count:,} hosts", [pair[0] for pair in pairs], [pair[0] for pair in found[few]], f"{few} hosts", limit)
        for count, pairs in found.items()
        if (limit := 10.0 if count == most else None) or count != few
    ]
    dead = found[most]
    return [*figures, _cost(f"the same, a tenth of {most:,} dead", [pair[1] for pair in dead], [pair[0] for pair in dead], "all well")]


def _running(rounds: int, say: Say, sizes: Sizes) -> list[Figure]:
    found: dict[int, list[float]] = {count: [] for count in sizes.hosts}
    for turn in range(rounds):
        for count in sizes.hosts:
            found[count].append(uvloop.run(running(count, sizes.running, sizes.seconds)))
        say(f"round {turn + 1}: {sizes.running:,} running: {_told({count: (all_[-1],) for count, all_ in found.items()})} % of a core")
    few, most = sizes.hosts[0], sizes.hosts[-1]
    return [
        _cost(f"{sizes.running:,} running, 2 workers, {count:,} hosts", cpu, found[few], f"{few} hosts", 100.0 if count == most else None)
        for count, cpu in found.items()
        if count != few
    ]


def _over_http(rounds: int, say: Say, sizes: Sizes) -> list[Figure]:
    found: dict[int, list[tuple[Placed, Placed]]] = {sizes.hosts[0]: [], sizes.hosts[-1]: []}
    for turn in range(rounds):
        for count, pairs in found.items():
            pairs.append(uvloop.run(over_http(count, sizes.over_http)))
            for which, placed in zip(("well", "a dead tenth"), pairs[-1], strict=True):
                kinds = ", ".join(f"{kind} {calls:.2f}" for kind, calls in sorted(placed.kinds.items()))
                rate = f"{placed.rate:.0f} jobs/s, {placed.cpu:.2f} ms and {placed.calls:.1f} calls each ({kinds})"
                say(f"round {turn + 1}: over HTTP, {count:,} hosts, {which}: {rate}")
    few, most = (list(zip(*pairs, strict=True)) for pairs in found.values())
    name, about = f"placed by calls, 4 workers, {sizes.hosts[-1]:,} hosts", f"{sizes.hosts[0]} hosts"
    cpu = [[[placed.cpu for placed in placements] for placements in sides] for sides in (few, most)]
    calls = [[placed.calls for placed in sides[0]] for sides in (few, most)]
    rates = [[placed.rate for placed in placements] for placements in most]
    return [
        Figure(f"{name}: processor time of each", "ms", cpu[1][0], cpu[0][0], about),
        Figure(f"{name}: calls of each", "calls", calls[1], calls[0], about),
        Figure(f"{name}, a dead tenth: processor time of each", "ms", cpu[1][1], cpu[1][0], "all well", target=Target(1.2, at_least=False)),
        Figure(f"{name}, a dead tenth", "jobs/s", rates[1], rates[0], "all well", target=Target(0.8, at_least=True)),
    ]


def _placed(rounds: int, say: Say, sizes: Sizes) -> list[Figure]:
    found: dict[int, list[float]] = {count: [] for count in sizes.hosts}
    late: list[float] = []
    few, most = sizes.hosts[0], sizes.hosts[-1]
    for turn in range(rounds):
        for count in sizes.hosts:
            found[count].append(dispatch.dispatch(4, sizes.placed, _instant(count)))
        late.append(dispatch.dispatch(4, sizes.placed, _instant(most), sizes.history))
        told = _told({count: (all_[-1],) for count, all_ in found.items()})
        say(f"round {turn + 1}: placed by 4 workers: {told} a second; after {sizes.history:,} executions {late[-1]:.1f}")
    target = Target(1_500.0, at_least=True)
    return [
        Figure(f"placed by 4 workers, {most:,} hosts", "jobs/s", found[most], found[few], f"{few} hosts", Comparison.ALONE, target),
        Figure(f"placed by 4 workers, {most:,} hosts, against {few}", "jobs/s", found[most], found[few], f"{few} hosts"),
        Figure(
            f"the same, {most:,} hosts, after {sizes.history:,} executions",
            "jobs/s",
            late,
            found[most],
            "an empty store",
            target=Target(0.9, at_least=True),
        ),
    ]


def _instant(count: int) -> list[str]:
    """The names of that many hosts in the workers' own processes."""
    return [f"unix:///instant/{number}" for number in range(count)]


def _silent(rounds: int, say: Say, sizes: Sizes) -> list[Figure]:
    found: dict[bool, list[list[float]]] = {True: [], False: []}
    for turn in range(rounds):
        for silent, rows in found.items():
            rows.append(uvloop.run(beside(silent, sizes.jobs)))
        told = [f"{percentile(found[silent][-1], 50):.0f}/{percentile(found[silent][-1], 99):.0f}" for silent in (True, False)]
        say(f"round {turn + 1}: enqueue to start beside a silent host {told[0]} ms (p50/p99), beside one that answers {told[1]}")
    sides = [[percentile(values, 99) for values in found[silent]] for silent in (True, False)]
    return [
        Figure(
            "p99 beside a silent host, enqueue to start", "ms", sides[0], sides[1], "one that answers", target=Target(1.2, at_least=False)
        )
    ]


def _cost(name: str, ours: Sequence[float], peer: Sequence[float], about: str, limit: float | None = None) -> Figure:
    if limit is None:
        return Figure(name, "% of a core", ours, peer, about)
    return Figure(name, "% of a core", ours, peer, about, Comparison.ALONE, Target(limit, at_least=False))


def _told(found: Mapping[int, Sequence[float]]) -> str:
    return ", ".join(f"{count:,} hosts {'/'.join(f'{value:.1f}' for value in values)}" for count, values in found.items())
