"""Runs an API server and a worker on an engine under a steady load, and takes samples of what they hold.

The load: jobs that end at once, jobs with a schedule, a job that writes a line each second and clients that follow it, and clients that
read lists. Retention is a tenth of the run, so that history goes as it comes for most of it.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from tests.support.engine import connect
from tests.support.engine_views import LABEL
from tests.support.installation import Installation, installed
from tests.support.redis import RealRedis

MEBI = 2**20
TASKS, SCHEDULES, FOLLOWERS = 40, 20, 10
READS = ("/jobs?perPage=50", "/executions?perPage=50&status=done", "/metrics", "/history", "/healthcheck")
READ_EVERY = 5.0
LASTS = 60
"""Seconds for which a followed job writes."""
SAMPLES = 200
"""Of a run, at least ten seconds apart."""
LEAST_KEPT, MOST_KEPT = 60.0, 86_400.0
PATIENCE = 60.0


@dataclass
class Soaked:
    """What a run came to: ``figures``, each sampled at seconds since its beginning, and how many of which requests were answered."""

    figures: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    """Requests without the answer that they should have."""
    version: str = ""

    def count(self, what: str) -> None:
        """Counts something that happened."""
        self.counts[what] = self.counts.get(what, 0) + 1


class Load:
    """The clients."""

    def __init__(self, url: str, rate: float, soaked: Soaked) -> None:
        self._url = url
        self._rate = rate
        self._soaked = soaked
        self._followed: str | None = None

    async def run(self) -> None:
        """Asks until it is cancelled."""
        timeout = aiohttp.ClientTimeout(None, sock_connect=PATIENCE, sock_read=PATIENCE)
        async with aiohttp.ClientSession(self._url, timeout=timeout) as self._session, asyncio.TaskGroup() as group:
            for number in range(SCHEDULES):
                await self._post(f"soak-cron-{number % 4}", "echo hello", cron=f"*/{1 + number % 5} * * * *", overlap="skip")
            group.create_task(self._repeat(1 / self._rate, self._short_jobs))
            group.create_task(self._repeat(LASTS, self._long_jobs))
            group.create_task(self._repeat(READ_EVERY, self._reads))
            for _ in range(FOLLOWERS):
                group.create_task(self._repeat(1.0, self._follow))

    async def _repeat(self, every: float, ask: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            began = time.monotonic()
            try:
                await ask()
            except (aiohttp.ClientError, TimeoutError) as error:
                self._soaked.troubles.append(f"{ask.__name__}: {type(error).__name__}")
            await asyncio.sleep(max(0.1, began + every - time.monotonic()))

    async def _short_jobs(self) -> None:
        number = self._soaked.counts.get("jobs", 0)
        await self._post(f"soak-{number % TASKS}", f"echo hello; exit {int(number % 20 == 0)}")
        self._soaked.count("jobs")

    async def _long_jobs(self) -> None:
        script = f"i=0; while [ $i -lt {LASTS} ]; do echo line $i; i=$((i+1)); sleep 1; done"
        self._followed = await self._post("soak-long", script)

    async def _reads(self) -> None:
        for path in READS:
            async with self._session.get(path) as answer:
                await answer.read()
                self._answered("reads", path, answer.status)

    async def _follow(self) -> None:
        if self._followed is None:
            return
        async with self._session.ws_connect(self._followed) as socket:
            async for _message in socket:
                self._soaked.count("messages to followers")
        if socket.close_code != 1000:
            self._soaked.troubles.append(f"a follower was closed with {socket.close_code}")
        self._soaked.count("followers' sockets")

    async def _post(self, task: str, script: str, **more: object) -> str:
        body = {"image": "ubuntu:latest", "command": ["sh", "-c", script], **more}
        async with self._session.post(f"/tasks/{task}", json=body) as answer:
            self._answered("enqueues", task, answer.status)
            return f"/tasks/{task}/jobs/{(await answer.json()).get('jobId')}/ws"

    def _answered(self, what: str, path: str, status: int) -> None:
        self._soaked.count(what)
        if status != 200:
            self._soaked.troubles.append(f"{path} was answered {status}")


class Samples:
    """Takes what the parts hold."""

    def __init__(self, fastlane: Installation, redis: RealRedis, soaked: Soaked) -> None:
        self._fastlane = fastlane
        self._redis = redis
        self._soaked = soaked
        self._began = time.monotonic()
        roles = {"API": "api", "worker": "worker"}
        self._processes = {name: psutil.Process(fastlane.running(role)[0].pid) for name, role in roles.items()}

    def take(self) -> None:
        """Takes one of each figure."""
        found: dict[str, float] = {}
        for name, process in self._processes.items():
            found[f"memory of the {name}, MiB"] = process.memory_info().rss / MEBI
            found[f"descriptors of the {name}"] = process.num_fds()
            found[f"threads of the {name}"] = process.num_threads()
        with self._redis.client() as client:
            found["keys in Redis"] = client.dbsize()
            found["memory of Redis, MiB"] = client.info("memory")["used_memory"] / MEBI
        found |= self._rows()
        files = [path for path in self._fastlane.folder.rglob("*") if path.is_file() and path.suffix != ".log"]
        found["files in the data folder"] = len(files)
        found["disk of the data folder, MiB"] = sum(path.stat().st_blocks * 512 for path in files) / MEBI
        with contextlib.closing(connect(self._fastlane.engine.hosts[0])) as engine:
            found["services on the engine"] = len(engine.services(filters={"label": f"{LABEL}={self._fastlane.name}"}))
            found["containers on the engine"] = len(engine.containers(all=True))
        moment = time.monotonic() - self._began
        for name, value in found.items():
            self._soaked.figures.setdefault(name, []).append((moment, value))

    def _rows(self) -> dict[str, float]:
        with contextlib.closing(sqlite3.connect(f"file:{self._fastlane.folder}/fastlane.db?mode=ro", uri=True)) as db:
            tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {f"rows of {name}": db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


def run(hours: float, rate: float, folder: Path, say: Callable[[str], None]) -> Soaked:
    """Makes a run of so many hours with so many short jobs a second."""
    soaked, seconds = Soaked(), hours * 3600
    keep = f"{round(min(MOST_KEPT, max(LEAST_KEPT, seconds / 10)))}s"
    kept = {f"keep_{what}": keep for what in ("jobs", "executions", "logs", "deliveries", "history", "events")}
    with RealRedis() as redis, installed(folder, os.environ["FASTLANE_TEST_ENGINE"], redis=redis.url, **kept) as fastlane:
        fastlane.serve("api")
        fastlane.start("worker")
        fastlane.until_healthy()
        soaked.version = fastlane.get("/healthcheck").headers["X-Fastlane-Version"]
        samples = Samples(fastlane, redis, soaked)
        asyncio.run(_soak(seconds, Load(fastlane.url, rate, soaked), samples, say))
    return soaked


async def _soak(seconds: float, load: Load, samples: Samples, say: Callable[[str], None]) -> None:
    clients, end = asyncio.create_task(load.run()), time.monotonic() + seconds
    try:
        while (left := end - time.monotonic()) > 0:
            await asyncio.wait([clients], timeout=min(left, max(10.0, seconds / SAMPLES)))
            if clients.done():
                break
            await asyncio.to_thread(samples.take)
            say(f"{left / 60:.0f} minutes left")
    finally:
        clients.cancel()
        await asyncio.gather(clients, return_exceptions=True)
    if clients.done() and not clients.cancelled():
        clients.result()
