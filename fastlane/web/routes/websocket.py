"""``…/ws``: a log by WebSocket, on Tornado's own handler.

A message is encoded once for all clients that get the same. What clients send is ignored. The close reason says what to do: ``done``, or
``retry``.
"""

import asyncio

import structlog
from tornado.iostream import IOStream, StreamClosedError
from tornado.websocket import WebSocketHandler

from fastlane.errors import Fault, Invalid
from fastlane.models.execution import Execution
from fastlane.streams.batch import Batch
from fastlane.streams.follower import CloseReason, FinalState, Follower
from fastlane.web.api.contract import Parameter, Response, operation
from fastlane.web.api.follow_query import FOLLOW_QUERY, read_follow_query
from fastlane.web.api.json_schema import enum
from fastlane.web.api.log_encoding import LogFormat, attempt_event, encoder, end_event, websocket_frame
from fastlane.web.handler.handler import Handler
from fastlane.web.http.problems import Problem
from fastlane.web.routes.tickets import TICKET_QUERY

PING_EVERY = 20.0
"""Seconds between pings. A peer that has not answered one when the next is due is disconnected."""
LARGEST_MESSAGE = 4 * 1024
"""Bytes of a client's message, which is ignored; for a larger one the connection is closed."""
NORMAL_CLOSURE = 1000
VERSION = "13"

log = structlog.get_logger()


class SocketHandler(Handler, WebSocketHandler):
    """The WebSocket that follows a job, or one execution."""

    accepts_tickets = True

    _follower: Follower
    _format = LogFormat.TEXT
    _stream: int | None = None
    _following: asyncio.Task[None] | None = None

    @operation(
        "followLog",
        query={
            "format": Parameter("The format of messages: text (the default) or JSON.", enum((LogFormat.TEXT, LogFormat.JSON))),
            **FOLLOW_QUERY,
            **TICKET_QUERY,
        },
        answers={101: Response("The log as it grows, by WebSocket. The close reason is done or retry.")},
        refusals=(404, 426, 429),
    )
    async def on_get(self, task_id: str, job_id: str, execution_id: str | None = None) -> None:
        """The handshake, and the connection until it is closed."""
        check_handshake(self)
        if not self.context.origins.allows_websocket(self.request):
            raise Problem(403, "a page of another site may not follow logs here; add its origin to allowed_origins to allow it")
        format = self.query.get("format", LogFormat.TEXT)
        if format not in (LogFormat.TEXT, LogFormat.JSON):
            raise Invalid([Fault("format", 'is neither "text" nor "json"')])
        start = read_follow_query(self.query)
        self._format, self._stream = LogFormat(format), start.stream
        self._follower = await self.services.followers.follow(task_id, job_id, execution_id, start, self.caller)
        try:
            await WebSocketHandler.get(self)
        finally:
            if self._following is not None:
                self._following.cancel()
                await asyncio.wait([self._following])

    # what Tornado asks and calls

    @property
    def ping_interval(self) -> float | None:
        """Seconds."""
        return PING_EVERY

    @property
    def max_message_size(self) -> int:
        """Bytes."""
        return LARGEST_MESSAGE

    def check_origin(self, origin: str) -> bool:
        """``on_get`` has checked the origin by our own rule."""
        return bool(origin)

    def open(self) -> None:
        """The handshake is done."""
        self.set_nodelay(True)
        connection = self.ws_connection.stream if self.ws_connection is not None else None
        self._following = asyncio.create_task(self._follow(SocketSink(connection, self._format, self._stream)), name="follower")

    def on_message(self, message: str | bytes) -> None:
        """Ignores the message."""

    def on_close(self) -> None:
        """The connection is closed."""
        if self._following is not None:
            self._following.cancel()

    async def _follow(self, sink: "SocketSink") -> None:
        try:
            closing = await self._follower.run(sink)
        except Exception:
            log.exception("ws.failed", path=self.request.path)
            return self.close(NORMAL_CLOSURE, CloseReason.RETRY.value)
        if closing.reason is CloseReason.GONE:
            return None
        if closing.end is not None:
            sink.end(closing.end)
        return self.close(NORMAL_CLOSURE, closing.reason.value)


class SocketSink:
    """A WebSocket's connection, as the sink of a follower. It writes complete frames past Tornado, which would build them again for each
    client."""

    def __init__(self, connection: IOStream | None, format: LogFormat, stream: int | None) -> None:
        self._connection = connection
        self._format = format
        self._encode = encoder(format, stream)

    def encode(self, batch: Batch) -> bytes:
        """See ``streams.follower.Sink``."""
        return batch.rendered(self._encode)

    def ready(self) -> bool:
        """Whether the connection has taken everything."""
        return self._connection is not None and not self._connection.writing()

    def send(self, data: bytes) -> None:
        """Sends complete frames."""
        if self._connection is not None:
            try:
                self._connection.write(data)
            except StreamClosedError:
                self._connection = None

    async def drained(self, seconds: float) -> bool:
        """Waits for the connection."""
        if self._connection is None:
            raise ConnectionError
        try:
            written = self._connection.write(b"")  # done when everything before it is written
            await asyncio.wait([written], timeout=seconds)
            return written.done() and written.result() is None
        except StreamClosedError:
            raise ConnectionError from None

    def begin(self, execution: Execution, *, first: bool) -> None:
        """Announces a further attempt, in JSON only."""
        if self._format is LogFormat.JSON and not first:
            self.send(websocket_frame(attempt_event(execution)))

    def end(self, state: FinalState) -> None:
        """Announces the end, in JSON only."""
        if self._format is LogFormat.JSON:
            self.send(websocket_frame(end_event(state)))


def check_handshake(handler: Handler) -> None:
    """Raises a problem for a request that is not a WebSocket handshake of version 13."""
    headers = handler.request.headers
    upgrade = {"Upgrade": "websocket", "Sec-WebSocket-Version": VERSION}
    if handler.request.method != "GET" or headers.get("Upgrade", "").lower() != "websocket":
        words = "this is a WebSocket: connect to it with ws:// or wss://; for plain HTTP there is …/logs?follow=1"
        raise Problem(426, words, headers=upgrade | {"Connection": "Upgrade"})
    if headers.get("Sec-WebSocket-Version") != VERSION:
        raise Problem(426, "this server speaks WebSocket version 13 only", headers=upgrade | {"Connection": "Upgrade"})
    connection = [word.strip().lower() for word in headers.get("Connection", "").split(",")]
    if "upgrade" not in connection or not headers.get("Sec-WebSocket-Key"):
        raise Problem(400, "the handshake lacks Connection: Upgrade or Sec-WebSocket-Key; a proxy may have removed it")
