"""The server under test and a client of it."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
from tornado.netutil import bind_sockets
from yarl import URL

from fastlane.clock import SystemClock
from fastlane.models import transitions
from fastlane.models.execution import Ending, Execution, Failure, FailureReason, Started
from fastlane.models.logs.chunk import STDERR, STDOUT, Chunk, Mark, Piece
from fastlane.models.logs.hint import Hint
from fastlane.models.placement.host import HostView
from fastlane.models.placement.pool import Pool
from fastlane.models.status import Status
from fastlane.queue.base import Report
from fastlane.queue.redis.hints import RedisHints
from fastlane.queue.redis.queue import RedisQueue
from fastlane.services.assembly import build_services
from fastlane.storage.sqlite.store import SqliteStore
from fastlane.streams.followers import Followers
from fastlane.streams.hub import Hub
from fastlane.web.server.application import close_server, make_application, make_server
from tests.support.defaults import default
from tests.support.web_settings import web_settings

HOST = "10.0.0.7:2375"
POOLS = (Pool("fast", "fast-", (HOST,)), Pool("default", "", (HOST,)))
IMAGE = "ubuntu:latest"


@dataclass(frozen=True)
class Answer:
    """An answer, read whole."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """Everything between a socket and the data, and a client's verbs. Settings of ``WebSettings`` may be given by name."""

    def __init__(
        self,
        path: Path,
        redis_url: str,
        *,
        pools: tuple[Pool, ...] = POOLS,
        following: dict[str, Any] | None = None,
        hub: Callable[[Hub], Hub] = lambda hub: hub,
        installation: str | None = None,
        most_connections: int = 1_000,
        **settings: Any,
    ) -> None:
        self.clock = SystemClock()
        self.store = SqliteStore(path, busy_timeout=1.0)
        self.installation = installation or f"test-{uuid4()}"
        self.queue = RedisQueue(redis_url, self.installation, deadline=1.0)
        self.hints = RedisHints(redis_url, f"test-{uuid4()}", deadline=1.0)
        self.followers = Followers(
            self.store, hub(self.hints), self.clock, **({"start_wait": default("ws_start_wait")} | (following or {}))
        )
        built = build_services(
            self.store,
            self.queue,
            self.queue.reports,
            self.queue.tickets,
            self.hints,
            self.clock,
            pools,
            start_wait=default("ws_start_wait"),
        )
        self.services = replace(built, followers=self.followers)
        self.app = make_application(self.services, web_settings(**settings))
        self.http = make_server(self.app, most_connections)
        self.port = 0

    async def __aenter__(self) -> "Server":
        await self.store.open()
        await self.queue.open()
        await self.hints.open()
        sockets = bind_sockets(0, "127.0.0.1")
        self.http.add_sockets(sockets)
        self.port = sockets[0].getsockname()[1]
        self.client = aiohttp.ClientSession(
            auto_decompress=False, headers={"Accept-Encoding": "identity"}, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.client.close()
        await close_server(self.http, self.app, 5)
        await self.services.outbox.close()
        await self.queue.close()
        await self.hints.close()
        await self.store.close()

    @property
    def base(self) -> str:
        return f"http://localhost:{self.port}"

    # a client

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """One request; ``path`` goes out as it stands, or is a URL of this server."""
        url = path if path.startswith("http") else self.base + path
        async with self.client.request(method, URL(url, encoded=True), allow_redirects=False, **options) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

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

    async def raw(self, *parts: bytes, pause: float = 0.0, host: str = "127.0.0.1") -> bytes:
        """What comes back for these bytes until the server closes, or says no more after its answer."""
        reader, writer = await asyncio.open_connection(host, self.port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()

    # a worker

    async def execution(self, reply: dict[str, Any]) -> Execution:
        found = await self.store.execution(reply["executionId"])
        assert found is not None
        return found

    async def pull(self, reply: dict[str, Any]) -> Execution:
        """The execution is placed on a host."""
        return await self._change(transitions.claim(await self.execution(reply), host=HOST, pool="default", now=self.clock.now()))

    async def run(self, reply: dict[str, Any]) -> Execution:
        """The execution runs."""
        pulling = await self.pull(reply)
        bound = await self._change(
            transitions.bind(pulling, service_id="service", swarm_id="swarm", image_digest="sha256:1", now=self.clock.now())
        )
        return await self._change(transitions.run(bound, Started("engine-task", "container", self.clock.now())))

    async def end(self, execution: Execution, code: int = 0) -> Execution:
        """The execution ended with this exit code, and its log is stored."""
        head = await self.store.log_head(execution.id)
        final = Status.FAILED if code else Status.DONE
        failure = Failure(FailureReason.EXIT, f"exit code {code}") if code else None
        ending = Ending(final, self.clock.now(), code, failure, stdout_bytes=head.stdout, stderr_bytes=head.stderr)
        ended = await self._change(transitions.end(execution, ending))
        self.hints.publish(Hint(ended.id, head.offset, ended.status))
        return ended

    async def log(self, execution: Execution, *parts: tuple[int, bytes], at: int = 1_700_000_000_000) -> None:
        """More of its log, in this order: pairs of stream (1, 2) and bytes. They came ``at`` a moment (milliseconds)."""
        head = await self.store.log_head(execution.id)
        pieces = tuple(Piece(stream, at * 1_000_000, data) for stream, data in parts)
        sizes = {stream: sum(len(piece.data) for piece in pieces if piece.stream == stream) for stream in (STDOUT, STDERR)}
        end = replace(
            head,
            sequence=head.sequence + 1,
            offset=head.offset + sizes[STDOUT] + sizes[STDERR],
            stdout=head.stdout + sizes[STDOUT],
            stderr=head.stderr + sizes[STDERR],
            marks={**head.marks, **{piece.stream: Mark(piece.time, 1) for piece in pieces}},
        )
        assert await self.store.append(Chunk(execution.id, head, end, pieces))
        self.hints.publish(Hint(execution.id, end.offset, Status.RUNNING))

    async def ran(self, task: str = "task", *parts: tuple[int, bytes], code: int = 0) -> dict[str, Any]:
        """A job that ran, wrote this and ended; its enqueue reply."""
        reply = await self.enqueue(task)
        execution = await self.run(reply)
        for part in parts:
            await self.log(execution, part)
        await self.end(execution, code)
        return reply

    async def alive(self, *, usable: bool = True) -> None:
        """A worker reports itself, and its host."""
        host = HostView(HOST, usable, None if usable else "refused the connection", swarm_id="swarm")
        await self.queue.reports.announce(Report("worker-1", self.clock.now(), (host,)), ttl=60_000)

    def cut_followers(self) -> None:
        """Ends each follower as a server does that ends, and goes on to take new ones."""
        self.followers.close()
        self.followers._closed = False

    async def _change(self, change: transitions.ExecutionChange) -> Execution:
        after = await self.store.change(change)
        assert after is not None, change
        return after
