"""Simulated days of a fastlane with many schedules, for what grows when it works for long: the services and a worker as they are, a real
Redis and a real file, on a clock that moves on when all is quiet.

Each sleep of a part lasts ``STRETCH`` times as long as it asks: a loop that looks each second looks every few minutes, so that a day takes
seconds. A tick starts up to some minutes late for it. Settings that are durations are longer. What the schedules want is worked out here,
from their hours and minutes.
"""

import asyncio
import gc
import os
import random
import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fastlane.models.cron import Cron
from fastlane.models.job import Spec
from fastlane.models.pool import Pool
from fastlane.models.retention import Retention
from fastlane.models.schedule import Overlap, Schedule, ScheduleKind
from fastlane.queue.redis.queue import RedisQueue
from fastlane.queue.redis.scripts import Keys as KeyNames
from fastlane.scheduler import worker as workers
from fastlane.scheduler.pruner import RetentionRules
from fastlane.scheduler.worker import Worker
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.store import SqliteStore
from tests.model.loop import Pulse, Stuck, run
from tests.model.side import Hints, Side
from tests.model.wire import EnginePort, Node, NodeClock, QueuePort, StorePort, Wire
from tests.support.clock import FakeClock
from tests.support.defaults import default_limits, default_worker, ports_of
from tests.support.flatness import growing
from tests.support.instant import InstantExecutor
from tests.support.redis import RealRedis
from tests.support.services import services_of

HOUR, DAY = 3_600_000, 86_400_000
STRETCH = 240
BEGINNING = 1_700_006_400_000
"""The first moment of a day."""
LATE = 30 * 60
"""Seconds after midnight at which a day is judged: what was due in it has started by then."""
KEPT = 25 * HOUR
"""How long executions stay: a day can be judged at ``LATE``."""
WARM = 2
"""Days after which nothing may grow."""
ALLOWED = {
    "rows": (20, 0.02),
    "keys": (0, 0.0),
    "items": (20, 0.02),
    "bytes": (200_000, 50.0),
    "tasks": (20, 0.0),
    "threads": (4, 0.0),
    "descriptors": (8, 0.0),
    "objects": (500, 0.2),
    "blocks": (1_500, 0.5),
}
"""By how much a figure may grow: in any case, and for each run of the days in which it is judged. If one run in ten left a row, it is too
much."""
HOST = "unix:///soak"
POOLS = (Pool("default", "", (HOST,), max_running=50),)
PATIENCE = 60.0
COUNTED = {"zset": "ZCARD", "hash": "HLEN", "set": "SCARD", "list": "LLEN", "stream": "XLEN"}


SHORT = Spec("ubuntu:latest", ("out", "hello\n"))


@dataclass(frozen=True)
class Plan:
    """When a schedule is due: at a minute, in these hours of each day."""

    minute: int
    hours: tuple[int, ...]
    text: str
    overlap: Overlap = Overlap.ALLOW
    spec: Spec = SHORT

    def dues(self, start: int) -> list[int]:
        """The due times of the day that begins then."""
        return [start + hour * HOUR + self.minute * 60_000 for hour in self.hours]


def plans(count: int) -> Iterator[Plan]:
    """Some run each hour, for longer than an hour; some run every six hours, fail, and are tried again; most run once a day."""
    chance = random.Random(1)
    for number in range(count):
        minute, hour = chance.randrange(60), chance.randrange(24)
        if number % 500 == 0:
            spec = Spec("ubuntu:latest", ("hold",), timeout=90 * 60_000)
            yield Plan(minute, tuple(range(24)), f"{minute} * * * *", overlap=Overlap.SKIP, spec=spec)
        elif number % 100 == 50:
            yield Plan(minute, (0, 6, 12, 18), f"{minute} */6 * * *", spec=Spec("ubuntu:latest", ("exit", "1,0"), retries=1))
        else:
            yield Plan(minute, (hour,), f"{minute} {hour} * * *")


class StretchedClock(NodeClock):
    """A clock on which each sleep lasts longer than it asks."""

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds * STRETCH)


