"""Beyond one machine, by simulation: what a dispatch, a claim and a round cost with up to 10,000 hosts and 1,000,000 schedules.

``python -m benchmarks.scaling``. Each figure is processor time or bytes, so other work on the machine changes it little: of the functions
that fastlane itself calls, of a real Redis with the real scripts, and of SQLite's file. Nothing is connected
to any engine: views of hosts are values, and jobs are written straight into the store.
"""

import asyncio
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.timed import DAY, fill_store
from fastlane.executors.swarm.observe import LISTS_A_SECOND, OTHERS_A_SECOND, OTHERS_EVERY
from fastlane.executors.swarm.probe import PROBES_A_SECOND
from fastlane.models.event import Note
from fastlane.models.host import HostView, Views, reachable_manager
from fastlane.models.placement import Ranking
from fastlane.models.pool import HostRule, Pool
from fastlane.queue.port import TICKS, Entry, EntryKind, Lane, Report, job_entry
from fastlane.queue.redis.queue import RedisQueue
from fastlane.scheduler.leases import PoolSlots, Room, claim_request
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.redis import RealRedis

HOSTS = (100, 1_000, 10_000)
SCHEDULES = (10_000, 100_000, 1_000_000)
QUICK = ((10, 100), (100, 1_000))
TRIES = 500
IN_FLIGHT = 500
"""Executions that a worker has placed and no host counts yet."""
BATCH = 32
PAGE = 500
NOTES: tuple[Note, ...] = ()
ROOM = Room(2_000, 500, 32)
PAGE_FILE = Path(__file__).parents[1] / "docs" / "scaling.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

Row = tuple[str, str, Sequence[float]]
"""What was measured, its unit, and a value for each size."""


def taken(work: Callable[[], object], tries: int = TRIES) -> float:
    """Microseconds of the processor that a call takes: the least of three rounds."""
    rounds = []
    for _ in range(3):
        began = time.process_time()
        for _ in range(tries):
            work()
        rounds.append((time.process_time() - began) / tries * 1e6)
    return min(rounds)


def views_of(count: int) -> Views:
    """Hosts, each a swarm of its own."""
    names = (f"tcp://10.{n >> 16}.{n >> 8 & 255}.{n & 255}:2376" for n in range(count))
    return Views(HostView(name, True, swarm_id=f"swarm-{n:021d}", running=n % 7) for n, name in enumerate(names))


OF_HOSTS = (
    *(
        "a claim: which lanes to ask for, when a host has changed",
        "the same, in a pool with rules for its hosts",
        "the same, when none has",
    ),
    *("a dispatch: choosing the host", "a dispatch: finding its host again, 4 times", "a change of a host: the order of all"),
)


BUDGETS = (
    ("by the budget: a host that is well is probed every", 2.0, PROBES_A_SECOND),
    ("by the budget: one worker that has work on each lists it every", 0.5, LISTS_A_SECOND),
    ("by the budget: what other workers placed there is counted every", OTHERS_EVERY / 1000, OTHERS_A_SECOND),
)
"""Seconds at least, and how many a worker makes in a second at most."""


def hosts_cost(count: int) -> tuple[float, ...]:
    """The costs of ``OF_HOSTS`` with this number of hosts."""
    views = views_of(count)
    names = tuple(view.name for view in views)
    pool = Pool("main", ".*", names, max_running=2_000)
    ruled = Pool("main", ".*", names, max_running=2_000, rules={name: HostRule(max_running=20) for name in names})
    ranking, last, slots = Ranking(pool, views), views[-1], PoolSlots()
    placed = {view.name: 1 for view in views[:IN_FLIGHT]}
    return (
        taken(lambda: claim_request([pool], views, ROOM)),
        taken(lambda: claim_request([ruled], views, ROOM), 20),
        taken(lambda: claim_request([ruled], views, ROOM, slots)),
        taken(lambda: ranking.best(placed)),
        taken(lambda: [reachable_manager(views, last.name, last.swarm_id) for _ in range(4)]),
        taken(lambda: Ranking(pool, views), 5),
    )


