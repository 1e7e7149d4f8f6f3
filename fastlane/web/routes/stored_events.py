"""``…/logs`` with ``Accept: text/event-stream`` and without ``follow``: the log so far as server-sent events, as a client asks for it that
tells the streams apart, or wants the time of each piece.

The answer ends where the log ended when the request came. After an execution's end, the last event is ``end``.
"""

import structlog

from fastlane.errors import FastlaneError, Fault, Invalid
from fastlane.models.logs.cursor import Cursor
from fastlane.services.reads.logs import LogView
from fastlane.streams.batch import batch_of, last_batch
from fastlane.streams.follower import FinalState
from fastlane.web.api.contract import EVENTS
from fastlane.web.api.follow_query import read_follow_query
from fastlane.web.api.log_encoding import encoder, end_event, server_sent_event
from fastlane.web.handler.handler import Handler
from fastlane.web.routes.log_following import event_format

log = structlog.get_logger()


async def send_events(handler: Handler, view: LogView) -> None:
    """Answers with the events of a log so far."""
    start = read_follow_query(handler.query, handler.services.clock.now(), handler.request.headers.get("Last-Event-ID"))
    encode = encoder(event_format(handler.query), start.stream)
    cursor = await _beginning(handler, view, start.cursor, start.tail, start.since, start.stream)
    handler.set_header("Content-Type", EVENTS)
    handler.set_header("Cache-Control", "no-store")
    handler.set_header("Vary", "Accept, Accept-Encoding, Origin")
    if handler.request.method == "HEAD":
        await handler.deliver(handler.flush())  # or Tornado would add a Content-Length of 0
        await handler.deliver(handler.finish())
        return
    try:
        async for pieces in handler.services.logs.pieces(view.execution.id, cursor.offset, view.head.offset):
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
        end = FinalState(execution.status.value, execution.exit_code, Cursor(execution.id, view.head.offset, ended=True))
        handler.write(server_sent_event("end", end_event(end), end.cursor))
    await handler.deliver(handler.finish())


async def _beginning(
    handler: Handler, view: LogView, cursor: Cursor | None, tail: int | None, since: int | None, stream: int | None
) -> Cursor:
    """Where the events begin: after a cursor of this log, or where ``tail`` and ``since`` let it; both apply."""
    id, logs = view.execution.id, handler.services.logs
    if cursor is not None:
        if cursor.execution_id != id or cursor.offset > view.head.offset:
            raise Invalid([Fault("from", "is not a cursor of this log; send one back as a message had it")])
        return cursor
    lines = 0 if tail is None else await logs.last_lines_in_order(id, tail, stream)
    moment = 0 if since is None else await logs.since(id, None, since)
    return Cursor(id, min(view.head.offset, max(lines, moment)))
