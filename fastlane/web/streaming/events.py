"""Answers with server-sent events. ``EventFollowing`` answers ``/events?follow=1`` with events as they happen; the id of each is the cursor
from which a browser continues. ``send_events`` answers with the events of a log so far.

Events are read from the store as the client takes them, so a client that reads slowly costs one page of events; a client that takes nothing
for a minute is disconnected.
"""

import asyncio
from collections.abc import Sequence

import structlog

from fastlane.errors import FastlaneError, Fault, Invalid
from fastlane.models.event import Event, EventFilter, Position, at, read_cursor
from fastlane.models.log import Cursor
from fastlane.services.reads.logs import LogView
from fastlane.streams.batch import batch_of, cut, last_batch
from fastlane.streams.follower import FinalState
from fastlane.streams.reader import SLICE
from fastlane.web.api.contract import EVENTS
from fastlane.web.api.events import EVENT
from fastlane.web.api.follow_query import read_follow_query
from fastlane.web.api.log_encoding import EVENT_PING, encoder, server_sent_event
from fastlane.web.handler import Handler
from fastlane.web.streaming.logs import PING_EVERY, RECONNECT_AFTER, event_format, keep_alive, last_events

POLL = 0.5
"""Seconds between two checks for events."""
AT_ONCE = 100
"""Events that are sent together."""
END = server_sent_event("end", b'{"reason":"retry"}')

log = structlog.get_logger()


class EventFollowing:
    """Answers one request with events as they happen."""

    def __init__(self, handler: Handler, wanted: EventFilter, since: int | None) -> None:
        self._handler = handler
        self._wanted = wanted
        self._since = since
        self._gone = asyncio.Event()
        self._caller = handler.caller

    def interrupt(self) -> None:
        """Ends the stream, because the client has gone."""
        self._gone.set()

    async def answer(self) -> None:
        """Sends events until the client is gone or may not see them any more, or the server ends."""
        handler = self._handler
        position = self._beginning()
        with handler.services.event_feeds.entered(self._caller, self._gone):
            handler.set_header("Content-Type", EVENTS)
            handler.set_header("X-Accel-Buffering", "no")
            if handler.request.method != "HEAD":
                keep_alive(handler)
                handler.write(b"retry: %d\n\n" % RECONNECT_AFTER)
                if not await handler.deliver(handler.flush()) or not await self._send(position):
                    return
                handler.write(END)
            else:
                await handler.deliver(handler.flush())  # or Tornado would add a Content-Length of 0
            await handler.deliver(handler.finish())

    def _beginning(self) -> Position:
        """The beginning of the stream: after the last event that the client got, from ``since`` on, or from now on."""
        handler = self._handler
        header = handler.request.headers.get("Last-Event-ID")
        text = header or handler.query.get("from")
        if text:
            try:
                return read_cursor(text)
            except ValueError as error:
                raise Invalid([Fault("Last-Event-ID" if header else "from", str(error))]) from None
        return handler.services.event_reader.position_now() if self._since is None else at(self._since)

    async def _send(self, position: Position) -> bool:
        """Sends events. Returns whether the client is still there at the end."""
        handler, silent_since = self._handler, asyncio.get_running_loop().time()
        while self._may_go_on():
            events: Sequence[Event] = ()
            try:
                events, position = await handler.services.event_reader.following(self._wanted, position, AT_ONCE)
            except FastlaneError as error:
                log.debug("http.events.waiting", error=str(error))
            now = asyncio.get_running_loop().time()
            if events or now - silent_since > PING_EVERY:
                handler.write(b"".join(map(self._encoded, events)) or EVENT_PING)
                if not await handler.deliver(handler.flush()):
                    return False
                silent_since = now
            if not events:
                await self._pause()
        return True

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL):
                await self._gone.wait()
        except TimeoutError:
            return

    def _may_go_on(self) -> bool:
        """Whether the client is there, and its login still has the rights that it began with."""
        handler = self._handler
        authenticator, principal = handler.context.authenticator, handler.principal
        if self._gone.is_set():
            return False
        if authenticator is None or principal is None or self._caller is None:
            return True
        return authenticator.principal_of(self._caller) == principal

    def _encoded(self, event: Event) -> bytes:
        data = self._handler.encode(EVENT.serialize(event, self._handler.render_context))
        return server_sent_event("event", data, event.position)


async def send_events(handler: Handler, view: LogView) -> None:
    """Answers with the events of a log so far."""
    start = read_follow_query(handler.query, handler.services.clock.now(), handler.request.headers.get("Last-Event-ID"))
    encode = encoder(event_format(handler.query), start.stream)
    cursor = await _beginning(handler, view, start.cursor, start.tail, start.since, start.stream)
    handler.set_header("Cache-Control", "no-store")
    handler.set_header("Vary", "Accept, Accept-Encoding, Origin")
    if cursor.ended:
        handler.set_status(204)  # tells a browser not to reconnect
        await handler.deliver(handler.finish())
        return
    handler.set_header("Content-Type", EVENTS)
    if handler.request.method == "HEAD":
        await handler.deliver(handler.flush())  # or Tornado would add a Content-Length of 0
        await handler.deliver(handler.finish())
        return
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


async def _beginning(
    handler: Handler, view: LogView, cursor: Cursor | None, tail: int | None, since: int | None, stream: int | None
) -> Cursor:
    """The offset where the events begin: after a cursor of this log, or where ``tail`` and ``since`` allow; both apply."""
    id, logs = view.execution.id, handler.services.logs
    if cursor is not None:
        if cursor.execution_id != id or cursor.offset > view.head.offset:
            raise Invalid([Fault("from", "is not a cursor of this log; send one back as a message had it")])
        return cursor
    lines = 0 if tail is None else await logs.last_lines_in_order(id, tail, stream)
    moment = 0 if since is None else await logs.since(id, None, since)
    return Cursor(id, min(view.head.offset, max(lines, moment)))
