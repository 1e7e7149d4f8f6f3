"""``…/logs?follow=1``: a log over plain HTTP as it grows, as chunked text (``curl -N``) or as server-sent events.

Text ends when the last attempt has ended; when it cannot go on before that, the connection is cut, so that a client sees that this is not
the end. An event stream says so by its last event, and the browser resumes by itself.
"""

import asyncio
import socket
from abc import abstractmethod
from collections.abc import Mapping

from tornado.concurrent import Future
from tornado.http1connection import HTTP1Connection
from tornado.iostream import IOStream, StreamClosedError

from fastlane.errors import Fault, Invalid
from fastlane.models.execution import Execution
from fastlane.streams.batch import Batch
from fastlane.streams.follower import CloseReason, Closing, Follower, StartPosition
from fastlane.web.api.contract import flag
from fastlane.web.api.follow_query import NAMES, WISHES, read_follow_query
from fastlane.web.http.frames import PING, Form, attempt_json, end_json, renderer, server_sent
from fastlane.web.http.handler import Handler
from fastlane.web.http.query import read_flag

PING_EVERY = 20.0
"""Seconds between comments in an event stream."""
AGAIN_AFTER = 5_000
"""Milliseconds after which a browser is to reconnect."""
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Text has no pings: the kernel asks after a peer that says nothing (seconds, seconds, times)."""
FOLLOWING = {"follow": flag("The log as it grows: text, or server-sent events for Accept: text/event-stream."), **WISHES}


def read_follow(query: Mapping[str, str]) -> bool:
    """Whether the log is to be followed. Raises Invalid for what means something only then."""
    follow = read_flag(query, "follow")
    if not follow and (alone := NAMES & query.keys()):
        raise Invalid([Fault(name, "is for a log that is followed; add follow=1") for name in sorted(alone)])
    return follow


class FollowHandler(Handler):
    """What the route of logs does to follow one."""

    _follower: Follower | None = None

    def on_connection_close(self) -> None:
        """The client has gone."""
        if self._follower is not None:
            self._follower.interrupt()
        super().on_connection_close()

    async def follow(self, task_id: str, job_id: str, execution_id: str | None) -> None:
        """Answers with the log as it grows."""
        wants_events = "text/event-stream" in self.request.headers.get("Accept", "").lower()
        wish = read_follow_query(self.query, self.request.headers.get("Last-Event-ID") if wants_events else None)
        follower = self._follower = await self.services.followers.follow(task_id, job_id, execution_id, wish)
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")
        self.set_header("Vary", "Accept, Accept-Encoding, Origin")
        if wants_events and wish.cursor is not None and wish.cursor.ended:
            self.set_status(204)
            await self.deliver(self.finish())
            return
        outlet = Events(self, wish) if wants_events else Text(self, wish)
        self.set_header("Content-Type", outlet.media)
        if execution_id is not None:
            self.set_header("Fastlane-Execution-Id", execution_id)
        if self.request.method == "HEAD":
            await self.deliver(self.finish())
            return
        self._keep_alive()
        await self._run(follower, outlet, task_id, job_id, execution_id)

    async def _run(self, follower: Follower, outlet: "Outlet", task_id: str, job_id: str, execution_id: str | None) -> None:
        outlet.open()
        try:
            closing = await follower.run(outlet)
        finally:
            outlet.close()
        if closing.reason is CloseReason.GONE:
            return
        if not outlet.end(closing):
            self.disconnect()
        elif not closing.started and not self._headers_written:
            await self._unsent(task_id, job_id, execution_id)
        else:
            await self.deliver(self.finish())

    async def _unsent(self, task_id: str, job_id: str, execution_id: str | None) -> None:
        """Nothing was sent: answers as the log that is not followed does, which refuses when nothing has started, and is empty when what
        there was ended before its start. What has started at this very moment is followed after all."""
        queries = self.services.queries
        if execution_id is None:
            view = await queries.log_of_job(task_id, job_id)
        else:
            view = await queries.log_of_execution(task_id, job_id, execution_id)
        if view.execution.has_started:
            return await self.follow(task_id, job_id, execution_id)
        self.set_header("Fastlane-Execution-Id", view.execution.id)
        await self.deliver(self.finish())
        return None

    def _keep_alive(self) -> None:
        connection = self.request.connection
        if not isinstance(connection, HTTP1Connection) or not isinstance(connection.stream, IOStream):
            return
        sock = connection.stream.socket
        connection.stream.set_nodelay(True)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Outlet:
    """An answer under way, as the sink of a follower."""

    media: str
    form: Form

    def __init__(self, handler: FollowHandler, wish: StartPosition) -> None:
        self._handler = handler
        self._render = renderer(self.form, wish.stream)
        self._written: Future[None] = Future()
        self._written.set_result(None)

    def open(self) -> None:
        """The follower begins to run."""

    def close(self) -> None:
        """It has ended."""

    @abstractmethod
    def end(self, closing: Closing) -> bool:
        """Sends the last words; False when the connection is to be cut instead."""

    def encode(self, batch: Batch) -> bytes:
        """See ``streams.follower.Sink``."""
        return batch.rendered(self._render)

    def ready(self) -> bool:
        """Whether the connection has taken all."""
        return self._written.done()

    def send(self, data: bytes) -> None:
        """A chunk; what was not taken yet is sent before it."""
        self._handler.write(data)
        self._written = self._handler.flush()

    async def drained(self, seconds: float) -> bool:
        """Waits for the connection."""
        await asyncio.wait([self._written], timeout=seconds)
        if not self._written.done():
            return False
        if isinstance(self._written.exception(), StreamClosedError):
            raise ConnectionError
        return True

    def begin(self, execution: Execution, *, first: bool) -> None:
        """An attempt begins."""


class Text(Outlet):
    """Bytes as the command wrote them."""

    media = "text/plain; charset=utf-8"
    form = Form.BYTES

    def begin(self, execution: Execution, *, first: bool) -> None:
        """The head of the answer goes out with the first attempt."""
        if first:
            self._handler.set_header("Fastlane-Execution-Id", execution.id)
            self._written = self._handler.flush()

    def end(self, closing: Closing) -> bool:
        """There is no word for an end in text but that it ends."""
        return closing.reason is CloseReason.DONE or not closing.started


class Events(Outlet):
    """Server-sent events."""

    media = "text/event-stream"
    form = Form.EVENTS
    _pinging: asyncio.Task[None] | None = None

    def open(self) -> None:
        """The head of the answer, and when to come again."""
        self.send(b"retry: %d\n\n" % AGAIN_AFTER)
        self._pinging = asyncio.create_task(self._ping(), name="pings of an event stream")

    def close(self) -> None:
        """No more pings."""
        if self._pinging is not None:
            self._pinging.cancel()

    def begin(self, execution: Execution, *, first: bool) -> None:
        """Tells of the next attempt."""
        if not first:
            self.send(server_sent("attempt", attempt_json(execution)))

    def end(self, closing: Closing) -> bool:
        """The last event; a stream that ends without one is resumed."""
        if closing.end is not None:
            self.send(server_sent("end", end_json(closing.end), closing.end.cursor))
        return True

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_EVERY)
            if self.ready():
                self.send(PING)