class Process(Node):
    """A process to which nothing happens: each of its calls is carried out at once."""

    def __init__(self, name: str, wire: Wire) -> None:
        super().__init__(name, wire, name)
        self.clock = StretchedClock(self, wire.clock)

    async def call(self, port: str, point: str, carry: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        self.wire.pulse.busy += 1
        try:
            return await carry()
        finally:
            self.wire.pulse.busy -= 1
            self.wire.dirty = self.wire.dirty or port == "queue"


class Days:
    """A fastlane that lives for some days. ``complaints`` says which due times have neither one run nor a row; ``figures`` has what was
    counted at the end of each day."""

    def __init__(self, folder: Path, redis: RealRedis, schedules: int) -> None:
        self.complaints: list[str] = []
        self.figures: dict[str, list[tuple[float, float]]] = {}
        self.runs = 0
        self.due_times = 0
        self._pulse = Pulse()
        self._clock = FakeClock(BEGINNING - 60_000)
        self._wire = Wire(self._clock, self._pulse)
        self._pulse.on_quiet = self._quiet
        self._file = folder / "fastlane.db"
        self._redis = redis
        self._installation = f"days-{folder.name}"
        self._hints = Hints(redis.socket, KeyNames(self._installation).channel)
        self._plans = list(plans(schedules))
        self._jobs: dict[str, Plan] = {}
        self._api, self._node = Process("api", self._wire), Process("worker", self._wire)
        self._starts: list[str] = []
        """The executions that started since the day before was judged; ``_earlier`` of them before the last day was."""
        self._earlier = 0
        self._executor = InstantExecutor((HOST,), self._clock, witness=self._starts)  # type: ignore[arg-type]

    def live(self, days: int) -> None:
        """Lets so many days pass."""
        with closing(self._hints), patch.object(workers, "ANNOUNCE_TTL", workers.ANNOUNCE_TTL * STRETCH), self._store_clock():
            run(self._pulse, self._live(days))

    def growing(self) -> dict[str, float]:
        """What has grown from day ``WARM`` on by more than is allowed, and by how much."""
        points = {name: points[WARM - 1 :] for name, points in self.figures.items()}
        judged = self.runs * (len(next(iter(points.values()))) - 1) / len(next(iter(self.figures.values())))
        return growing(points, {name: least + share * judged for name, (least, share) in ALLOWED.items()})

    @contextmanager
    def _store_clock(self) -> Iterator[None]:
        """SQLite's own moment is the clock's too."""
        real = SqliteFile._connect

        def connect(file: SqliteFile) -> sqlite3.Connection:
            db = real(file)
            db.create_function("unixepoch", 0, lambda: self._clock.now() // 1000)
            return db

        with patch.object(SqliteFile, "_connect", connect):
            yield

    async def _live(self, days: int) -> None:
        store = SqliteStore(self._file, busy_timeout=PATIENCE)
        queues = [RedisQueue(f"unix://{self._redis.socket}", self._installation, deadline=PATIENCE, time=self._clock.now) for _ in range(2)]
        self._pulse.busy += 1
        for part in (store, *queues):
            await part.open()
        self._pulse.busy -= 1
        mine, others = (QueuePort(node, queue, lambda: "run-1") for node, queue in zip((self._api, self._node), queues, strict=True))
        self._services = services_of(StorePort(self._api, store), mine, self._api.clock, POOLS)
        working = asyncio.create_task(self._worker(StorePort(self._node, store), others).run())
        try:
            await self._schedule()
            for day in range(days):
                await self._pass(BEGINNING + day * DAY)
                self._judge(BEGINNING + day * DAY)
                self._count(day)
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            self._pulse.busy += 1  # for good: the loop's own end waits for threads
            await self._services.outbox.close()
            for part in (*queues, store):
                await part.close()

    def _worker(self, store: StorePort, queue: QueuePort) -> Worker:
        long = DAY / 1000
        limits = default_limits(timeout=long, pending_deadline=long, pull_deadline=long, host_lost_after=long)
        rules = RetentionRules(Retention(12 * HOUR, KEPT, None, 12 * HOUR), KEPT, KEPT, KEPT)
        settings = default_worker(limits, lease=15.0 * STRETCH, retention=rules)
        ports = ports_of(store, queue, self._node.clock, executor=EnginePort(self._node, self._executor), pools=POOLS)
        return Worker(ports, settings)

    async def _schedule(self) -> None:
        for number, plan in enumerate(self._plans):
            schedule = Schedule(ScheduleKind.CRON, None, Cron(plan.text), plan.overlap)
            enqueued = await self._services.submissions.enqueue(f"task-{number % 40}", plan.spec, schedule)
            self._jobs[enqueued.job_id] = plan

    async def _pass(self, start: int) -> None:
        """Until ``LATE`` after the day that begins then. Beside the schedules, jobs come that run once, of tasks that come and go."""
        for hour in range(24):
            for _ in range(2):
                await self._services.submissions.enqueue(f"once-{start // DAY % 2}-{hour}", SHORT, Schedule())
            await self._clock.sleep((start + (hour + 1) * HOUR - self._clock.now()) / 1000)
        await self._clock.sleep((start + DAY + LATE * 1000 - self._clock.now()) / 1000)

    def _judge(self, start: int) -> None:
        """Each due time of the day has one row, and one run if the row says so."""
        starts = Counter(self._starts)
        self.complaints += [f"execution {id} started {count} times" for id, count in starts.items() if count > 1]
        query = """SELECT t.job_id, t.due, t.outcome, e.id FROM ticks t LEFT JOIN executions e ON e.tick_id = t.id AND e.attempt = 1
            WHERE t.due >= ? AND t.due < ? AND t.key LIKE 'c:%'"""
        with closing(sqlite3.connect(self._file)) as db:
            rows = db.execute(query, (start, start + DAY)).fetchall()
        found = Counter((job, due) for job, due, _, _ in rows)
        wanted = Counter((job, due) for job, plan in self._jobs.items() for due in plan.dues(start))
        self.due_times += wanted.total()
        self.complaints += [
            f"{job} has {found[job, due]} rows for {due}, not {wanted[job, due]}" for job, due in found - wanted | wanted - found
        ]
        for job, due, outcome, execution in rows:
            if (starts[execution] if outcome == "started" else execution is None) != 1:
                self.complaints.append(f"{job}, due {due}, {outcome}: execution {execution} started {starts[execution]} times")
        self.runs += len(self._starts) - self._earlier
        del self._starts[: self._earlier]
        self._earlier = len(self._starts)

    def _count(self, day: int) -> None:
        gc.collect()
        counts: dict[str, float] = {
            "tasks": len(asyncio.all_tasks()),
            "threads": threading.active_count(),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "objects": len(gc.get_objects()),
            "blocks": sys.getallocatedblocks(),
            **_rows(self._file),
            **_keys(self._redis),
        }
        for name, value in counts.items():
            self.figures.setdefault(name, []).append((day, value))

    def _quiet(self) -> None:
        if self._wire.dirty:
            self._wire.dirty = False
            for message in self._hints.drain():
                self._node.hear(message)
        elif not self._clock.step():
            raise Stuck


def _rows(file: Path) -> dict[str, float]:
    """How many rows each table has, and the bytes that are in use."""
    with closing(sqlite3.connect(file)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        pages, free, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size"))
        rows: dict[str, float] = {f"rows of {name}": db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}
    return rows | {"bytes in the store": (pages - free) * size}


def _keys(redis: RealRedis) -> dict[str, float]:
    """How many keys Redis has, and the items in them."""
    with closing(Side(redis.socket)) as side:
        names = side.command("KEYS", "*")
        kinds = [(name, side.command("TYPE", name).decode()) for name in names]
        items = sum(side.command(COUNTED[kind], name) for name, kind in kinds if kind in COUNTED)
    return {"keys in Redis": len(names), "items in Redis": items}
