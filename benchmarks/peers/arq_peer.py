"""arq: its worker as it comes, ten jobs at a time, without results."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import uvloop
from arq import create_pool, func
from arq.connections import RedisSettings
from arq.worker import Worker

from benchmarks import witness


async def note(_: Any, token: str) -> None:
    """The job."""
    witness.note(token)


class Peer:
    """The queue at a unix socket. ``delay`` takes a moment in seconds since 1970."""

    def __init__(self, socket: str) -> None:
        self._settings = RedisSettings(unix_socket_path=socket)
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._pool: Any = None

    def enqueue(self, token: str) -> None:
        """Enqueues a job for now."""
        self._runner.run(self._call(token))

    def delay(self, token: str, due: float) -> None:
        """Enqueues a job for later."""
        self._runner.run(self._call(token, _defer_until=datetime.fromtimestamp(due, UTC)))

    def work(self, ready: Callable[[], None]) -> None:
        """Works forever."""

        async def started(_: Any) -> None:
            ready()

        async def go() -> None:
            worker = Worker([func(note, keep_result=0)], redis_settings=self._settings, on_startup=started, handle_signals=False)
            await worker.async_run()

        self._runner.run(go())

    async def _call(self, token: str, **options: Any) -> None:
        if self._pool is None:
            self._pool = await create_pool(self._settings)
        await self._pool.enqueue_job("note", token, **options)
