"""The hub on Redis's publish/subscribe: a channel for each execution, so that nobody hears of what nobody here follows.

A process tells on one connection and hears on another, which it makes when somebody first listens. A hint that cannot be sent is dropped.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
from redis.exceptions import RedisError, ResponseError

from fastlane.models.logs.hint import Hint
from fastlane.models.status import Status
from fastlane.queue.redis.connections import Connections
from fastlane.queue.redis.keys import Keys
from fastlane.queue.redis.pipeline import Connection, down, pack
from fastlane.queue.redis.signals import FIRST_WAIT, IDLE, LONGEST_WAIT

MOST_WAITING = 10_000
"""So many executions have a hint that waits to be sent; those of others are dropped."""
MOST_AT_ONCE = 512

OnHint = Callable[[Hint | None], None]

log = structlog.get_logger()


class RedisHints:
    """Hints of one installation, on the Redis that a URL names. ``deadline`` (seconds) bounds each exchange with it."""

    def __init__(self, url: str, installation: str, *, deadline: float = 2.0) -> None:
        self._channel = Keys(installation).hints
        self._deadline = deadline
        self._connections = [Connections(url, deadline) for _ in range(2)]
        self._tasks: list[asyncio.Task[None]] = []
        self._news: dict[str, Hint] = {}
        self._told = asyncio.Event()
        self._ears: dict[str, list[OnHint]] = {}
        self._wanted = asyncio.Event()
        self._changed = asyncio.Event()

    async def open(self) -> None:
        """Makes ready to be used; does not fail when Redis is away."""
        self._tasks = [asyncio.create_task(self._work(loop), name=f"hints {loop.__name__}") for loop in (self._publish, self._hear)]

    async def close(self) -> None:
        """Ends every connection and task of it."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for connections in self._connections:
            await connections.close()

    def publish(self, hint: Hint) -> None:
        """Sends it with those of the same moment; of one execution only the last."""
        if len(self._news) < MOST_WAITING:
            self._news[hint.execution_id] = hint
            self._told.set()

    def subscribe(self, execution_id: str, on_hint: OnHint) -> Callable[[], None]:
        """Calls back with each hint of this execution until the function that it returns is called."""
        self._ears.setdefault(execution_id, []).append(on_hint)
        self._wanted.set()
        self._changed.set()

        def stop() -> None:
            ears = self._ears[execution_id]
            ears.remove(on_hint)
            if not ears:
                del self._ears[execution_id]
                self._changed.set()

        return stop

    async def _work(self, loop: Callable[[], Awaitable[None]]) -> None:
        """Keeps a connection going, and goes on trying while Redis is away."""
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await loop()
            except (RedisError, OSError) as error:
                log.info("hints.interrupted", error=str(down(error, self._deadline)))
            except Exception:
                log.exception("hints.failed")
            failures = 0 if asyncio.get_running_loop().time() > began + LONGEST_WAIT else min(failures + 1, 10)
            longest = min(LONGEST_WAIT, FIRST_WAIT * 2**failures)
            await asyncio.sleep(random.uniform(longest / 2, longest))

    async def _publish(self) -> None:
        await self._told.wait()
        async with self._connected(self._connections[0]) as connection:
            while True:
                await self._told.wait()
                self._told.clear()
                news, self._news = list(self._news.values()), {}
                for start in range(0, len(news), MOST_AT_ONCE):
                    await self._send_hints(connection, news[start : start + MOST_AT_ONCE])

    async def _send_hints(self, connection: Connection, hints: list[Hint]) -> None:
        commands = [pack(("PUBLISH", self._name(hint.execution_id), f"{hint.offset} {hint.status.value}")) for hint in hints]
        async with asyncio.timeout(self._deadline):
            await connection.send_packed_command(b"".join(commands), check_health=False)
            for _ in commands:
                try:
                    await connection.read_response()
                except ResponseError as error:
                    log.info("hints.refused", error=str(down(error, self._deadline)))

    async def _hear(self) -> None:
        await self._wanted.wait()
        async with self._connected(self._connections[1]) as connection:
            await self._send(connection, "SUBSCRIBE", self._channel)  # its own channel keeps it subscribed to something
            both = [asyncio.create_task(loop(connection)) for loop in (self._subscribe, self._receive)]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in both:
                    task.cancel()
                ends = await asyncio.gather(*both, return_exceptions=True)
            for error in ends:
                if isinstance(error, Exception):
                    raise error

    async def _subscribe(self, connection: Connection) -> None:
        """Keeps the subscriptions to what somebody listens to."""
        subscribed: set[str] = set()
        while True:
            self._changed.clear()
            wanted = set(self._ears)
            for verb, ids in (("SUBSCRIBE", wanted - subscribed), ("UNSUBSCRIBE", subscribed - wanted)):
                if ids:
                    await self._send(connection, verb, *map(self._name, ids))
            subscribed = wanted
            await self._changed.wait()

    async def _receive(self, connection: Connection) -> None:
        """Passes on what comes; asks after the server when nothing came for a while, since a dead connection is silent too."""
        while True:
            message = await connection.read_response(timeout=IDLE)
            if message is None:
                await self._send(connection, "PING")
                message = await connection.read_response(timeout=self._deadline)
                if message is None:
                    raise TimeoutError
            self._pass_on(message)

    def _pass_on(self, message: list[str]) -> None:
        kind, channel, *rest = message
        ears = self._ears.get(channel.removeprefix(self._channel + ":"))
        if not ears or kind not in ("message", "subscribe"):
            return
        hint = None
        if kind == "message":
            offset, _, status = rest[0].partition(" ")
            hint = Hint(channel.removeprefix(self._channel + ":"), int(offset), Status(status))
        for on_hint in tuple(ears):
            on_hint(hint)

    async def _send(self, connection: Connection, *command: str) -> None:
        async with asyncio.timeout(self._deadline):
            await connection.send_packed_command(pack(command), check_health=False)

    @contextlib.asynccontextmanager
    async def _connected(self, connections: Connections) -> AsyncIterator[Connection]:
        connection = connections.make()
        try:
            async with asyncio.timeout(self._deadline):
                await connection.connect()
            yield connection
        finally:
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)

    def _name(self, execution_id: str) -> str:
        return f"{self._channel}:{execution_id}"