def hosts(sizes: Sequence[int]) -> list[Row]:
    """What hosts cost each claim, each dispatch, and each change of what is known of one."""
    columns = [hosts_cost(count) for count in sizes]
    costs = [(name, "µs", [column[number] for column in columns]) for number, name in enumerate(OF_HOSTS)]
    return [*costs, *((name, "s", [max(least, count / most) for count in sizes]) for name, least, most in BUDGETS)]


async def reports(sizes: Sequence[int]) -> list[Row]:
    """What a worker's report of its hosts costs, in which a hundredth has changed, and what reading it costs."""
    rows: dict[str, list[float]] = {}
    for count in sizes:
        with RealRedis() as redis:
            queue, views = RedisQueue(redis.url, "test"), list(views_of(count))
            await queue.open()
            try:
                await queue.reports.announce(Report("w", 0, tuple(views), NOTES), ttl=60_000)
                await queue.reports.current()
                for number in range(0, count, 100):
                    views[number] = HostView(views[number].name, True, swarm_id=views[number].swarm_id, running=9)
                began = time.process_time()
                await queue.reports.announce(Report("w", 0, tuple(views), NOTES), ttl=60_000)
                told = time.process_time()
                await queue.reports.current()
                rows.setdefault("a report, each second", []).append((told - began) * 1e3)
                rows.setdefault("reading it, by each process, when asked", []).append((time.process_time() - told) * 1e3)
            finally:
                await queue.close()
    return [(name, "ms", values) for name, values in rows.items()]


def entries(count: int, now: int) -> Iterator[Entry]:
    """Jobs whose ticks are a day away and later."""
    return (Entry(f"01890000-0000-7000-8000-{number:012d}", EntryKind.JOB, TICKS, now + DAY + number * 100) for number in range(count))


def pages(all_entries: Iterable[Entry], size: int) -> Iterator[list[Entry]]:
    """Lists of that many."""
    page: list[Entry] = []
    for entry in all_entries:
        page.append(entry)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page


async def in_redis(sizes: Sequence[int]) -> list[Row]:
    """What entries that wait cost in Redis, and the processor time that calls of its scripts take beside them."""
    rows: dict[tuple[str, str], list[float]] = {}
    for count in sizes:
        with RealRedis() as redis, redis.client() as client:
            queue = RedisQueue(redis.url, "test", deadline=60.0)
            await queue.open()
            try:
                await queue.generation.set_generation("1")
                empty, now = int(client.info("memory")["used_memory"]), await queue.time()
                for page in pages(entries(count, now), 5_000):
                    await queue.put(page)
                rows.setdefault(("an entry", "bytes"), []).append((int(client.info("memory")["used_memory"]) - empty) / count)
                for name, value in (await scripts(queue, client, now, count)).items():
                    rows.setdefault((name, "µs"), []).append(value)
            finally:
                await queue.close()
    return [(name, unit, values) for (name, unit), values in rows.items()]


def processor(client: Any) -> float:
    """Seconds of a processor that Redis has taken until now."""
    used = client.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


async def scripts(queue: RedisQueue, client: Any, now: int, known: int) -> dict[str, float]:
    """Microseconds of Redis's processor for an entry that is put, claimed with others, renewed and finished."""
    found: dict[str, float] = {}
    lanes = [Lane("main", 2_000), Lane(TICKS, None)]

    @contextmanager
    def counted(name: str, calls: int) -> Iterator[None]:
        before = processor(client)
        yield
        found[name] = (processor(client) - before) / calls * 1e6

    ids = [f"x-{number}" for number in range(TRIES)]
    there = list(pages(entries(min(known, 20 * PAGE), now), PAGE))
    began, count = time.process_time(), sum(map(len, there))
    with counted("a round's put of an entry that is there, in Redis", count):
        for page in there:
            await queue.put(page)
    found["the same, in the worker"] = (time.process_time() - began) / count * 1e6
    with counted("put of a due execution", TRIES):
        for id in ids:
            await queue.put([Entry(id, EntryKind.EXECUTION, "main", now - 1)])
    with counted(f"claim, an entry of {BATCH}", TRIES):
        for _ in range(0, TRIES, BATCH):
            await queue.claim("1", "w", lanes, BATCH, lease=60_000)
    with counted("claim of nothing", TRIES):
        for _ in range(TRIES):
            await queue.claim("1", "w", lanes, BATCH, lease=60_000)
    with counted("renewal of a lease", TRIES):
        await queue.renew("1", "w", ids, lease=60_000)
    with counted("finish", TRIES):
        for id in ids:
            await queue.finish({id: 0})
    return found


