"""Clients of live logs for the tests: by WebSocket (aiohttp's), and a hub that loses hints."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from fastlane.app import ResourceHub
from fastlane.models.log import Hint
from fastlane.streams.reader import OnHint
from tests.support.fastlane import Fastlane

PATIENCE = 30.0


@dataclass
class Received:
    """What a socket has had so far, and how it was closed."""

    messages: list[str] = field(default_factory=list)
    code: int | None = None
    reason: str | None = None

    @property
    def text(self) -> str:
        """The messages joined."""
        return "".join(self.messages)

    @property
    def events(self) -> list[Any]:
        """The messages of JSON."""
        return [json.loads(message) for message in self.messages]

    @property
    def log(self) -> str:
        """The text in the messages of JSON."""
        return "".join(event.get("text", "") for event in self.events)

    @property
    def end(self) -> tuple[int | None, str | None]:
        return self.code, self.reason


class Socket:
    """A WebSocket to the server. Used as an async context manager; reads all the time."""

    def __init__(self, session: aiohttp.ClientSession, url: str, **options: Any) -> None:
        self._session = session
        self._url = url.replace("http", "ws", 1)
        self._options = options
        self.received = Received()
        self._news = asyncio.Event()

    async def __aenter__(self) -> "Socket":
        self.ws = await self._session.ws_connect(self._url, max_msg_size=0, **self._options)
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self.ws.close()

    async def closed(self, patience: float = PATIENCE) -> Received:
        """All that came, once the server has closed it."""
        await asyncio.wait_for(asyncio.shield(self._reading), patience)
        return self.received

    async def until(self, condition: Callable[[Received], bool]) -> Received:
        """What came, once the condition holds of it."""
        async with asyncio.timeout(PATIENCE):
            while not condition(self.received):
                self._news.clear()
                await self._news.wait()
        return self.received

    async def _read(self) -> None:
        while True:
            message = await self.ws.receive()
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    self.received.messages.append(message.data)
                case aiohttp.WSMsgType.CLOSE:
                    self.received.code, self.received.reason = message.data, message.extra
                case aiohttp.WSMsgType.CLOSED | aiohttp.WSMsgType.CLOSING | aiohttp.WSMsgType.ERROR:
                    self.received.code = self.received.code or self.ws.close_code
                    return
                case kind:
                    raise AssertionError(kind)
            self._news.set()
            if message.type is aiohttp.WSMsgType.CLOSE:
                return


def socket(server: Fastlane, url: str, **options: Any) -> Socket:
    """A WebSocket to a path, or a URL, of the server."""
    return Socket(server.client, url if url.startswith("http") else server.base + url, **options)


async def follow_on(
    session: aiohttp.ClientSession, places: Sequence[str], path: str, patience: float = PATIENCE
) -> tuple[str, list[dict[str, str]], int]:
    """Follows by JSON, resuming at the next place whenever it is cut off. Returns the text, the events and the number of cuts.

    ``patience``: how long one connection may last, in seconds.
    """
    events: list[dict[str, str]] = []
    cuts = 0
    while not events or events[-1].get("event") != "end":
        cursors = [event["cursor"] for event in events if "cursor" in event]
        query = f"&from={cursors[-1]}" if cursors else ""
        try:
            async with Socket(session, f"{places[cuts % len(places)]}{path}/ws?format=json{query}") as client:
                got = await client.closed(patience)
        except aiohttp.ClientError:
            await asyncio.sleep(0.1)  # as a client pauses before it connects again
            got = Received()
        events += got.events
        cuts += 1
    return "".join(event.get("text", "") for event in events), events, cuts - 1


class Lossy:
    """A hub that loses every ``nth`` hint; 1: all of them, and what it has to say of gaps too."""

    def __init__(self, hub: ResourceHub, nth: int) -> None:
        self._hub = hub
        self._nth = nth
        self.count = 0

    async def open(self) -> None:
        await self._hub.open()

    async def close(self) -> None:
        await self._hub.close()

    def publish(self, hint: Hint) -> None:
        self._hub.publish(hint)

    def subscribe(self, execution_id: str, on_hint: OnHint) -> Callable[[], None]:
        def hear(hint: Hint | None) -> None:
            self.count += 1
            if self.count % self._nth:
                on_hint(hint)

        return self._hub.subscribe(execution_id, hear)
