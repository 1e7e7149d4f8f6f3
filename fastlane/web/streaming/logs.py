"""``…/logs?follow=1``: sends a log over plain HTTP as it grows, as chunked text (``curl -N``) or as server-sent events. ``LogFollowing``
answers the request through a ``TextSink`` or an ``EventSink``; ``send_events`` answers with the events of a log so far.

Text ends when the last attempt has ended. If it has to end earlier, the connection is closed without the last chunk, so that the client
sees that the text is incomplete. An incomplete event stream lacks its last event, and browsers resume it by themselves.
"""

import asyncio
import socket
from abc import ABC, abstractmethod

import structlog
from tornado.concurrent import Future
from tornado.http1connection import HTTP1Connection
from tornado.iostream import IOStream, StreamClosedError

from fastlane.errors import FastlaneError, Fault, Invalid
from fastlane.models.job import Execution
from fastlane.models.log import Cursor
from fastlane.services.reads.logs import LogView
from fastlane.streams.batch import Batch, batch_of, cut, last_batch
from fastlane.streams.follower import CloseReason, Closing, FinalState, Follower, StartPosition
from fastlane.streams.reader import SLICE
from fastlane.web.api.contract import EVENTS
from fastlane.web.api.follow_query import event_format, read_follow_query, wants_timestamps
from fastlane.web.api.log_encoding import (
    EVENT_PING,
    LogFormat,
    TimedLines,
    attempt_event,
    encoder,
    end_event,
    failure_event,
    server_sent_event,
)
from fastlane.web.api.serializer import RenderContext
from fastlane.web.handler import VARY, Handler


async def find_log(handler: Handler, task_id: str, job_id: str, execution_id: str | None) -> LogView:
    """The log of an execution or, without one, of the job's newest execution that has started. Raises NotFound or NotStarted."""
    if execution_id is None:
        return await handler.services.logs.of_job(task_id, job_id)
    return await handler.services.logs.of_execution(task_id, job_id, execution_id)


def failure_words(context: RenderContext, execution: Execution) -> str:
    """The reason for an execution's failure, without the secrets that the message may quote."""
    failure = execution.failure
    return "" if failure is None else context.redaction.message(failure.message, execution.spec.variables)