async def in_sqlite(sizes: Sequence[int]) -> list[Row]:
    """What schedules cost in SQLite's file, and a page of those that are due, as the timer, the reconciler and a rebuild read it."""
    rows: dict[tuple[str, str], list[float]] = {}
    for count in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "fastlane.db")
            store = SqliteStore(path)
            await store.open()
            try:
                fill_store(path, count)
                rows.setdefault(("a schedule in the file", "bytes"), []).append(size_of(path) / count)
                rows.setdefault(("a write that moves its next tick", "µs"), []).append(await advanced(store))
                soon = await pages_of(store)
                rows.setdefault(("reading a job that is due soon, in pages", "µs"), []).append(soon)
            finally:
                await store.close()
    return [(name, unit, values) for (name, unit), values in rows.items()]


def size_of(path: Path) -> int:
    """The bytes of a store's file and of what is written beside it."""
    return sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*"))


async def advanced(store: SqliteStore) -> float:
    """Microseconds for an advance, one after another."""
    jobs = await store.jobs_due(1 << 60, 100)
    began = time.process_time()
    for job in jobs:
        assert await store.advance(job, replace(job, next_tick=(job.next_tick or 0) + DAY, sequence=job.sequence + 1), (), None)
    return (time.process_time() - began) / len(jobs) * 1e6


async def pages_of(store: SqliteStore, count: int = 20) -> float:
    """Microseconds for a job of a page."""
    after: tuple[int, str] | None = None
    seen, began = 0, time.process_time()
    for _ in range(count):
        jobs = await store.jobs_due(1 << 60, PAGE, after)
        if not jobs:
            break
        seen += len([job_entry(job) for job in jobs])
        after = (jobs[-1].next_tick or 0, jobs[-1].id)
    return (time.process_time() - began) / seen * 1e6


def table(name: str, sizes: Sequence[int], rows: Sequence[Row]) -> list[str]:
    """The rows as Markdown, each size a column."""

    def shown(value: float) -> str:
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

    head = [f"| {name} | unit | {' | '.join(f'{size:,}' for size in sizes)} |", f"| --- | --- |{' --- |' * len(sizes)}"]
    return [*head, *(f"| {what} | {unit} | {' | '.join(map(shown, values))} |" for what, unit, values in rows), ""]


def main() -> None:
    """Measures everything, prints it, and writes it into the page unless it was quick."""
    parser = ArgumentParser(prog="python -m benchmarks.scaling", description=(__doc__ or "").strip())
    parser.add_argument("--quick", action="store_true", help="small sizes; writes nothing")
    quick = parser.parse_args().quick
    many_hosts, many = QUICK if quick else (HOSTS, SCHEDULES)
    lines: list[str] = []

    async def measured() -> None:
        for name, sizes, work in (
            ("in Redis, by the number of schedules there", many, in_redis),
            ("in SQLite, by the number of schedules there", many, in_sqlite),
            ("a worker's report, by the number of hosts", many_hosts, reports),
        ):
            add(name, sizes, await work(sizes))

    def add(name: str, sizes: Sequence[int], rows: Sequence[Row]) -> None:
        made = table(name, sizes, rows)
        lines.extend(made)
        sys.stdout.write("\n".join(made) + "\n")
        sys.stdout.flush()

    add("in a worker, by the number of hosts", many_hosts, hosts(many_hosts))
    (uvloop.run if not quick else asyncio.run)(measured())
    if not quick:
        before, _, rest = PAGE_FILE.read_text("utf-8").partition(BEGIN)
        PAGE_FILE.write_text("\n".join([f"{before}{BEGIN}", "", *lines, f"{END}{rest.partition(END)[2]}"]), "utf-8")


if __name__ == "__main__":
    main()
