"""A proxy between a client and a server of MongoDB's protocol, which may lose the answer to a write, or cut the client off at one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bson import decode, decode_all

WRITES = frozenset({"insert", "update", "delete", "findAndModify"})
HEADER, OP_MSG = 16, 2013


def command_of(message: bytes) -> tuple[str, dict[str, Any]]:
    """The name of a message's command, and the command with what it writes; ``hello`` and the like have other forms, and are empty."""
    if int.from_bytes(message[12:16], "little") != OP_MSG:
        return "", {}
    command: dict[str, Any] = {}
    at = HEADER + 4
    while at < len(message):
        kind, size = message[at], int.from_bytes(message[at + 1 : at + 5], "little")
        section = message[at + 1 : at + 1 + size]
        if kind == 0:
            command = decode(section) | command
        else:
            name, _, documents = section[4:].partition(b"\0")
            command[name.decode()] = decode_all(documents)
        at += 1 + size
    return next(iter(command), ""), command


def counts_commits(command: dict[str, Any]) -> bool:
    """Whether a write is that of the number of commits, which comes at any time."""
    return any(update.get("q", {}).get("_id") == "version" for update in command.get("updates", ()))


class MongoWire:
    """The proxy. ``lose``: of these writes (numbered from 1) the answer is lost. ``die_before`` and ``die_after``: with this write the
    client is cut off for good, before or after the server made it. ``writes`` are the collections of those that came through. The number
    of commits, which a store raises now and then, is not one of them."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.port = 0
        self.lose: set[int] = set()
        self.die_before: int | None = None
        self.die_after: int | None = None
        self.dead = False
        self.writes: list[str] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    def reset(self) -> None:
        """Begins to count anew."""
        self.writes.clear()
        self.lose, self.die_before, self.die_after, self.dead = set(), None, None, False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the client."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def close(self) -> None:
        """Cuts all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        above, below = await asyncio.open_connection("127.0.0.1", self._server_port)
        try:
            while not self.dead:
                message = await _message(reader)
                name, command = command_of(message)
                number = self._number(name, command)
                if self.dead or (number is not None and number == self.die_before):
                    self.dead = True
                    return
                below.write(message)
                answer = await _message(above)
                if number is not None and number == self.die_after:
                    self.dead = True
                if self.dead or number in self.lose:
                    return
                writer.write(answer)
                await writer.drain()
        finally:
            below.close()
            with contextlib.suppress(OSError):
                await below.wait_closed()

    def _number(self, name: str, command: dict[str, Any]) -> int | None:
        if name not in WRITES or counts_commits(command):
            return None
        self.writes.append(command[name])
        return len(self.writes)


@asynccontextmanager
async def mongo_wire(port: int) -> AsyncIterator[MongoWire]:
    """A proxy before the server at a port of this machine."""
    wire = MongoWire(port)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        await wire.close()
        await server.wait_closed()


async def _message(reader: asyncio.StreamReader) -> bytes:
    size = await reader.readexactly(4)
    return size + await reader.readexactly(int.from_bytes(size, "little") - 4)
