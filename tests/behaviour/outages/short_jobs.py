"""Thousands of jobs a minute on real processes: ``fastlane api``, workers, a real Redis, either store, and an engine that ends each job at
once.
"""

import asyncio
import contextlib
import itertools
import json
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from fastlane.config.types import SQLITE
from fastlane.models.job import Execution
from fastlane.models.status import Status
from fastlane.queue.port import TICKS
from fastlane.queue.redis.queue import RedisQueue
from fastlane.queue.redis.scripts import Keys
from fastlane.storage.base import Store
from tests.support.engine_views import NoDocker
from tests.support.installation import Installation, installed
from tests.support.process_options import ProcessOptions
from tests.support.redis import RealRedis
from tests.support.simulated_engine import EngineProcess
from tests.support.stores import new_store
from tests.support.waiting import wait_until

T = TypeVar("T")

POOL = "default"
MOST = 100
"""Jobs that run at once."""
PAGE = 500
CLIENTS = 4


class ShortJobs:
    """The jobs of one installation, by what its API accepted, its store holds and its engine started. Each of ``apis`` serves on a port of
    its own; with several, a client asks another one when one is gone, with the same ``Idempotency-Key``."""

    def __init__(self, apis: Sequence[Installation], redis: RealRedis, engine: EngineProcess) -> None:
        self.apis = apis
        self.fastlane = apis[0]
        self.redis = redis
        self.engine = engine
        self.accepted: list[dict[str, Any]] = []
        self.refusals = 0
        self._lock = threading.Lock()
        self._serving: dict[int, subprocess.Popen[bytes]] = {}
        for api in apis:
            self.serve(api)

    def serve(self, api: Installation) -> None:
        """Starts its process."""
        self._serving[api.port] = api.serve("api")

    def kill(self, api: Installation) -> None:
        """kill -9 of its process."""
        self._serving[api.port].kill()
        self._serving[api.port].wait()

    def post_some(self, count: int, pause: float = 0.0, **fields: object) -> list[float]:
        """Posts jobs from one client on one connection, with a pause (seconds) after each, and posts again what is refused with 503.
        Returns the seconds that each answer took."""
        took: list[float] = []
        ports = itertools.cycle([api.port for api in self.apis])
        with contextlib.closing(HTTPConnection("127.0.0.1", next(ports), timeout=60)) as connection:
            headers = self._headers()
            while len(took) < count:
                before = time.perf_counter()
                try:
                    status, body = self._post(connection, {"image": "ubuntu:latest", **fields}, headers)
                except (OSError, HTTPException):
                    if not headers:
                        raise
                    connection.port, status, body = next(ports), 503, b""
                seconds = time.perf_counter() - before
                with self._lock:
                    if status == 200:
                        took.append(seconds)
                        self.accepted.append(json.loads(body))
                        headers = self._headers()
                    else:
                        assert status == 503, body
                        self.refusals += 1
                time.sleep(pause)  # the rate at which jobs come
        return took

    @contextlib.contextmanager
    def posting(self, count: int) -> Iterator[None]:
        """Clients post jobs beside the block, about 200 a second, and are done at its end. Every fifth job starts a second later."""
        with ThreadPoolExecutor(2 * CLIENTS) as pool:
            share = count // CLIENTS
            posts = [pool.submit(self.post_some, share - share // 5, 0.02) for _ in range(CLIENTS)]
            posts += [pool.submit(self.post_some, share // 5, 0.1, startIn="1s") for _ in range(CLIENTS)]
            yield
            for post in posts:
                post.result()

    def _headers(self) -> dict[str, str]:
        return {"Idempotency-Key": uuid4().hex} if len(self.apis) > 1 else {}

    def _post(self, connection: HTTPConnection, body: object, headers: dict[str, str]) -> tuple[int, bytes]:
        try:
            connection.request("POST", "/tasks/short", json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, HTTPException):
            connection.close()
            raise

    def started(self, since: int = 0) -> tuple[int, int]:
        """How many of the executions that were accepted at once have started, and how many there are, from the job number ``since``."""
        ids = [reply["executionId"] for reply in self.accepted[since:] if reply["executionId"]]
        return len(self.engine.starts().keys() & set(ids)), len(ids)

    def look(self, see: "Callable[[Store, RedisQueue], Awaitable[T]]") -> T:
        """Returns what ``see`` finds in the store and the queue."""

        async def open() -> T:
            url = self.fastlane.settings.get("STORE_URL", f"{SQLITE}{self.fastlane.folder / 'fastlane.db'}")
            store, queue = new_store(url), RedisQueue(self.redis.url, self.fastlane.name, deadline=20)
            await store.open()
            await queue.open()
            try:
                return await see(store, queue)
            finally:
                await queue.close()
                await store.close()

        return asyncio.run(open())

    def check_all_ran_once(self, jobs: int) -> None:
        """Fails unless every accepted job ended well and started once, by the engine's word, nothing is left, and every count agrees."""
        wait_until(lambda: self._at_rest(jobs), f"{jobs} jobs to end: {self._counts()}, started: {self.started()}", 120)
        assert len(self.accepted) == jobs
        rows = self.look(_executions)
        starts = self.engine.starts()
        assert set(starts.values()) == {1}, [id for id, times in starts.items() if times > 1]
        assert set(starts) == {row.id for row in rows}
        assert {row.job_id for row in rows} == {reply["jobId"] for reply in self.accepted}
        assert {(row.status, row.attempt, row.exit_code, row.settled, row.cleaned) for row in rows} == {(Status.DONE, 1, 0, True, True)}
        assert len(rows) == jobs
        assert self.engine.services() == []
        self._check_counts(jobs)

    def _check_counts(self, jobs: int) -> None:
        counts = self.look(_store_counts)
        assert (counts.tasks, counts.jobs) == (1, jobs)
        assert {status: count for status, count in counts.executions.items() if count} == {Status.DONE: jobs}
        shown = self.fastlane.get("/status").json
        assert {place: shown["queues"][POOL][place] for place in ("ready", "timed", "running")} == {"ready": 0, "timed": 0, "running": 0}
        assert (shown["jobs"]["count"], shown["executions"]["done"], shown["jobs"]["scheduled"]) == (jobs, jobs, [])
        assert shown["containers"]["running"] == []
        for name, lane in self.look(_queue_counts).items():
            assert (lane.ready, lane.timed, lane.running, lane.blocked) == (0, 0, 0, 0), name
        keys = Keys(self.fastlane.name)
        prefix = keys.generation.removesuffix("gen")
        with self.redis.client() as client:
            left = {str(key).removeprefix(prefix) for key in client.keys("*") if str(key).startswith(prefix)}
        assert left <= {"gen", "lanes", "arrivals", "workers", "reports", "check", "pauses", "store"}

    def _at_rest(self, jobs: int) -> bool:
        """Whether all is over, cleaning included."""

        async def see(store: Store, queue: RedisQueue) -> bool:
            done = (await store.counts()).executions[Status.DONE] == jobs
            over = done and not await store.unsettled(1) and not await store.uncleaned(1)
            # A rebuild may put an entry of an execution that has ended since: the worker that claims it finds that out.
            return over and not any(any(astuple(lane)) for lane in (await queue.counts([POOL])).values())

        return self.look(see) and not self.engine.services()

    def _counts(self) -> dict[str, int]:
        return {status.value: count for status, count in self.look(_store_counts).executions.items() if count}


async def _executions(store: Store, queue: RedisQueue) -> list[Execution]:
    rows: list[Execution] = []
    after = None
    while page := await store.executions_in(frozenset(Status), PAGE, after):
        rows += page
        after = (page[-1].scheduled_for, page[-1].id)
    return rows


async def _store_counts(store: Store, queue: RedisQueue) -> Any:
    return await store.counts()


async def _queue_counts(store: Store, queue: RedisQueue) -> Any:
    return await queue.counts([TICKS, POOL])


@contextlib.contextmanager
def short_jobs(folder: Path, workers: int, apis: int = 1, **settings: str) -> Iterator[ShortJobs]:
    """APIs that serve and this many workers. All of it is gone after the block."""
    with RealRedis() as redis, EngineProcess(redis.socket.parent) as engine:
        options = ProcessOptions(reconcile=2.0, builder_lost_after_ms=3000)
        pool: dict[str, object] = {"maxRunning": MOST}
        view = NoDocker(engine.host)
        with installed(folder, view, redis=redis.url, pool=pool, options=options, listen="127.0.0.1", **settings) as fastlane:
            all_apis = [fastlane, *(replace(fastlane, port=0) for _ in range(apis - 1))]  # their processes are in one list
            jobs = ShortJobs(all_apis, redis, engine)
            for _ in range(workers):
                fastlane.start("worker")
            wait_until(lambda: fastlane.get("/status").json["workers"]["alive"] == workers, "the workers")
            yield jobs
