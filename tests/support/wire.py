"""Proxies before Redis and before an engine that lose one answer: the request is passed on and carried out, its answer is swallowed, and
the connection is cut.

``RedisWire`` knows RESP enough to tell one script from another inside a pipeline, ``EngineWire`` HTTP/1.1 enough for method and path.
"""

import asyncio
import contextlib
import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hiredis

from fastlane.queue.redis.script import NAMES, Script

SCRIPTS = {Script.read(name).digest: name for name in NAMES}

CALLS = {
    "create": r"POST /services/create",
    "update": r"POST /services/[^/]+/update",
    "inspect": r"GET /services/[^/]+",
    "services": r"GET /services",
    "delete": r"DELETE /services/[^/]+",
    "tasks": r"GET /tasks",
    "logs": r"GET /tasks/[^/]+/logs",
    "nodes": r"GET /nodes",
    "container": r"GET /containers/[^/]+/json",
    "distribution": r"GET /distribution/.+/json",
    "image": r"GET /images/.+/json",
}
"""Each call of an engine that fastlane makes for an execution: its method and path, without version and query."""


class Wire(ABC):
    """Passes on to the socket ``target`` what comes to the one at ``path``; loses the answer to the ``nth`` call named ``lost``, once,
    but for its first ``kept`` bytes. ``dropped`` says that it did."""

    def __init__(self, path: Path, target: str, lost: str, nth: int = 1, kept: int = 0) -> None:
        self.url = f"unix://{path}"
        self.dropped = False
        self.seen: list[str] = []
        self._path = path
        self._target = target.removeprefix("unix://")
        self._lost = lost
        self._left = nth
        self._kept = kept
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> "Wire":
        self._server = await asyncio.start_unix_server(self._connected, str(self._path))
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._pass(reader, writer))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it or an answer is lost."""
        there, back = await asyncio.open_unix_connection(self._target)
        requests, answers = self._parsers()
        ways = [asyncio.ensure_future(copy(reader, back, requests)), asyncio.ensure_future(copy(there, writer, answers))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for side in (writer, back):
                side.transport.abort()

    def _hit(self, name: str) -> bool:
        """Whether the answer to this call is to be lost."""
        self.seen.append(name)
        if name != self._lost or self.dropped:
            return False
        self._left -= 1
        return self._left == 0

    @abstractmethod
    def _parsers(self) -> tuple[Callable[[bytes], bytes | None], Callable[[bytes], bytes | None]]:
        """For a new connection: what is told of each part of its requests and of its answers, and says what to pass on; None to cut it."""


async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, told: Callable[[bytes], bytes | None]) -> None:
    """Passes on, as ``told`` says, until the source ends or it says None."""
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            passed = told(data)
            if passed is None:
                return
            sink.write(passed)
            await sink.drain()


class RedisWire(Wire):
    """Before Redis. A script's name is that of its file; any other command's is its first word."""

    def _parsers(self) -> tuple[Callable[[bytes], bytes | None], Callable[[bytes], bytes | None]]:
        waiting: deque[str] = deque()
        asked, answered = hiredis.Reader(), hiredis.Reader()
        unfinished = bytearray()
        cut = False

        def requests(data: bytes) -> bytes:
            asked.feed(data)
            while (command := asked.gets()) is not False:
                word = command[0].decode().upper()
                waiting.append(SCRIPTS.get(command[1].decode(), word) if word == "EVALSHA" else word)
            return data

        def answers(data: bytes) -> bytes | None:
            nonlocal cut
            if cut:
                return None
            whole = bytearray()
            for byte in data:  # so that the answers before the lost one, in the same packet, still pass
                unfinished.append(byte)
                answered.feed(bytes([byte]))
                answer = answered.gets()
                if answer is False:
                    continue
                name = waiting.popleft() if waiting else "message"
                if not is_idle(name, answer) and self._hit(name):
                    self.dropped = cut = True
                    break
                whole += unfinished
                unfinished.clear()
            return bytes(whole) or (None if cut else b"")

        return requests, answers


def is_idle(name: str, answer: Any) -> bool:
    """Whether it is the answer to a claim that gave nothing, or of a script that is to be called again, or loaded first."""
    if isinstance(answer, hiredis.ReplyError) or (isinstance(answer, list) and answer[:1] == [b"LANE"]):
        return True
    return name == "claim" and not answer[3]


class EngineWire(Wire):
    """Before an engine. A call's name is one of ``CALLS``."""

    def _parsers(self) -> tuple[Callable[[bytes], bytes | None], Callable[[bytes], bytes | None]]:
        buffer = bytearray()
        body = 0
        losing = False
        let = self._kept

        def requests(data: bytes) -> bytes:
            nonlocal body, losing
            buffer.extend(data)
            while True:
                if body:
                    taken = min(body, len(buffer))
                    del buffer[:taken]
                    body -= taken
                end = buffer.find(b"\r\n\r\n")
                if body or end < 0:
                    return data
                head = bytes(buffer[:end]).decode("latin-1")
                del buffer[: end + 4]
                length = re.search(r"^content-length: *(\d+)", head, re.IGNORECASE | re.MULTILINE)
                body = int(length.group(1)) if length else 0
                losing = self._hit(call_of(head.partition("\r\n")[0])) or losing

        def answers(data: bytes) -> bytes | None:
            nonlocal let
            if not losing:
                return data
            self.dropped = True
            passed, let = data[:let], max(0, let - len(data))
            return passed or None

        return requests, answers


def call_of(line: str) -> str:
    """The name of a request line's call."""
    method, path, _ = line.split(" ")
    short = f"{method} {re.sub(r'^/v[0-9.]+', '', path.partition('?')[0])}"
    return next((name for name, pattern in CALLS.items() if re.fullmatch(pattern, short)), short)
