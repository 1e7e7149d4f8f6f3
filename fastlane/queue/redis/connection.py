"""The connection to Redis. Calls from one turn of the event loop leave in one pipeline, and callers with the same kind of call share one
script.

``Connections`` makes connections to the server that a URL names, or to the current master when the URL names Sentinels. ``Pipeline`` owns
one, and makes another when it breaks. ``Coalescer`` joins the items of callers. A driver's exceptions end here, as QueueDown.
"""

import asyncio
import hashlib
import re
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Generic, Protocol, TypeVar, cast
from urllib.parse import unquote, urlsplit

import hiredis
import structlog
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError as RedisTimeout,
)

from fastlane.errors import QueueDown, QueueRefused

T = TypeVar("T")
R = TypeVar("R")


class Coalescer(Generic[T, R]):
    """Passes the items of many callers to ``send`` together. ``send`` returns a result per item, in order, or nothing for all of them.
    When it fails, every caller gets QueueDown."""

    def __init__(self, send: Callable[[Sequence[T]], Awaitable[Sequence[R]]]) -> None:
        self._send = send
        self._items: list[T] = []
        self._callers: list[asyncio.Future[Sequence[R]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def call(self, items: Sequence[T]) -> Sequence[R]:
        """Sends the items together with the other callers', and returns their results. Raises QueueDown."""
        caller: asyncio.Future[Sequence[R]] = asyncio.get_running_loop().create_future()
        start = len(self._items)
        self._items += items
        self._callers.append(caller)
        if len(self._callers) == 1:
            task = asyncio.create_task(self._flush(), name="queue-coalescer")  # runs after the other callers of this turn
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        results = await caller
        return results[start : start + len(items)]

    async def close(self) -> None:
        """Waits for the calls under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _flush(self) -> None:
        items, self._items = self._items, []
        callers, self._callers = self._callers, []
        results: Sequence[R] | None = None
        failure = "the queue was closed, or failed unexpectedly"
        try:
            results = await self._send(items)
        except QueueDown as error:
            failure = str(error)
        finally:
            for caller in callers:
                if caller.done():
                    continue
                if results is None:
                    caller.set_exception(QueueDown(failure))
                else:
                    caller.set_result(results)


@dataclass(frozen=True, slots=True)
class Script:
    """A script of the folder ``scripts`` with ``entries.lua`` in front: its text, and the digest under which Redis has it."""

    name: str
    text: str
    digest: str

    @classmethod
    def read(cls, name: str) -> "Script":
        """Reads the script of that name; raises FileNotFoundError when the package lacks it."""
        folder = files("fastlane.queue.redis").joinpath("scripts")
        text = folder.joinpath("entries.lua").read_text("utf-8") + folder.joinpath(f"{name}.lua").read_text("utf-8")
        return cls(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    @classmethod
    def read_all(cls) -> "dict[str, Script]":
        """Reads all scripts of the package, by name."""
        names = [file.name.removesuffix(".lua") for file in files("fastlane.queue.redis").joinpath("scripts").iterdir()]
        return {name: cls.read(name) for name in sorted(names) if name != "entries"}


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
    if isinstance(error.__cause__, RedisError):  # redis-py wraps errors of a login into a ConnectionError
        error = error.__cause__
    match error:
        case TimeoutError() | RedisTimeout():
            return QueueDown(f"Redis did not answer within {deadline:g} s")
        case MasterNotFoundError():
            return QueueDown("no answering Sentinel knows a live master of this service")
        case OutOfMemoryError():
            return QueueDown("Redis is full and takes no more writes: raise its maxmemory")
        case ReadOnlyError():
            return QueueDown("Redis takes no writes: it is a read-only replica")
        case AuthenticationError() | NoPermissionError():
            return QueueRefused(f"Redis refuses the login, or what it may do: {error}")
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


SENTINEL = "redis+sentinel"
SENTINEL_PORT = 26379


class Connections:
    """Connections to one Redis: ``redis://``, ``rediss://``, ``unix://``, or ``redis+sentinel://[USER][:PASSWORD]@HOST:PORT,…/SERVICE/DB``.

    A connection is never retried here, and each step of connecting has a deadline; asking all Sentinels takes less than ``deadline``
    (seconds). The user and password are for the Redis servers; Sentinels are asked without. Only one task may use this: redis-py loses
    a Sentinel when two tasks ask at once.
    """

    def __init__(self, url: str, deadline: float) -> None:
        options: dict[str, Any] = {
            "decode_responses": True,
            "protocol": 2,
            "socket_timeout": None,
            "socket_connect_timeout": deadline,
            "retry": Retry(NoBackoff(), 0),
        }
        self._sentinel: Any = None  # redis-py's classes are barely typed
        if urlsplit(url).scheme == SENTINEL:
            sentinels, service, login = _read(url)
            step = deadline / (2 * len(sentinels) + 2)
            sentinel_options = {"socket_timeout": step, "socket_connect_timeout": step, "retry": Retry(NoBackoff(), 0)}
            self._sentinel = cast(Any, Sentinel)(sentinels, sentinel_kwargs=sentinel_options)
            self._pool: Any = cast(Any, SentinelConnectionPool)(service, self._sentinel, **options, **login)
        else:
            self._pool = ConnectionPool.from_url(url, **options)

    def make(self) -> Connection:
        """Returns an unconnected connection, which the caller closes."""
        connection: Connection = self._pool.make_connection()
        return connection

    async def close(self) -> None:
        """Closes the connections to the Sentinels."""
        if self._sentinel is not None:
            await self._sentinel.aclose()


def _read(url: str) -> tuple[list[tuple[str, int]], str, dict[str, Any]]:
    """Returns the Sentinels' addresses, the service's name, and the login and database of its master."""
    parts = urlsplit(url)
    userinfo, _, addresses = parts.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    _, service, database = f"{parts.path}/0".split("/")[:3]
    login = {"username": unquote(user) or None, "password": unquote(password) or None, "db": int(database)}
    return [_address(address) for address in addresses.split(",")], unquote(service), login


def _address(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(.+?)(?::([0-9]+))?", text)
    host, port = match.groups() if match else (text, None)
    return host.strip("[]"), int(port or SENTINEL_PORT)
