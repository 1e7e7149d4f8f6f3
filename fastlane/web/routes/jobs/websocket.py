"""``…/ws``: a log by WebSocket. Tornado takes the request; after the handshake ``FollowerSocket`` has the connection.

A message is encoded once for all clients that get the same. Of what clients send, only pongs matter. The close reason says what to do:
``done``, or ``retry``.
"""

from tornado.websocket import WebSocketHandler

from fastlane.errors import Fault, Invalid
from fastlane.web.api.contract import Parameter, Response, operation
from fastlane.web.api.follow_query import FOLLOW_QUERY, read_follow_query
from fastlane.web.api.json_schema import enum
from fastlane.web.api.log_encoding import LogFormat
from fastlane.web.handler.handler import Handler
from fastlane.web.http.problems import Problem
from fastlane.web.routes.jobs.tickets import TICKET_QUERY
from fastlane.web.streaming.follower_socket import FollowerSocket

VERSION = "13"
LARGEST_MESSAGE = 4 * 1024
"""Bytes of a client's message, which is ignored; for a larger one the connection is closed."""


class SocketHandler(Handler, WebSocketHandler):
    """The WebSocket that follows a job, or one execution."""

    accepts_tickets = True

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
        follower = await self.services.followers.follow(task_id, job_id, execution_id, start, self.caller)
        protocol = self.get_websocket_protocol()
        assert protocol is not None
        await FollowerSocket(self, protocol, self.context, follower, LogFormat(format), start.stream).start()
        self.on_connection_close()  # it is no longer this handler's; or it would wait for the garbage collector

    # what Tornado asks

    @property
    def ping_interval(self) -> float | None:
        """None: the sink sends the pings. Tornado would give up a client that has not read up to a ping by the next one."""
        return None

    @property
    def max_message_size(self) -> int:
        """Bytes."""
        return LARGEST_MESSAGE


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
