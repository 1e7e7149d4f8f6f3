"""A whole fastlane in the test's process, joined by ``fastlane.app`` as in production: real HTTP, a real store, a real Redis.

Only what runs containers is replaced: workers work on the ``InstantExecutor``, or on another that the test sets. Without workers the test
plays one, by ``pull``, ``run``, ``append_log`` and ``end``.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import aiohttp
from yarl import URL

from fastlane import app
from fastlane.clock import Clock, SystemClock
from fastlane.config.access import AccessFiles
from fastlane.config.settings import Settings
from fastlane.errors import QueueDown
from fastlane.executors.port import Executor
from fastlane.models import transitions
from fastlane.models.host import HostView
from fastlane.models.job import Ending, Execution, Failure, Spec, Started
from fastlane.models.log import Hint, Piece
from fastlane.models.pool import Pool
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.tick import Tick
from fastlane.queue.port import TICKS, Entry, EntryKind, Report
from fastlane.queue.redis.hints import RedisHints
from fastlane.queue.redis.queue import RedisQueue
from fastlane.queue.redis.scripts import TimeSource, redis_time
from fastlane.scheduler.deliverer import STANDS_IN_AFTER
from fastlane.scheduler.leases import MAX_EXECUTIONS
from fastlane.scheduler.ports import WorkerSettings
from fastlane.scheduler.worker import Worker
from fastlane.services.results import Enqueued
from fastlane.streams.followers import Followers
from fastlane.web.server import close_server
from tests.support.defaults import hosts_of
from tests.support.factories import chunk
from tests.support.instant import InstantExecutor
from tests.support.ledger import ticks_of
from tests.support.stores import new_store, store_url
from tests.support.waiting import until

T = TypeVar("T")

HOST = "10.0.0.7:2375"
POOLS = (Pool("fast", "fast-", (HOST,)), Pool("default", "", (HOST,)))
IMAGE = "ubuntu:latest"
PATIENCE = 30.0


@dataclass(frozen=True)
class Answer:
    """An answer, read whole."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Borrowed:
    """A part that outlives the workers that use it: they neither open nor close it."""

    def __init__(self, part: Any) -> None:
        self._part = part

    async def open(self) -> None:
        """Is open."""

    async def close(self) -> None:
        """Stays open."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


class Fastlane:
    """One ``fastlane api`` and any number of workers, on one store. Used as an async context manager.

    ``settings`` are values by the names of ``Settings``; what is not named has its default, but for a free port and an installation of its
    own. ``hub`` wraps the hub of the api, ``connections`` is how many the api holds, ``access`` are the files of its users and tokens,
    ``queue_time`` is the time that the queue goes by, ``queue_deadline`` are the seconds in which it must answer the api,
    ``stands_in_after`` after how many milliseconds without a worker the api does their notifying;
    ``reconcile``, ``gone_after``, ``refused_after`` and ``max_executions`` are of workers, which take them when they are hired, like
    ``executor``.
    """

    def __init__(
        self,
        folder: Path,
        redis_url: str,
        *,
        workers: int = 0,
        hub: Callable[[Any], Any] = lambda hub: hub,
        connections: int = 1_000,
        access: AccessFiles | None = None,
        reconcile: float = 0.5,
        gone_after: float = 1.0,
        refused_after: float = 1.0,
        max_executions: int = MAX_EXECUTIONS,
        queue_time: TimeSource = redis_time,
        queue_deadline: float = PATIENCE,
        read_pools: Callable[[], Sequence[Pool]] | None = None,
        stands_in_after: int = STANDS_IN_AFTER,
        **settings: Any,
    ) -> None:
        named = {"port": 0, "pools": POOLS, "installation": f"test-{uuid4().hex[:8]}", "data_dir": folder} | settings
        named.setdefault("store_url", store_url(named["data_dir"]))
        self.settings = Settings.defaults(redis_url=redis_url, **named)
        self.clock: Clock = SystemClock()
        self.executor: Any = InstantExecutor(hosts_of(self.settings.pools), self.clock)
        self.reconcile = reconcile
        self.gone_after = gone_after
        self.refused_after = refused_after
        self.max_executions = max_executions
        self._queue_time = queue_time
        self.read_pools = read_pools
        self.on_answer: Callable[[str, str, Answer], None] | None = None
        """Called with the method, the path and the answer of each request."""
        self._workers = workers
        self._access = access
        self._api_factories = app.Factories(
            clock=lambda: self.clock,
            store=lambda settings: new_store(settings.store_url, busy_timeout=1.0),
            hub=lambda settings, url: hub(RedisHints(url, settings.installation, deadline=1.0)),
            queue=lambda settings, url: RedisQueue(url, settings.installation, deadline=queue_deadline, time=queue_time),
            connection_limit=lambda: connections,
            stands_in_after=stands_in_after,
        )
        self._hired: list[AsyncExitStack] = []
        self.workers_running: list[app.Running] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Fastlane":
        self.settings.data_dir.mkdir(exist_ok=True)
        await self._stack.__aenter__()
        api = await self._stack.enter_async_context(
            app.running("api", self.settings, self._api_factories, self._access, read_pools=self.read_pools)
        )
        assert api.services is not None
        assert api.port is not None
        self.api, self.services, self.port = api, api.services, api.port
        self.store, self.queue, self.hub = api.store, api.queue, api.hub
        self.client = await self._stack.enter_async_context(
            aiohttp.ClientSession(auto_decompress=False, headers={"Accept-Encoding": "identity"}, cookie_jar=aiohttp.DummyCookieJar())
        )
        for _ in range(self._workers):
            await self.hire()
        if self._workers:
            await self.until(self.is_healthy, "the workers to report themselves")
        return self

    async def __aexit__(self, *error: Any) -> None:
        while self._hired:
            await self.dismiss()
        await self._stack.__aexit__(*error)

    @property
    def base(self) -> str:
        return f"http{'s' if self.settings.tls_certificate else ''}://localhost:{self.port}"

    @property
    def pools(self) -> tuple[Pool, ...]:
        return self.settings.pools

    @property
    def installation(self) -> str:
        return self.settings.installation

    @property
    def redis_url(self) -> str:
        return str(self.settings.redis_url)

    @property
    def followers(self) -> Followers:
        return self.services.followers

    @property
    def context(self) -> Any:
        """What the handlers of its HTTP server share."""
        return self.api.application.settings["context"]

    async def close_server(self, grace: float) -> None:
        """Ends its HTTP server, as at the end of the process."""
        await close_server(self.api.server, self.api.application, grace)

    async def is_healthy(self) -> bool:
        """Whether the queue is built (which drops earlier reports) and workers have reported since."""
        generation = await self.store.generation()
        if generation.number == 0 or generation.builder is not None:
            return False
        return (await self.get("/healthcheck")).status == 200

    # workers

    async def hire(self) -> Worker:
        """Starts one more worker, with a connection of its own to Redis."""
        factories = app.Factories(
            clock=lambda: self.clock,
            store=lambda _settings: Borrowed(self.store),
            queue=lambda settings, url: RedisQueue(url, settings.installation, time=self._queue_time),
            executor=lambda _settings, _clock: self._borrowed_executor(),
            worker_settings=self._worker_settings,
        )
        stack = AsyncExitStack()
        running = await stack.enter_async_context(app.running("worker", self.settings, factories, read_pools=self.read_pools))
        self._hired.append(stack)
        self.workers_running.append(running)
        assert running.worker is not None
        return running.worker

    async def dismiss(self) -> None:
        """Ends the worker that was hired first, as SIGTERM does."""
        self.workers_running.pop(0)
        await self._hired.pop(0).aclose()

    def _borrowed_executor(self) -> Executor:
        borrowed: Any = Borrowed(self.executor)
        return borrowed

    def _worker_settings(self, settings: Settings) -> WorkerSettings:
        made = app.worker_settings(settings)
        limits = replace(made.limits, gone_after=self.gone_after, refused_after=self.refused_after)
        return replace(made, reconcile=self.reconcile, limits=limits, max_executions=self.max_executions)

    # a client

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """One request; ``path`` goes out as it stands, or is a URL of this server."""
        url = path if path.startswith("http") else self.base + path
        async with self.client.request(method, URL(url, encoded=True), allow_redirects=False, **options) as reply:
            answer = Answer(reply.status, reply.headers, await reply.read())
        if self.on_answer is not None:
            self.on_answer(method, path, answer)
        return answer

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        data = body if isinstance(body, bytes | None) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        return await self.ask("POST", path, data=data, **options)

    async def put(self, path: str, body: Any = None) -> Answer:
        return await self.ask("PUT", path, data=None if body is None else json.dumps(body).encode())

    async def enqueue(self, task: str = "task", **fields: Any) -> dict[str, Any]:
        """The enqueue reply of a job that must be accepted."""
        answer = await self.post(f"/tasks/{task}", {"image": IMAGE} | fields)
        assert answer.status == 200, answer.body
        return answer.json

    async def raw(self, *parts: bytes, host: str = "127.0.0.1") -> bytes:
        """All that comes back for these bytes until the server closes the connection."""
        reader, writer = await asyncio.open_connection(host, self.port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()

    async def submit(
        self, *command: str, task: str = "task", at: int | None = None, schedule: Schedule | None = None, **rules: int
    ) -> Enqueued:
        """Submits a job without HTTP, to run now, at that moment, or by that schedule; ``rules`` are fields of its spec."""
        when = schedule or (Schedule() if at is None else Schedule(ScheduleKind.AT, at))
        return await self.services.submissions.enqueue(task, Spec(IMAGE, command or None, **rules), when)

    # what is stored, and waiting for it

    async def until(self, condition: Callable[[], Awaitable[T]], what: str) -> T:
        """The condition's result once it is true; fails with ``what`` when that takes too long."""
        return await until(condition, what, PATIENCE, longest=0.005)

    async def latest_execution(self, job: Enqueued) -> Execution | None:
        """The newest execution of a job, None while there is none."""
        return (await self.store.latest([job.job_id])).get(job.job_id)

    async def attempts(self, job: Enqueued) -> list[Execution]:
        """The job's executions, the oldest first."""
        return list(reversed(await self.store.executions_of(job.job_id, 100)))

    async def stored_log(self, execution: Execution) -> bytes:
        """All of its stored log, in stored order."""
        read = await self.store.read_log(execution.id, 0, 1 << 30)
        return b"".join(piece.data for piece in read.pieces)

    async def reaches(self, job: Enqueued, *statuses: str) -> Execution:
        """The newest execution of a job, once it has one of these statuses."""

        async def reached() -> Execution | None:
            execution = await self.latest_execution(job)
            return execution if execution is not None and execution.status.value in statuses else None

        found = await self.until(reached, f"{statuses} of {job}")
        assert found is not None
        return found

    async def cleaned(self, job: Enqueued) -> Execution:
        """The newest execution of a job, once it is final, settled and clean."""

        async def clean() -> Execution | None:
            execution = await self.latest_execution(job)
            return execution if execution is not None and execution.cleaned and execution.settled else None

        found = await self.until(clean, f"the end of {job}")
        assert found is not None
        return found

    async def ledger(self, job: Enqueued, *outcomes: str) -> list[Tick]:
        """The job's ledger, the earliest due first, once its rows have these outcomes."""

        async def written() -> list[Tick] | None:
            rows = list(reversed(await ticks_of(self.store, job.job_id, 100)))
            return rows if [row.outcome.value for row in rows] == list(outcomes) else None

        found = await self.until(written, f"{outcomes} in the ledger of {job}")
        assert found is not None
        return found

    async def count_ends(self) -> None:
        """Counts what ended into its hours, as a worker on MongoDB does after a while. SQLite has counted it already."""
        while await self.store.history.count_ends(100):
            pass

    async def idle(self) -> None:
        """Returns once nothing is left in the queue."""

        async def empty() -> bool:
            counts = await self.queue.counts([TICKS, *(pool.name for pool in self.pools)])
            return all(row.ready == row.timed == row.running == 0 for row in counts.values())

        await self.until(empty, "an empty queue")

    async def move(self, job: Enqueued, due: int) -> None:
        """Sets the next tick of a job for later, as time would: it waits in the queue, and is not being fired."""

        async def at_rest() -> bool:
            row = (await self.queue.counts([TICKS]))[TICKS]
            return (row.timed, row.ready, row.running) == (1, 0, 0)

        await self.until(at_rest, f"{job} to stand in the queue, the only one for later")
        stored = await self.store.job(job.job_id)
        assert stored is not None
        assert await self.store.advance(stored, replace(stored, next_tick=due), [], None)
        await self.queue.cancel(job.job_id)
        await self.queue.put([Entry(job.job_id, EntryKind.JOB, TICKS, due, stored.revision)])

    # what a worker does, by hand

    async def execution(self, reply: dict[str, Any]) -> Execution:
        """The execution of an enqueue reply, as it is stored."""
        found = await self.store.execution(reply["executionId"])
        assert found is not None
        return found

    async def pull(self, reply: dict[str, Any]) -> Execution:
        """Places the execution on a host."""
        return await self.change(transitions.claim(await self.execution(reply), host=HOST, pool="default", now=self.clock.now()))

    async def run(self, reply: dict[str, Any], node: str | None = None) -> Execution:
        """Places and starts the execution, on the node of this name."""
        pulling = await self.pull(reply)
        bound = await self.change(
            transitions.bind(pulling, service_id="service", swarm_id="swarm", image_digest="sha256:1", now=self.clock.now())
        )
        return await self.change(transitions.run(bound, Started("engine-task", "container", self.clock.now(), node)))

    async def end(self, execution: Execution, code: int = 0) -> Execution:
        """Ends the execution with this exit code; its log is stored by then."""
        head = await self.store.log_head(execution.id)
        final = Status.FAILED if code else Status.DONE
        failure = Failure(FailureReason.EXIT, f"exit code {code}") if code else None
        ending = Ending(final, self.clock.now(), code, failure, stdout_bytes=head.stdout, stderr_bytes=head.stderr)
        ended = await self.change(transitions.end(execution, ending))
        self.hub.publish(Hint(ended.id, head.offset, ended.status))
        return ended

    async def append_log(self, execution: Execution, *parts: tuple[int, bytes], at: int = 1_700_000_000_000) -> None:
        """Stores more of its log, in this order: pairs of stream (1, 2) and bytes, written ``at`` a moment (milliseconds)."""
        head = await self.store.log_head(execution.id)
        more = chunk(execution.id, head, [Piece(stream, at * 1_000_000, data) for stream, data in parts])
        assert await self.store.append(more)
        self.hub.publish(Hint(execution.id, more.end.offset, Status.RUNNING))

    async def run_to_end(self, task: str = "task", *parts: tuple[int, bytes], code: int = 0) -> dict[str, Any]:
        """Enqueues a job, runs it, stores this log and ends it. Returns the enqueue reply."""
        reply = await self.enqueue(task)
        execution = await self.run(reply)
        for part in parts:
            await self.append_log(execution, part)
        await self.end(execution, code)
        return reply

    async def report_worker(self, *, usable: bool = True, **known: Any) -> None:
        """Reports a worker, and its host; ``known``: more of what it knows of that."""
        host = HostView(HOST, usable, None if usable else "refused the connection", swarm_id="swarm", **known)
        report = Report("worker-1", self.clock.now(), (host,), version="9.9.9")

        async def announced() -> bool:
            with suppress(QueueDown):  # it waits a second for Redis, which has just been started on a machine that may be busy
                await self.queue.reports.announce(report, ttl=60_000)
                return True
            return False

        await until(announced, "Redis to take a worker's report")

    async def change(self, change: transitions.ExecutionChange) -> Execution:
        """Makes a change that must succeed. Returns the execution after it."""
        after = await self.store.change(change)
        assert after is not None, change
        return after
