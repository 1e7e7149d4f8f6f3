"""A client of live logs by another library's WebSockets (websockets), which is cut, paused and moved at random and always goes on."""

import asyncio
import contextlib
import json
import random
from collections.abc import Sequence
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

PAUSES = (0.0, 0.01, 0.1, 0.6)
"""Seconds for which it reads nothing."""


class Unsteady:
    """Follows by JSON at several places (``http://HOST:PORT``), and goes on after the last cursor whenever it was cut off; what it does is
    the same for the same ``seed``."""

    def __init__(self, places: Sequence[str], path: str, seed: int) -> None:
        self._places = [place.replace("http", "ws", 1) for place in places]
        self._path = path
        self._random = random.Random(seed)
        self.messages: list[dict[str, Any]] = []
        self.cuts = 0
        self.reason: str | None = None

    @property
    def text(self) -> str:
        """All text that came, in order."""
        return "".join(message.get("text", "") for message in self.messages)

    async def follow(self) -> "Unsteady":
        """Until a connection is closed as done."""
        while self.reason != "done":
            try:
                await self._connect()
            except (OSError, InvalidHandshake, InvalidMessage, ConnectionClosed, TimeoutError):
                await asyncio.sleep(0.05)  # as a client pauses before it connects again
        return self

    async def _connect(self) -> None:
        cursor = next((message["cursor"] for message in reversed(self.messages) if "cursor" in message), None)
        query = "" if cursor is None else f"&from={cursor}"
        url = f"{self._random.choice(self._places)}{self._path}/ws?format=json{query}"
        queue = self._random.choice((1, 16))
        async with connect(url, max_queue=queue, open_timeout=30, close_timeout=0.2, proxy=None) as socket:
            await self._read(socket)
            self.cuts += 1

    async def _read(self, socket: ClientConnection) -> None:
        left = self._random.choice((1, 3, 20, 200))
        async for message in socket:
            self.messages.append(json.loads(message))
            left -= 1
            if left == 0:
                if await self._act(socket):
                    return
                left = self._random.choice((1, 5, 50))
        self.reason = socket.close_reason  # all was read

    async def _act(self, socket: ClientConnection) -> bool:
        """Does something; whether it is not to read on."""
        match self._random.randrange(6):
            case 0:
                socket.transport.abort()  # as a network does that is gone
                return True
            case 1:
                await socket.close()
                return True
            case 2:
                with contextlib.suppress(ConnectionClosed):
                    await socket.send("nothing that means anything")
            case 3:
                with contextlib.suppress(ConnectionClosed):
                    await socket.ping()
            case _:
                await asyncio.sleep(self._random.choice(PAUSES))
        return False
