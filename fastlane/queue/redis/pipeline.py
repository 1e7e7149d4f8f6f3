"""Sends the Redis commands of one loop turn in one round trip, over one connection, each with a deadline.

Commands that arrive during a round trip form the next batch, so batches grow with the load. The driver's exceptions end here.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import hiredis
import structlog
from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout

from fastlane.errors import QueueDown
from fastlane.queue.redis.script import Script

MAX_WAITING = 10_000
MAX_BATCH = 512

log = structlog.get_logger()


class Connection(Protocol):
    """The part of redis-py's connection that the adapter uses."""

    @property
    def is_connected(self) -> bool:
        """Whether it connected and is not known to be broken."""

    async def connect(self) -> None:
        """Connects and authenticates."""

    async def disconnect(self, nowait: bool = False) -> None:
        """Closes it, at once when ``nowait``."""

    async def can_read(self) -> bool:
        """Whether there is anything to read; the end of the connection counts."""

    async def send_packed_command(self, command: bytes, check_health: bool = True) -> None:
        """Sends packed commands."""

    async def read_response(self, disable_decoding: bool = False, timeout: float | None = None) -> Any:
        """Returns the next reply, or None after ``timeout`` seconds without one; raises an error that Redis replies."""


def pack(command: Sequence[str | int]) -> bytes:
    """Encodes a command. (The cast is needed because hiredis's annotation allows only tuples of one word.)"""
    packed: bytes = cast(Any, hiredis).pack_command(tuple(command))
    return packed


def down(error: BaseException, deadline: float) -> QueueDown:
    """Translates a driver's exception into a QueueDown whose text says what to do."""
    match error:
        case TimeoutError() | RedisTimeout():
            return QueueDown(f"Redis did not answer within {deadline:g} s")
        case MasterNotFoundError():
            return QueueDown("no answering Sentinel knows a live master of this service")
        case OutOfMemoryError():
            return QueueDown("Redis is full and takes no more writes: raise its maxmemory")
        case ReadOnlyError():
            return QueueDown("Redis takes no writes: it is a read-only replica")
        case ResponseError():
            return QueueDown(f"Redis answered with an error: {error}")
        case _:
            return QueueDown(f"Redis cannot be reached: {error}")


@dataclass(slots=True)
class PendingCommand:
    """A command that waits for its reply: a value, or the exception to raise."""

    packed: bytes
    since: float
    answer: asyncio.Future[Any]

    def settle(self, answer: Any) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)


class Pipeline:
    """Calls Redis. ``connect`` makes an unconnected connection; ``deadline`` (seconds) bounds each call as a whole."""

    def __init__(self, connect: Callable[[], Connection], deadline: float) -> None:
        self._connect = connect
        self._deadline = deadline
        self._connection: Connection | None = None
        self._waiting: deque[PendingCommand] = deque()
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Starts the task that sends and reads. It connects at the first call."""
        self._task = asyncio.create_task(self._run(), name="queue-pipeline")

    async def close(self) -> None:
        """Ends the task and the connection; waiting calls get QueueDown."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._drop()

    async def call(self, *command: str | int) -> Any:
        """Returns Redis's reply to one command. Raises QueueDown."""
        return self._checked(await self._answer(command, asyncio.get_running_loop().time()))

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str | int]) -> Any:
        """Runs a script and returns its reply; loads it first when the server does not know it. Raises QueueDown."""
        since = asyncio.get_running_loop().time()
        command = ("EVALSHA", script.digest, len(keys), *keys, *arguments)
        answer = await self._answer(command, since)
        if isinstance(answer, NoScriptError):
            self._checked(await self._answer(("SCRIPT", "LOAD", script.text), since))
            answer = await self._answer(command, since)
        return self._checked(answer)

    def _checked(self, answer: Any) -> Any:
        if isinstance(answer, QueueDown):
            raise answer
        if isinstance(answer, RedisError):
            raise down(answer, self._deadline) from answer
        return answer

    async def _answer(self, command: tuple[str | int, ...], since: float) -> Any:
        if self._task is None or self._task.done():
            raise QueueDown("the queue is closed")
        if len(self._waiting) >= MAX_WAITING:
            raise QueueDown(f"{MAX_WAITING} calls are already waiting for Redis")
        call = PendingCommand(pack(command), since, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        self._arrived.set()
        return await call.answer

    async def _run(self) -> None:
        batch: list[PendingCommand] = []
        try:
            while True:
                await self._arrived.wait()
                batch = self._next_batch()
                await self._send(batch)
        finally:
            for call in (*batch, *self._waiting):
                call.settle(QueueDown("the queue is closed"))
            self._waiting.clear()

    def _next_batch(self) -> list[PendingCommand]:
        """Takes the waiting calls as one batch, without those whose callers have gone."""
        batch: list[PendingCommand] = []
        while self._waiting and len(batch) < MAX_BATCH:
            call = self._waiting.popleft()
            if not call.answer.done():
                batch.append(call)
        if not self._waiting:
            self._arrived.clear()
        return batch

    async def _send(self, batch: list[PendingCommand]) -> None:
        try:
            if batch:
                await self._exchange(batch)
        except (RedisError, OSError) as error:
            await self._fail(batch, error)
        except Exception as error:
            log.exception("queue.pipeline_failed")
            await self._fail(batch, error)

    async def _exchange(self, batch: list[PendingCommand]) -> None:
        demoted = False
        async with asyncio.timeout_at(batch[0].since + self._deadline):
            connection = await self._live_connection()
            await connection.send_packed_command(b"".join([call.packed for call in batch]), check_health=False)
            for call in batch:
                try:
                    call.settle(await connection.read_response())
                except ResponseError as error:
                    demoted = demoted or isinstance(error, ReadOnlyError)
                    call.settle(error)
        if demoted:  # the name, or a Sentinel, may point to another server in the meantime
            await self._drop()

    async def _live_connection(self) -> Connection:
        """Returns a connection that is not known to be broken. (A server that restarted has closed the old one, which shows here.)"""
        if self._connection is not None and (not self._connection.is_connected or await self._connection.can_read()):
            await self._drop()
        if self._connection is None:
            connection = self._connect()
            await connection.connect()
            self._connection = connection
        return self._connection

    async def _fail(self, batch: list[PendingCommand], error: BaseException) -> None:
        for call in batch:
            call.settle(down(error, self._deadline))
        await self._drop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