RECONNECT_AFTER = 5_000
"""Milliseconds after which a browser reconnects."""
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""TCP keepalive (seconds, seconds, times) finds dead peers of text, which has no pings."""

log = structlog.get_logger()


async def finish_head(handler: Handler) -> None:
    """Ends the answer to a HEAD whose GET has no Content-Length. Tornado would add one of 0 if the headers were not sent first."""
    await handler.deliver(handler.flush())
    await handler.deliver(handler.finish())


def last_events(handler: Handler, end: FinalState) -> bytes:
    """The last server-sent events of a log: why it failed, if it wrote nothing, and its end."""
    failure = b""
    if end.failed is not None and end.failed.failure is not None:
        failure = server_sent_event("failure", failure_event(end.failed.failure.reason, failure_words(handler.render_context, end.failed)))
    return failure + server_sent_event("end", end_event(end), end.cursor)


class LogFollowing:
    """Answers one request with a log as it grows."""

    def __init__(self, handler: Handler, task_id: str, job_id: str, execution_id: str | None) -> None:
        self._handler = handler
        self._ids = task_id, job_id, execution_id
        self._follower: Follower | None = None

    def interrupt(self) -> None:
        """Stops following, because the client has gone."""
        if self._follower is not None:
            self._follower.interrupt()

    async def answer(self) -> None:
        """Follows the log until it ends, or the client is gone."""
        handler, headers = self._handler, self._handler.request.headers
        as_events = handler.accepts(EVENTS)
        format = event_format(handler.query)
        timed = wants_timestamps(handler.query, as_events=as_events)
        now = handler.services.clock.now()
        start = read_follow_query(handler.query, now, headers.get("Last-Event-ID") if as_events else None)
        follower = self._follower = await handler.services.followers.follow(*self._ids, start, handler.caller, patient=True)
        self._set_headers()
        if as_events and start.cursor is not None and start.cursor.ended:
            handler.set_status(204)  # tells a browser not to reconnect
            await handler.deliver(handler.finish())
            return
        sink = EventSink(handler, format, start.stream) if as_events else TextSink(handler, start.stream, timed=timed)
        handler.set_header("Content-Type", sink.media)
        if handler.request.method == "HEAD":
            return await finish_head(handler)
        keep_alive(handler)
        await self._send(follower, sink)

    def _set_headers(self) -> None:
        handler, (_, _, execution_id) = self._handler, self._ids
        handler.set_header("Cache-Control", "no-store")
        handler.set_header("X-Accel-Buffering", "no")
        handler.set_header("Vary", VARY)
        if execution_id is not None:
            handler.set_header("Fastlane-Execution-Id", execution_id)

    async def _send(self, follower: Follower, sink: "ResponseSink") -> None:
        sink.open()
        try:
            closing = await follower.run(sink)
        finally:
            sink.close()
        if closing.reason is CloseReason.GONE:
            return
        if not sink.end(closing):
            self._handler.disconnect()
        elif not closing.started and not sink.begun:
            await self._answer_unstarted()
        else:
            await self._handler.deliver(self._handler.finish())

    async def _answer_unstarted(self) -> None:
        """Answers as the route does without ``follow``: with a refusal. An execution that has just started is followed after all."""
        await find_log(self._handler, *self._ids)
        await self.answer()


class ResponseSink(ABC):
    """A chunked answer, as the sink of a follower. ``begun``: whether a part of it was sent, even if only its headers."""

    media: str

    def __init__(self, handler: Handler, format: LogFormat, stream: int | None) -> None:
        self._handler = handler
        self._encode = encoder(format, stream)
        self._written: Future[None] = Future()
        self._written.set_result(None)
        self.begun = False

    @abstractmethod
    def open(self) -> None:
        """Prepares the answer when the follower starts."""

    @abstractmethod
    def close(self) -> None:
        """Cleans up when the follower has ended."""

    @abstractmethod
    def begin(self, execution: Execution, *, first: bool) -> None:
        """See ``streams.follower.Sink``."""

    @abstractmethod
    def end(self, closing: Closing) -> bool:
        """Sends the last part. Returns False if the connection must be closed without the last chunk."""

    def encode(self, batch: Batch) -> bytes:
        """See ``streams.follower.Sink``."""
        return batch.rendered(self._encode)

    def ready(self) -> bool:
        """Whether the connection has taken everything."""
        return self._written.done()

    def send(self, data: bytes) -> None:
        """Sends a chunk, after what the connection has not taken yet."""
        self._handler.write(data)
        self._flush()

    async def drained(self, seconds: float) -> bool:
        """Waits for the connection."""
        await asyncio.wait([self._written], timeout=seconds)
        if not self._written.done():
            return False
        if isinstance(self._written.exception(), StreamClosedError):
            raise ConnectionError
        return True

    async def finished(self, seconds: float) -> bool:
        """Waits for the connection."""
        return await self.drained(seconds)

    def _flush(self) -> None:
        self.begun = True
        self._written = self._handler.flush()


class TextSink(ResponseSink):
    """Sends the bytes that the command wrote, or the failure's message for an execution that wrote nothing and failed."""

    media = "text/plain; charset=utf-8"
    _wrote = False

    def __init__(self, handler: Handler, stream: int | None, *, timed: bool) -> None:
        super().__init__(handler, LogFormat.BYTES, stream)
        self._stream = stream
        self._lines = TimedLines() if timed else None

    def encode(self, batch: Batch) -> bytes:
        """The bytes of the batch, with the time before each line where that is wanted: then each follower has a text of its own."""
        if self._lines is None:
            return super().encode(batch)
        return self._lines.render(piece for piece in batch.pieces if self._stream is None or piece.stream == self._stream)

    def open(self) -> None:
        """Sends nothing yet: the answer's headers name the execution."""

    def close(self) -> None:
        """Does nothing: there is nothing to close."""

    def send(self, data: bytes) -> None:
        """Sends a part of the log."""
        self._wrote = True
        super().send(data)

    def begin(self, execution: Execution, *, first: bool) -> None:
        """Sends the answer's headers with the first attempt."""
        if first:
            self._handler.set_header("Fastlane-Execution-Id", execution.id)
            self._flush()

    def end(self, closing: Closing) -> bool:
        """Sends nothing: in text, only a complete answer shows that the log has ended."""
        if closing.end is not None and closing.end.failed is not None and not self._wrote:
            if not self.begun:
                self._handler.set_header("Fastlane-Execution-Id", closing.end.failed.id)
            self.send(failure_words(self._handler.render_context, closing.end.failed).encode() + b"\n")
        return closing.reason is CloseReason.DONE or not closing.started


