"""Listens to the queue's channel on a connection of its own: wake-ups for the workers, stops for the owners of leases.

They are hints only. After each connection it wakes everybody, for what was missed while there was none.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable

import structlog
from redis.exceptions import RedisError

from fastlane.queue.redis.pipeline import Connection, down, pack

IDLE = 5.0
FIRST_WAIT, LONGEST_WAIT = 0.05, 1.0

log = structlog.get_logger()


class SignalListener:
    """Calls ``on_wake()`` and ``on_stop(id)``. ``connect`` makes a connection that is not connected yet; ``deadline`` is in seconds."""

    def __init__(
        self, connect: Callable[[], Connection], channel: str, deadline: float, on_wake: Callable[[], None], on_stop: Callable[[str], None]
    ) -> None:
        self._connect = connect
        self._channel = channel
        self._deadline = deadline
        self._on_wake = on_wake
        self._on_stop = on_stop
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Starts to listen, and goes on trying while Redis is away."""
        self._task = asyncio.create_task(self._work(), name="queue-signals")

    async def close(self) -> None:
        """Ends the task and its connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _work(self) -> None:
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                log.info("queue.signals_lost", error=str(down(error, self._deadline)))
            except Exception:
                log.exception("queue.signals_failed")
            longest = min(LONGEST_WAIT, FIRST_WAIT * 2**self._failures)
            self._failures = min(self._failures + 1, 10)
            await asyncio.sleep(random.uniform(longest / 2, longest))

    async def _listen(self) -> None:
        connection = self._connect()
        try:
            async with asyncio.timeout(self._deadline):
                await connection.connect()
                await self._send(connection, "SUBSCRIBE", self._channel)
                await connection.read_response()
            self._failures = 0
            self._on_wake()
            while True:
                self._tell(await self._next(connection))
        finally:
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)

    async def _send(self, connection: Connection, *command: str) -> None:
        await connection.send_packed_command(pack(command), check_health=False)

    async def _next(self, connection: Connection) -> list[str]:
        """The next message; asks after the server when none came for a while, since a dead connection is silent too."""
        message: list[str] | None = await connection.read_response(timeout=IDLE)
        if message is None:
            async with asyncio.timeout(self._deadline):
                await self._send(connection, "PING")
                message = await connection.read_response()
        return message or []

    def _tell(self, message: list[str]) -> None:
        if message[:1] != ["message"]:
            return
        word, _, id = message[2].partition(":")
        if word == "stop":
            self._on_stop(id)
        else:
            self._on_wake()
