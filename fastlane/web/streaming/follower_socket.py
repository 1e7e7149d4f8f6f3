"""A follower's WebSocket: Tornado speaks the protocol, and this stands in for its handler, whose methods Tornado calls.

After the handshake it has the connection alone. The request and its handler are gone by then: for thousands of clients that only listen,
they would take most of the memory.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog
from tornado.httputil import HTTPServerRequest
from tornado.iostream import IOStream
from tornado.websocket import WebSocketHandler, WebSocketProtocol

from fastlane.streams.follower import CloseReason, Follower
from fastlane.streams.followers import SLOW_AFTER
from fastlane.web.api.log_encoding import LogFormat
from fastlane.web.api.render_context import RenderContext
from fastlane.web.handler.context import AppContext
from fastlane.web.streaming.log_lookup import failure_words
from fastlane.web.streaming.websocket_sink import SocketSink

LOST_PINGS = 3
"""A client that has nothing left to read, and does not answer for as long as so many pings take, is disconnected. One that still has
something to read has ``SLOW_AFTER`` seconds for each answer."""
NORMAL_CLOSURE = 1000

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
        """Answers the handshake; returns when that is done. From then on it goes on by itself, until the connection is closed."""
        accepted = self._accepted = asyncio.get_running_loop().create_future()
        protocol: Any = self._protocol
        protocol.handler = self
        self._context.active_requests.add(self)
        self._connection = asyncio.create_task(protocol.accept_connection(self), name="socket of a follower")
        self._connection.add_done_callback(self._forget)
        await accepted

    # the handshake, as Tornado's protocol makes it

    @property
    def request(self) -> HTTPServerRequest:
        """The request, during the handshake."""
        return self._handshake_handler.request

    def select_subprotocol(self, names: list[str]) -> str | None:
        """None: there are no subprotocols."""
        return self._handshake_handler.select_subprotocol(names)

    def set_status(self, status: int) -> None:
        """Sets the answer's status."""
        self._handshake_handler.set_status(status)

    def set_header(self, name: str, value: str) -> None:
        """Sets a header of the answer."""
        self._handshake_handler.set_header(name, value)

    def clear_header(self, name: str) -> None:
        """Removes a header of the answer."""
        self._handshake_handler.clear_header(name)

    def finish(self, chunk: str | None = None) -> None:
        """Sends the answer."""
        self._handshake_handler.finish(chunk)

    @property
    def _handshake_handler(self) -> WebSocketHandler:
        assert self._handler is not None
        return self._handler

    def _detach_stream(self) -> IOStream:
        """Takes the connection from the handler, and lets that go."""
        stream = self._handshake_handler.detach()
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
        """The handshake is done."""
        assert self._sink is not None
        self._protocol.set_nodelay(True)
        self._following = asyncio.create_task(self._follow(self._sink), name="follower")
        self._following.add_done_callback(self._forget)
        self._context.heartbeats.start(self._beat)

    def on_message(self, _message: str | bytes) -> None:
        """Ignores the message."""

    def on_ping(self, _data: bytes) -> None:
        """Tornado has answered it."""

    def on_pong(self, data: bytes) -> None:
        """The client has read up to a ping."""
        if self._sink is not None:
            self._sink.on_pong(data)

    def on_ws_connection_close(self, _code: int | None = None, _reason: str | None = None) -> None:
        """The connection is closed."""
        self._context.heartbeats.stop(self._beat)
        if self._following is not None:
            self._following.cancel()

    def log_exception(self, *raised: Any) -> None:
        """Logs an error of our own."""
        log.error("ws.failed", path=self._path, exc_info=raised)

    def disconnect(self) -> None:
        """Cuts the connection."""
        if self._connection is not None:
            self._connection.cancel()

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
        self._context.heartbeats.stop(self._beat)
        self._protocol.close(NORMAL_CLOSURE, reason.value)

    def _beat(self) -> None:
        """Sends a ping while nothing else is sent, and gives up a client that answers none."""
        sink = self._sink
        if sink is None:
            return
        silent = sink.silent_for()
        if not silent:
            sink.ping()
        elif silent >= (LOST_PINGS * self._context.heartbeats.every if sink.caught_up else SLOW_AFTER):
            self._follower.interrupt()

    def _forget(self, _task: object) -> None:
        """The server waits for it no longer once both of its tasks have ended."""
        self._end_handshake()
        if all(task is None or task.done() for task in (self._connection, self._following)):
            self._context.heartbeats.stop(self._beat)
            self._context.active_requests.discard(self)