class EventSink(ResponseSink):
    """Server-sent events. A comment between them, as often as a WebSocket's ping, reveals a dead peer."""

    media = "text/event-stream"

    def open(self) -> None:
        """Sends the answer's headers, and when to reconnect."""
        self.send(b"retry: %d\n\n" % RECONNECT_AFTER)
        self._handler.context.traffic.heartbeats.start(self._beat)

    def close(self) -> None:
        """Stops the pings."""
        self._handler.context.traffic.heartbeats.stop(self._beat)

    def begin(self, execution: Execution, *, first: bool) -> None:
        """Announces a further attempt."""
        if not first:
            self.send(server_sent_event("attempt", attempt_event(execution)))

    def end(self, closing: Closing) -> bool:
        """Sends the last event. Browsers resume a stream that ends without one."""
        if closing.end is not None:
            self.send(last_events(self._handler, closing.end))
        return True

    def _beat(self) -> None:
        if self.ready():
            self.send(EVENT_PING)


def keep_alive(handler: Handler) -> None:
    """Makes the connection detect a dead peer."""
    connection = handler.request.connection
    if not isinstance(connection, HTTP1Connection) or not isinstance(connection.stream, IOStream):
        return
    sock = connection.stream.socket
    connection.stream.set_nodelay(True)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def send_events(handler: Handler, view: LogView) -> None:
    """Answers with the events of a log so far."""
    start = read_follow_query(handler.query, handler.services.clock.now(), handler.request.headers.get("Last-Event-ID"))
    encode = encoder(event_format(handler.query), start.stream)
    cursor = await _beginning(handler, view, start)
    handler.set_header("Cache-Control", "no-store")
    handler.set_header("Vary", VARY)
    if cursor.ended:
        handler.set_status(204)  # tells a browser not to reconnect
        await handler.deliver(handler.finish())
        return
    handler.set_header("Content-Type", EVENTS)
    if handler.request.method == "HEAD":
        return await finish_head(handler)
    try:
        async for part in handler.services.logs.pieces(view.execution.id, cursor.offset, view.head.offset):
            for pieces in cut(part, SLICE):
                batch = batch_of(cursor, pieces)
                handler.write(encode(batch))
                if not await handler.deliver(handler.flush()):
                    return
                cursor = batch.end
    except FastlaneError as error:
        log.warning("http.log.cut", path=handler.request.path, error=str(error))
        handler.disconnect()
        return
    execution = view.execution
    if execution.status.final:
        handler.write(encode(last_batch(cursor, handler.services.clock.now() * 1_000_000)))
        handler.write(last_events(handler, _final_state(view)))
    await handler.deliver(handler.finish())


def _final_state(view: LogView) -> FinalState:
    execution, offset = view.execution, view.head.offset
    failed = None if execution.failure is None or offset else execution
    return FinalState(execution.status.value, execution.exit_code, Cursor(execution.id, offset, ended=True), failed)


async def _beginning(handler: Handler, view: LogView, start: StartPosition) -> Cursor:
    """The offset where the events begin: after a cursor of this log, or where ``tail`` and ``since`` allow; both apply."""
    id, logs, cursor = view.execution.id, handler.services.logs, start.cursor
    if cursor is not None:
        if cursor.execution_id != id or cursor.offset > view.head.offset:
            raise Invalid([Fault("from", "is not a cursor of this log; send one back as a message had it")])
        return cursor
    lines = 0 if start.tail is None else await logs.last_lines_in_order(id, start.tail, start.stream)
    moment = 0 if start.since is None else await logs.since(id, None, start.since)
    return Cursor(id, min(view.head.offset, max(lines, moment)))
