"""Messages over Redis's publish/subscribe: the hints of the hub, and the signals that wake workers or stop their executions.

Each execution has a channel for its hints, so a process receives only hints that it subscribed to. A process publishes on one connection
and receives on another, which it opens at the first subscription. A hint that cannot be sent is dropped. Signals have one channel, and a
connection of their own.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
from redis.exceptions import RedisError, ResponseError

from fastlane.models.log import Hint
from fastlane.models.status import Status
from fastlane.queue.redis.connection import Connection, Connections, down, pack
from fastlane.queue.redis.scripts import Keys

IDLE = 5.0
"""Seconds of silence after which the server is asked whether it is still there."""
FIRST_PAUSE, MAX_PAUSE = 0.05, 1.0


class Backoff:
    """Pauses between attempts to connect: each twice as long as the one before, up to a second, with jitter."""

    def __init__(self) -> None:
        self._failures = 0

    def reset(self) -> None:
        """Begins with the shortest pause again."""
        self._failures = 0

    async def pause(self) -> None:
        """Waits after a failure."""
        longest = min(MAX_PAUSE, FIRST_PAUSE * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        await asyncio.sleep(random.uniform(longest / 2, longest))


@contextlib.asynccontextmanager
async def connected(make: Callable[[], Connection], deadline: float) -> AsyncIterator[Connection]:
    """Connects within ``deadline`` seconds, and disconnects at the end."""
    connection = make()
    try:
        async with asyncio.timeout(deadline):
            await connection.connect()
        yield connection
    finally:
        with contextlib.suppress(RedisError, OSError):
            await connection.disconnect(nowait=True)


async def send(connection: Connection, deadline: float, *command: str) -> None:
    """Sends a command; its answer comes with the messages. Raises TimeoutError after ``deadline`` seconds."""
    async with asyncio.timeout(deadline):
        await connection.send_packed_command(pack(command), check_health=False)


async def next_message(connection: Connection, deadline: float) -> list[str]:
    """Returns the next message of any kind. Pings the server when none came for a while, since a dead connection is silent too; raises
    TimeoutError when the server does not answer within ``deadline`` seconds."""
    message: list[str] | None = await connection.read_response(timeout=IDLE)
    if message is None:
        await send(connection, deadline, "PING")
        message = await connection.read_response(timeout=deadline)
        if message is None:
            raise TimeoutError
    return message


MAX_WAITING = 10_000
"""Hints of at most this many executions wait to be sent; hints of further executions are dropped."""
MAX_BATCH = 512

OnHint = Callable[[Hint | None], None]

log = structlog.get_logger()


class RedisHints:
    """The port's ``Hub`` on the Redis that a URL names, for one installation. ``deadline`` (seconds) bounds each exchange with Redis."""

    def __init__(self, url: str, installation: str, *, deadline: float = 2.0) -> None:
        self._channel = Keys(installation).hints
        self._deadline = deadline
        self._connections = [Connections(url, deadline) for _ in range(2)]
        self._tasks: list[asyncio.Task[None]] = []
        self._outgoing: dict[str, Hint] = {}
        self._published = asyncio.Event()
        self._subscribers: dict[str, list[OnHint]] = {}
        self._subscribed = asyncio.Event()
        self._changed = asyncio.Event()

    async def open(self) -> None:
        """Prepares for use; succeeds even when Redis is away."""
        self._tasks = [
            asyncio.create_task(self._run(loop), name=f"hints {loop.__name__}") for loop in (self._send_loop, self._receive_loop)
        ]

    async def close(self) -> None:
        """Ends all connections and tasks."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for connections in self._connections:
            await connections.close()

    def publish(self, hint: Hint) -> None:
        """Sends the hint together with others of the same moment; of each execution, only the latest."""
        if len(self._outgoing) < MAX_WAITING:
            self._outgoing[hint.execution_id] = hint
            self._published.set()

    def subscribe(self, execution_id: str, on_hint: OnHint) -> Callable[[], None]:
        """Calls ``on_hint`` with each hint of this execution, and returns the function that ends it."""
        self._subscribers.setdefault(execution_id, []).append(on_hint)
        self._subscribed.set()
        self._changed.set()

        def unsubscribe() -> None:
            subscribers = self._subscribers[execution_id]
            subscribers.remove(on_hint)
            if not subscribers:
                del self._subscribers[execution_id]
                self._changed.set()

        return unsubscribe

    async def _run(self, loop: Callable[[], Awaitable[None]]) -> None:
        """Runs a loop on a connection, and runs it again whenever the connection breaks."""
        backoff = Backoff()
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await loop()
            except (RedisError, OSError) as error:
                log.info("hints.interrupted", error=str(down(error, self._deadline)))
            except Exception:
                log.exception("hints.failed")
            if asyncio.get_running_loop().time() > began + MAX_PAUSE:
                backoff.reset()
            await backoff.pause()

    async def _send_loop(self) -> None:
        await self._published.wait()
        async with connected(self._connections[0].make, self._deadline) as connection:
            while True:
                await self._published.wait()
                self._published.clear()
                hints, self._outgoing = list(self._outgoing.values()), {}
                for start in range(0, len(hints), MAX_BATCH):
                    await self._send_hints(connection, hints[start : start + MAX_BATCH])

    async def _send_hints(self, connection: Connection, hints: list[Hint]) -> None:
        commands = [pack(("PUBLISH", self._channel_of(hint.execution_id), f"{hint.offset} {hint.status.value}")) for hint in hints]
        async with asyncio.timeout(self._deadline):
            await connection.send_packed_command(b"".join(commands), check_health=False)
            for _ in commands:
                try:
                    await connection.read_response()
                except ResponseError as error:
                    log.info("hints.refused", error=str(down(error, self._deadline)))

    async def _receive_loop(self) -> None:
        await self._subscribed.wait()
        async with connected(self._connections[1].make, self._deadline) as connection:
            await send(connection, self._deadline, "SUBSCRIBE", self._channel)  # keeps the connection subscribed when nothing else does
            both = [asyncio.create_task(loop(connection)) for loop in (self._update_subscriptions, self._receive)]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in both:
                    task.cancel()
                results = await asyncio.gather(*both, return_exceptions=True)
            for error in results:
                if isinstance(error, Exception):
                    raise error

    async def _update_subscriptions(self, connection: Connection) -> None:
        """Keeps the connection subscribed to exactly the channels that have subscribers."""
        subscribed: set[str] = set()
        while True:
            self._changed.clear()
            wanted = set(self._subscribers)
            for verb, ids in (("SUBSCRIBE", wanted - subscribed), ("UNSUBSCRIBE", subscribed - wanted)):
                if ids:
                    await send(connection, self._deadline, verb, *map(self._channel_of, ids))
            subscribed = wanted
            await self._changed.wait()

    async def _receive(self, connection: Connection) -> None:
        while True:
            self._dispatch(await next_message(connection, self._deadline))

    def _dispatch(self, message: list[str]) -> None:
        """Passes a hint on, or None to new subscribers: hints may have been missed until now."""
        kind, channel, *rest = message
        execution_id = channel.removeprefix(self._channel + ":")
        subscribers = self._subscribers.get(execution_id)
        if not subscribers or kind not in ("message", "subscribe"):
            return
        hint = None
        if kind == "message":
            offset, _, status = rest[0].partition(" ")
            hint = Hint(execution_id, int(offset), Status(status))
        for on_hint in tuple(subscribers):
            on_hint(hint)

    def _channel_of(self, execution_id: str) -> str:
        return f"{self._channel}:{execution_id}"


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
        async with connected(self._connect, self._deadline) as connection:
            async with asyncio.timeout(self._deadline):
                await send(connection, self._deadline, "SUBSCRIBE", self._channel)
                await connection.read_response()
            self._backoff.reset()
            self._on_wake()
            while True:
                self._dispatch(await next_message(connection, self._deadline))

    def _dispatch(self, message: list[str]) -> None:
        if message[:1] != ["message"]:
            return
        signal, _, id = message[2].partition(":")
        if signal == "stop":
            self._on_stop(id)
        else:
            self._on_wake()
