"""Runs the cases several at a time, since most of their time is waiting for leases to run out; each test waits for its own."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from typing import Any

import docker
import pytest

from tests.crash.ground import World
from tests.support.engine import connect
from tests.support.fork_server import ForkServer
from tests.support.redis import RealRedis

AT_ONCE = int(os.environ.get("FASTLANE_TEST_AT_ONCE", "8"))


class Runner:
    """Runs each selected test's case on a loop of its own thread, in the order of the tests."""

    def __init__(self, engine: str, redis: RealRedis, client: docker.APIClient, fork_server: ForkServer) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="crash-cases", daemon=True)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._futures: dict[str, Future[None]] = {}
        self._tasks: list[asyncio.Task[None] | None] = []
        self._thread.start()
        self._world = World(engine, redis, client, fork_server)

    def begin(self, name: str, run: Callable[[World], Awaitable[None]]) -> None:
        """Runs it when there is room."""
        self._futures[name] = asyncio.run_coroutine_threadsafe(self._run(run), self._loop)

    def wait(self, name: str) -> None:
        """Returns when it has passed; raises what it raised."""
        self._futures[name].result()

    def close(self) -> None:
        """Gives up what still runs."""
        for future in self._futures.values():
            future.cancel()
        asyncio.run_coroutine_threadsafe(self._ended(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _run(self, run: Callable[[World], Awaitable[None]]) -> None:
        self._tasks.append(asyncio.current_task())
        async with self._room:
            await run(self._world)

    async def _ended(self) -> None:
        await asyncio.gather(*(task for task in self._tasks if task is not None), return_exceptions=True)
        await self._loop.shutdown_default_executor()


@pytest.fixture(scope="session")
def runner(request: pytest.FixtureRequest, engine: str) -> Iterator[Runner]:
    """All selected cases, running."""
    client = connect(engine)
    with RealRedis() as redis, ForkServer() as fork_server:
        running = Runner(engine, redis, client, fork_server)
        for item in request.session.items:
            case: Any = item.callspec.params.get("case") if hasattr(item, "callspec") else None
            if case is not None and hasattr(case, "run"):
                running.begin(str(case), case.run)
        try:
            yield running
        finally:
            running.close()
    client.close()
