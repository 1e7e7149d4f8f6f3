"""A receiver of webhooks: a real HTTP server on loopback that keeps what it gets, and answers as the test says."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from tests.support.waiting import until

Reply = Callable[["Received"], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Received:
    """A request that came in."""

    path: str
    headers: dict[str, str]
    body: bytes
    request: web.Request

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


async def taken(_received: Received) -> web.StreamResponse:
    """Takes everything."""
    return web.Response(text="thanks")


@dataclass
class Receiver:
    """The requests so far, and how they are answered: ``reply`` may be replaced at any time."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    reply: Reply = taken

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def answer(self, *statuses: int) -> None:
        """Answers with these statuses, one after another, and then with the last of them."""
        left = list(statuses)

        async def reply(_received: Received) -> web.StreamResponse:
            return web.Response(status=left.pop(0) if len(left) > 1 else left[0], text="so it is")

        self.reply = reply

    async def got(self, count: int = 1) -> list[Received]:
        """The requests, once there are so many."""
        await until(lambda: len(self.received) >= count, f"{count} webhooks; there were {len(self.received)}")
        return self.received

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(request.path, headers, await request.read(), request)
        self.received.append(received)
        return await self.reply(received)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver that listens until the block ends."""
    receiver = Receiver()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", receiver._handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        receiver.port = runner.addresses[0][1]
        yield receiver
    finally:
        await runner.cleanup()
