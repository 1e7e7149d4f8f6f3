"""A WebSocket's connection, as the sink of a follower. It writes complete frames past Tornado, which would build them again for each
client.

TCP accepts megabytes for a client that reads nothing, and a ping waits behind them. So this sink never sends far ahead of its client: after
every few frames it sends a ping, and the answer tells how far the client has read. The payload of each ping is random: a client that could
answer a ping without having read it could make the server hold the whole log.
"""

import asyncio
from secrets import token_hex

from tornado.iostream import IOStream, StreamClosedError

from fastlane.models.execution import Execution
from fastlane.streams.batch import Batch
from fastlane.streams.follower import FinalState
from fastlane.web.api.log_encoding import LogFormat, attempt_event, encoder, end_event, failure_event, websocket_frame, websocket_ping
from fastlane.web.streaming import direct_write

PING_AFTER = 64 * 1024
"""Bytes of frames after which a ping asks whether the client has read them."""
WINDOW = 256 * 1024
"""While the client has not read this many bytes, nothing more is sent. (A batch is sent whole, so it may be more by that.)"""
NONCE = 8
"""Random bytes in a ping."""
LAST_BYTES = 16 * 1024
"""So few bytes may still be unread when the connection is closed: any client reads them in time."""


class SocketSink:
    """See ``streams.follower.Sink``. ``on_pong`` takes the client's answers."""

    __slots__ = ("_asked", "_asked_at", "_connection", "_encode", "_format", "_pings", "_progress", "_read", "_sent")

    def __init__(self, connection: IOStream, format: LogFormat, stream: int | None) -> None:
        self._connection: IOStream | None = connection
        self._format = format
        self._encode = encoder(format, stream)
        self._sent = 0
        self._asked = 0
        self._read = 0
        self._pings: dict[bytes, int] = {}
        self._asked_at: float | None = None
        self._progress: asyncio.Future[None] | None = None

    def encode(self, batch: Batch) -> bytes:
        """See ``streams.follower.Sink``."""
        return batch.rendered(self._encode)

    def ready(self) -> bool:
        """Whether the client has read enough of what was sent."""
        return self._open and self._sent - self._read <= WINDOW

    def send(self, data: bytes) -> None:
        """Sends complete frames."""
        self._write(data)
        self._sent += len(data)
        if self._sent - self._asked >= PING_AFTER:
            self.ping()

    def ping(self) -> None:
        """Asks how far the client has read."""
        self._asked = self._sent
        if self._asked_at is None:
            self._asked_at = asyncio.get_running_loop().time()
        payload = token_hex(NONCE).encode()
        self._pings[payload] = self._sent
        self._write(websocket_ping(payload))

    def on_pong(self, data: bytes) -> None:
        """The client has read all that came before a ping, and may leave earlier pings without an answer. A pong that answers none of ours
        means nothing."""
        if data not in self._pings:
            return
        self._read = self._pings[data]
        self._pings = {payload: position for payload, position in self._pings.items() if position > self._read}
        self._asked_at = asyncio.get_running_loop().time() if self._pings else None
        if self._progress is not None and not self._progress.done():
            self._progress.set_result(None)

    def silent_for(self) -> float:
        """Seconds for which a ping has waited for an answer, or since the answer to an earlier one; 0 when none waits."""
        return 0.0 if self._asked_at is None else asyncio.get_running_loop().time() - self._asked_at

    @property
    def caught_up(self) -> bool:
        """Whether the client had read everything when it was last asked."""
        return self._read == self._asked

    async def drained(self, seconds: float) -> bool:
        """Waits until the client has read enough."""
        return await self._advanced(self._sent - WINDOW, seconds)

    async def finished(self, seconds: float) -> bool:
        """Waits until the client has read everything, but for a small rest: the connection is closed a few seconds later."""
        if self._sent - self._read <= LAST_BYTES:
            return True
        self.ping()
        return await self._advanced(self._sent, seconds)

    def begin(self, execution: Execution, *, first: bool) -> None:
        """Announces a further attempt, in JSON only."""
        if self._format is LogFormat.JSON and not first:
            self.send(websocket_frame(attempt_event(execution)))

    def end(self, state: FinalState, failure: str | None) -> None:
        """Sends the words of a failure without a log, if any, but adds nothing to a text that has a log. Announces the end, in JSON
        only."""
        failed = None if state.failed is None else state.failed.failure
        if self._format is LogFormat.JSON:
            if failed is not None and failure is not None:
                self.send(websocket_frame(failure_event(failed.reason, failure)))
            self.send(websocket_frame(end_event(state)))
        elif failure is not None and not self._sent:
            self.send(websocket_frame(failure.encode() + b"\n"))

    @property
    def _open(self) -> bool:
        return self._connection is not None and not self._connection.closed()

    def _write(self, data: bytes) -> None:
        if self._connection is not None:
            try:
                direct_write.write(self._connection, data)
            except StreamClosedError:
                self._connection = None

    async def _advanced(self, position: int, seconds: float) -> bool:
        """Waits until the client has read up to there. False when it reads nothing for that many seconds."""
        while self._open and self._read < position:
            self._progress = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(seconds):
                    await self._progress
            except TimeoutError:
                return False
            finally:
                self._progress = None
        if not self._open:
            raise ConnectionError
        return True
