"""Listens to the queue's channel on its own connection: wake-ups for workers, and stops for the owners of leases.

Signals are hints. After each connection it wakes the worker, in case a signal was missed while there was no connection.
"""

import asyncio
import contextlib
from collections.abc import Callable

import structlog
from redis.exceptions import RedisError

from fastlane.queue.redis.pipeline import Connection, down
from fastlane.queue.redis.subscription import Backoff, next_message, send

log = structlog.get_logger()


class SignalListener:
    """Calls ``on_wake()`` and ``on_stop(id)``. ``connect`` makes an unconnected connection; ``deadline`` is in seconds."""

    def __init__(
        self, connect: Callable[[], Connection], channel: str, deadline: float, on_wake: Callable[[], None], on_stop: Callable[[str], None]
    ) -> None:
        self._connect = connect
        self._channel = channel
        self._deadline = deadline
        self._on_wake = on_wake
        self._on_stop = on_stop
        self._backoff = Backoff()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Starts to listen, and keeps trying while Redis is away."""
        self._task = asyncio.create_task(self._run(), name="queue-signals")

    async def close(self) -> None:
        """Ends the task and its connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                log.info("queue.signals_lost", error=str(down(error, self._deadline)))
            except Exception:
                log.exception("queue.signals_failed")
            await self._backoff.pause()

    async def _listen(self) -> None:
        connection = self._connect()
        try:
            async with asyncio.timeout(self._deadline):
                await connection.connect()
                await send(connection, self._deadline, "SUBSCRIBE", self._channel)
                await connection.read_response()
            self._backoff.reset()
            self._on_wake()
            while True:
                self._dispatch(await next_message(connection, self._deadline))
        finally:
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)

    def _dispatch(self, message: list[str]) -> None:
        if message[:1] != ["message"]:
            return
        signal, _, id = message[2].partition(":")
        if signal == "stop":
            self._on_stop(id)
        else:
            self._on_wake()
