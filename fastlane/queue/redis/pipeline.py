"""Sends the Redis commands of one loop turn in one round trip, over one connection, each with a deadline.

While a round trip is under way the next commands gather, so that the batches grow with the load. The driver's exceptions end here.
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

MOST_WAITING = 10_000
MOST_AT_ONCE = 512

log = structlog.get_logger()


class Connection(Protocol):
    """What is used of redis-py's connection."""

    @property
    def is_connected(self) -> bool:
        """Whether it was connected, and has not been found to be cut."""

    async def connect(self) -> None:
        """Connects and authenticates."""

    async def disconnect(self, nowait: bool = False) -> None:
        """Cuts it; at once when ``nowait``."""

    async def can_read(self) -> bool:
        """Whether there is anything to read, the end of the connection included."""

    async def send_packed_command(self, command: bytes, check_health: bool = True) -> None:
        """Sends what is packed already."""

    async def read_response(self, disable_decoding: bool = False, timeout: float | None = None) -> Any:
        """The next answer; raises what Redis answers as an error. None when ``timeout`` seconds pass without one."""


def pack(command: Sequence[str | int]) -> bytes:
    """A command as it is sent. (hiredis's own annotation allows tuples of one word only.)"""
    packed: bytes = cast(Any, hiredis).pack_command(tuple(command))
    return packed


def down(error: BaseException, deadline: float) -> QueueDown:
    """What a driver's exception means to us, in words that say what to do."""
    match error:
        case TimeoutError() | RedisTimeout():
            return QueueDown(f"Redis did not answer within {deadline:g} s")
        case MasterNotFoundError():
            return QueueDown("no Sentinel that answers knows a master of this service that is up")
        case OutOfMemoryError():
            return QueueDown("Redis is full and takes no more writes: raise its maxmemory")
        case ReadOnlyError():
            return QueueDown("Redis takes no writes: it is a read-only replica")
        case ResponseError():
            return QueueDown(f"Redis answered with an error: {error}")
        case _:
            return QueueDown(f"Redis cannot be reached: {error}")


@dataclass(slots=True)
class _Call:
    """A command that waits for its answer: a value, or the exception to raise."""

    packed: bytes
    since: float
    answer: asyncio.Future[Any]

    def settle(self, answer: Any) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)


class Pipeline:
    """Calls Redis. ``connect`` makes a connection that is not connected yet; ``deadline`` is in seconds, for each call in all."""

    def __init__(self, connect: Callable[[], Connection], deadline: float) -> None:
        self._connect = connect
        self._deadline = deadline
        self._connection: Connection | None = None
        self._waiting: deque[_Call] = deque()
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Starts the task that sends and reads; connects with the first call."""
        self._task = asyncio.create_task(self._work(), name="queue-pipeline")

    async def close(self) -> None:
        """Ends the task and the connection; whoever waits gets QueueDown."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._drop()

    async def call(self, *command: str | int) -> Any:
        """Redis's answer to one command; raises QueueDown."""
        return self._checked(await self._answer(command, asyncio.get_running_loop().time()))

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str | int]) -> Any:
        """A script's answer; loads it first where the server does not know it (a new one, or one that was flushed). Raises QueueDown."""
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
        if len(self._waiting) >= MOST_WAITING:
            raise QueueDown(f"{MOST_WAITING} calls wait for Redis already")
        call = _Call(pack(command), since, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        self._arrived.set()
        return await call.answer

    async def _work(self) -> None:
        batch: list[_Call] = []
        try:
            while True:
                await self._arrived.wait()
                batch = self._gather()
                await self._attempt(batch)
        finally:
            for call in (*batch, *self._waiting):
                call.settle(QueueDown("the queue is closed"))
            self._waiting.clear()

    def _gather(self) -> list[_Call]:
        """The calls that go together: those of this loop turn and before, without those that nobody waits for any more."""
        batch: list[_Call] = []
        while self._waiting and len(batch) < MOST_AT_ONCE:
            call = self._waiting.popleft()
            if not call.answer.done():
                batch.append(call)
        if not self._waiting:
            self._arrived.clear()
        return batch

    async def _attempt(self, batch: list[_Call]) -> None:
        try:
            if batch:
                await self._exchange(batch)
        except (RedisError, OSError) as error:
            await self._fail(batch, error)
        except Exception as error:
            log.exception("queue.pipeline_failed")
            await self._fail(batch, error)

    async def _exchange(self, batch: list[_Call]) -> None:
        demoted = False
        async with asyncio.timeout_at(batch[0].since + self._deadline):
            connection = await self._ready()
            await connection.send_packed_command(b"".join([call.packed for call in batch]), check_health=False)
            for call in batch:
                try:
                    call.settle(await connection.read_response())
                except ResponseError as error:
                    demoted = demoted or isinstance(error, ReadOnlyError)
                    call.settle(error)
        if demoted:  # its name, or a Sentinel, may lead to another server by now
            await self._drop()

    async def _ready(self) -> Connection:
        """A connection that is alive as far as one can tell without asking: a server that was restarted has cut the old one."""
        if self._connection is not None and (not self._connection.is_connected or await self._connection.can_read()):
            await self._drop()
        if self._connection is None:
            connection = self._connect()
            await connection.connect()
            self._connection = connection
        return self._connection

    async def _fail(self, batch: list[_Call], error: BaseException) -> None:
        for call in batch:
            call.settle(down(error, self._deadline))
        await self._drop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
