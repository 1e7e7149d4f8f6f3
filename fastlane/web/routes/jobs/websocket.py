"""``…/ws``: a log by WebSocket, on Tornado's own handler.

A message is encoded once for all clients that get the same. Of what clients send, only pongs matter. The close reason says what to do:
``done``, or ``retry``.
"""

import asyncio

import structlog
from tornado.websocket import WebSocketHandler

from fastlane.errors import Fault, Invalid
from fastlane.streams.follower import CloseReason, Follower
from fastlane.streams.followers import SLOW_AFTER
from fastlane.web.api.contract import Parameter, Response, operation
from fastlane.web.api.follow_query import FOLLOW_QUERY, read_follow_query
from fastlane.web.api.json_schema import enum
from fastlane.web.api.log_encoding import LogFormat
from fastlane.web.handler.handler import Handler
from fastlane.web.http.problems import Problem
from fastlane.web.routes.jobs.tickets import TICKET_QUERY
from fastlane.web.streaming.log_lookup import failure_words
from fastlane.web.streaming.websocket_sink import SocketSink

PING_EVERY = 20.0
"""Seconds between pings while nothing else is sent."""
LOST_PINGS = 3
"""A client that has nothing left to read, and does not answer for as long as so many pings take, is disconnected. One that still has
something to read has ``SLOW_AFTER`` seconds for each answer."""
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
    _sink: SocketSink | None = None
    _following: asyncio.Task[None] | None = None
    _watching: asyncio.Task[None] | None = None

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
        start = read_follow_query(self.query, self.services.clock.now())
        self._format, self._stream = LogFormat(format), start.stream
        self._follower = await self.services.followers.follow(task_id, job_id, execution_id, start, self.caller)
        try:
            await WebSocketHandler.get(self)
        finally:
            if tasks := [task for task in (self._following, self._watching) if task is not None]:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    # what Tornado asks and calls

    @property
    def ping_interval(self) -> float | None:
        """None: the sink sends the pings. Tornado would give up a client that has not read up to a ping by the next one."""
        return None

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
        sink = self._sink = SocketSink(connection, self._format, self._stream)
        self._following = asyncio.create_task(self._follow(sink), name="follower")
        self._watching = asyncio.create_task(self._watch(sink), name="pings of a follower")

    def on_message(self, message: str | bytes) -> None:
        """Ignores the message."""

    def on_pong(self, data: bytes) -> None:
        """The client has read up to a ping."""
        if self._sink is not None:
            self._sink.on_pong(data)

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
            words = None if closing.end.failed is None else failure_words(self, closing.end.failed)
            sink.end(closing.end, words)
        return self.close(NORMAL_CLOSURE, closing.reason.value)

    async def _watch(self, sink: SocketSink) -> None:
        """Sends pings while nothing else is sent, and gives up a client that answers none."""
        while True:
            await asyncio.sleep(PING_EVERY)
            silent = sink.silent_for()
            if not silent:
                sink.ping()
            elif silent >= (LOST_PINGS * PING_EVERY if sink.caught_up else SLOW_AFTER):
                self._follower.interrupt()


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
