"""``…/ws``: a log by WebSocket, on Tornado's own handler.

Messages go out as frames that are built once for all who get the same; nothing that a client sends means anything. The close reason says
what to do: ``done``, or ``retry``.
"""

import asyncio

import structlog
from tornado.iostream import IOStream, StreamClosedError
from tornado.websocket import WebSocketHandler

from fastlane.errors import Fault, Invalid
from fastlane.models.execution import Execution
from fastlane.streams.batch import Batch
from fastlane.streams.follower import CloseReason, Follower
from fastlane.web.api.contract import Answer, Parameter, operation
from fastlane.web.api.follow_query import WISHES, read_follow_query
from fastlane.web.api.json_schema import enum
from fastlane.web.http.frames import Form, Render, attempt_json, end_json, frame, renderer
from fastlane.web.http.handler import Handler
from fastlane.web.http.problems import Problem
from fastlane.web.routes.tickets import TICKET_QUERY

PING_EVERY = 20.0
"""Seconds between pings; a peer that has not answered one when the next is due is dropped."""
LARGEST_MESSAGE = 4 * 1024
"""Bytes of a client's message at most; it is let by."""
NORMAL = 1000
VERSION = "13"

log = structlog.get_logger()


class SocketHandler(Handler, WebSocketHandler):
    """A follower's WebSocket: of a job, or of one execution."""

    accepts_tickets = True

    _follower: Follower
    _render: Render
    _form = Form.TEXT
    _stream: IOStream | None = None
    _following: asyncio.Task[None] | None = None

    @operation(
        "followLog",
        query={
            "format": Parameter("What a message is: text (unless given), or JSON.", enum((Form.TEXT, Form.JSON))),
            **WISHES,
            **TICKET_QUERY,
        },
        answers={101: Answer("The log as it grows, by WebSocket. The reason of its close is done, or retry.")},
        refusals=(404, 426),
    )
    async def on_get(self, task_id: str, job_id: str, execution_id: str | None = None) -> None:
        """The handshake, and the connection until it is closed."""
        self._check_handshake()
        if not self.context.origins.allows_websocket(self.request):
            raise Problem(403, "a page of another site may not follow logs here; allowed_origins would have to name it")
        if self.query.get("format", "text") not in (Form.TEXT, Form.JSON):
            raise Invalid([Fault("format", 'is neither "text" nor "json"')])
        self._form = Form(self.query.get("format", "text"))
        wish = read_follow_query(self.query)
        self._render = renderer(self._form, wish.stream)
        self._follower = await self.services.followers.follow(task_id, job_id, execution_id, wish)
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
        """Was checked before, by our own rule."""
        return bool(origin)

    def open(self) -> None:
        """The handshake is done."""
        self.set_nodelay(True)
        self._stream = self.ws_connection.stream if self.ws_connection is not None else None
        self._following = asyncio.create_task(self._follow(), name="follower")

    def on_message(self, message: str | bytes) -> None:
        """Nothing."""

    def on_close(self) -> None:
        """The connection is over."""
        if self._following is not None:
            self._following.cancel()

    # the sink

    def encode(self, batch: Batch) -> bytes:
        """See ``streams.follower.Sink``."""
        return batch.rendered(self._render)

    def ready(self) -> bool:
        """Whether the socket has taken all."""
        return self._stream is not None and not self._stream.writing()

    def send(self, data: bytes) -> None:
        """Frames that are built already."""
        if self._stream is not None:
            try:
                self._stream.write(data)
            except StreamClosedError:
                self._stream = None

    async def drained(self, seconds: float) -> bool:
        """Waits for the socket."""
        if self._stream is None:
            raise ConnectionError
        try:
            written = self._stream.write(b"")  # done when all before it is
            await asyncio.wait([written], timeout=seconds)
            return written.done() and written.result() is None
        except StreamClosedError:
            raise ConnectionError from None

    def begin(self, execution: Execution, *, first: bool) -> None:
        """Tells of the next attempt."""
        if self._form is Form.JSON and not first:
            self.send(frame(attempt_json(execution)))

    async def _follow(self) -> None:
        try:
            closing = await self._follower.run(self)
        except Exception:
            log.exception("ws.failed", path=self.request.path)
            return self.close(NORMAL, CloseReason.RETRY.value)
        if closing.reason is CloseReason.GONE:
            return None
        if closing.end is not None and self._form is Form.JSON:
            self.send(frame(end_json(closing.end)))
        return self.close(NORMAL, closing.reason.value)

    def _check_handshake(self) -> None:
        headers = self.request.headers
        upgrade = {"Upgrade": "websocket", "Sec-WebSocket-Version": VERSION}
        if self.request.method != "GET" or headers.get("Upgrade", "").lower() != "websocket":
            words = "this is a WebSocket: connect to it with ws:// or wss://; for plain HTTP there is …/logs?follow=1"
            raise Problem(426, words, headers=upgrade | {"Connection": "Upgrade"})
        if headers.get("Sec-WebSocket-Version") != VERSION:
            raise Problem(426, "this server speaks WebSocket version 13 only", headers=upgrade | {"Connection": "Upgrade"})
        connection = [word.strip().lower() for word in headers.get("Connection", "").split(",")]
        if "upgrade" not in connection or not headers.get("Sec-WebSocket-Key"):
            raise Problem(400, "the handshake lacks Connection: Upgrade or Sec-WebSocket-Key; a proxy may have taken it away")
