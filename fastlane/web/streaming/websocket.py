"""A follower's WebSocket. Tornado speaks the protocol, and ``FollowerSocket`` takes the place of its handler, whose methods Tornado calls.
``SocketSink`` sends the log, and measures by pings how far the client has read.

After the handshake, ``FollowerSocket`` owns the connection. The request and its handler are gone by then: for thousands of clients that
only listen, they would take most of the memory.
"""

import asyncio
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

import structlog
from tornado.iostream import IOStream, StreamClosedError
from tornado.websocket import WebSocketHandler, WebSocketProtocol

from fastlane.models.job import Execution
from fastlane.streams.batch import Batch
from fastlane.streams.follower import CloseReason, FinalState, Follower
from fastlane.streams.followers import SLOW_AFTER
from fastlane.web.api.log_encoding import PONG, LogFormat, attempt_event, encoder, end_event, failure_event, websocket_frame, websocket_ping
from fastlane.web.api.serializer import RenderContext
from fastlane.web.handler import AppContext
from fastlane.web.streaming.logs import failure_words


def write(stream: IOStream, data: bytes) -> None:
    """Writes the data. Data that the socket does not take at once waits in Tornado's buffer, and so does all later data. Raises
    StreamClosedError."""
    if type(stream) is IOStream and not stream.closed() and not stream.writing():  # TLS has a state of its own for what it could not write
        try:
            taken = stream.socket.send(data)
        except OSError:
            taken = 0  # Tornado tries again, and waits or closes the connection
        if taken == len(data):
            return
        data = data[taken:]
    stream.write(data)


PING_AFTER = 64 * 1024
"""Bytes of frames after which a ping asks whether the client has read them."""
WINDOW = 256 * 1024
"""While the client has not read this many bytes, nothing more is sent. (A batch is sent whole, so it may be more by that.)"""
NONCE = 8
"""Random bytes in a ping."""
LAST_BYTES = 16 * 1024
"""Bytes that may still be unread when the connection is closed: any client reads them in time."""


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
        """Whether the client has read enough of the sent data."""
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

    def answer_ping(self) -> None:
        """Answers a client's message, in JSON only. While data that it has not read is under way, they are the answer."""
        if self._format is LogFormat.JSON and self.ready():
            self.send(websocket_frame(PONG))

    def on_pong(self, data: bytes) -> None:
        """Records that the client has read everything before a ping; it may leave earlier pings without an answer. A pong that answers none
        of our pings means nothing."""
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
                write(self._connection, data)
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


PING = "ping"
"""The message of a client that wants a sign of life."""
LOST_PINGS = 3
"""A client that has nothing left to read is disconnected when it leaves this many pings without an answer. One that still has something to
read has ``SLOW_AFTER`` seconds for each answer."""
NORMAL_CLOSURE = 1000
HANDSHAKE = frozenset({"request", "select_subprotocol", "set_status", "set_header", "clear_header", "finish"})
"""What Tornado's protocol uses of a handler until the handshake is done."""

log = structlog.get_logger()


class FollowerSocket:
    """The connection of one follower, until it is closed."""

    __slots__ = (
        *("_context", "_follower", "_following", "_format", "_handler", "_path", "_protocol", "_accepted", "_sink", "_stream"),
        "_connection",
    )

    open_args: tuple[()] = ()
    open_kwargs: Mapping[str, Any] = {}

    def __init__(
        self,
        handler: WebSocketHandler,
        protocol: WebSocketProtocol,
        context: AppContext,
        follower: Follower,
        format: LogFormat,
        stream: int | None,
    ) -> None:
        self._handler: WebSocketHandler | None = handler
        self._protocol = protocol
        self._context = context
        self._follower = follower
        self._format = format
        self._stream = stream
        self._path = handler.request.path
        self._accepted: asyncio.Future[None] | None = None
        self._sink: SocketSink | None = None
        self._following: asyncio.Task[None] | None = None
        self._connection: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Answers the handshake, and returns when that is done. From then on it runs by itself, until the connection is closed."""
        accepted = self._accepted = asyncio.get_running_loop().create_future()
        protocol: Any = self._protocol
        protocol.handler = self
        self._context.traffic.active_requests.add(self)
        self._connection = asyncio.create_task(protocol.accept_connection(self), name="socket of a follower")
        self._connection.add_done_callback(self._forget)
        await accepted

    # the handshake, as Tornado's protocol makes it

    def __getattr__(self, name: str) -> Any:
        """Takes from the request's handler what Tornado asks for during the handshake: the request, and the methods that answer it."""
        if name in HANDSHAKE:
            return getattr(self._handler, name)
        raise AttributeError(name)

    def _detach_stream(self) -> IOStream:
        """Takes the connection from the handler, and lets that go."""
        assert self._handler is not None
        stream: IOStream = self._handler.detach()
        self._handler = None
        self._end_handshake()
        self._sink = SocketSink(stream, self._format, self._stream)
        return stream

    def _end_handshake(self) -> None:
        if self._accepted is not None and not self._accepted.done():
            self._accepted.set_result(None)
        self._accepted = None

    # the connection

    def open(self) -> None:
        """Starts following, since the handshake is done."""
        assert self._sink is not None
        self._protocol.set_nodelay(True)
        self._following = asyncio.create_task(self._follow(self._sink), name="follower")
        self._following.add_done_callback(self._forget)
        self._context.traffic.heartbeats.start(self._beat)

    def on_message(self, message: str | bytes) -> None:
        """Answers ``ping``: scripts in a browser do not see the pings of the protocol. Ignores any other message."""
        if message == PING and self._sink is not None:
            self._sink.answer_ping()

    def on_ping(self, _data: bytes) -> None:
        """Does nothing: Tornado has answered the ping."""

    def on_pong(self, data: bytes) -> None:
        """Passes on that the client has read up to a ping."""
        if self._sink is not None:
            self._sink.on_pong(data)

    def on_ws_connection_close(self, _code: int | None = None, _reason: str | None = None) -> None:
        """Ends the follower of a closed connection."""
        self._context.traffic.heartbeats.stop(self._beat)
        if self._following is not None:
            self._following.cancel()

    def log_exception(self, *raised: Any) -> None:
        """Logs an error of our own."""
        log.error("ws.failed", path=self._path, exc_info=raised)

    async def _follow(self, sink: SocketSink) -> None:
        try:
            closing = await self._follower.run(sink)
        except Exception:
            log.exception("ws.failed", path=self._path)
            return self._close(CloseReason.RETRY)
        if closing.reason is CloseReason.GONE:
            return None
        if closing.end is not None:
            failed, words = closing.end.failed, self._context.settings.redact_words
            sink.end(closing.end, None if failed is None else failure_words(RenderContext("", words), failed))
        return self._close(closing.reason)

    def _close(self, reason: CloseReason) -> None:
        self._context.traffic.heartbeats.stop(self._beat)
        self._protocol.close(NORMAL_CLOSURE, reason.value)

    def _beat(self) -> None:
        """Sends a ping while nothing else is sent, and gives up a client that answers none."""
        sink = self._sink
        if sink is None:
            return
        silent = sink.silent_for()
        if not silent:
            sink.ping()
        elif silent >= (LOST_PINGS * self._context.traffic.heartbeats.every if sink.caught_up else SLOW_AFTER):
            self._follower.interrupt()

    def _forget(self, _task: object) -> None:
        """Removes it from the server's active requests once both of its tasks have ended."""
        self._end_handshake()
        if all(task is None or task.done() for task in (self._connection, self._following)):
            self._context.traffic.heartbeats.stop(self._beat)
            self._context.traffic.active_requests.discard(self)
