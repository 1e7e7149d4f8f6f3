"""``…/logs`` with ``Accept: text/event-stream`` and without ``follow``: the log so far as server-sent events, as a client asks for it that
tells the streams apart, or wants the time of each piece.

The answer ends where the log ended when the request came. After an execution's end, the last event is ``end``.
"""

import structlog

from fastlane.errors import FastlaneError, Fault, Invalid
from fastlane.models.logs.cursor import Cursor
from fastlane.services.reads.logs import LogView
from fastlane.streams.batch import batch_of, cut, last_batch
from fastlane.streams.follower import FinalState
from fastlane.streams.stored_log import SLICE
from fastlane.web.api.contract import EVENTS
from fastlane.web.api.follow_query import read_follow_query
from fastlane.web.api.log_encoding import encoder
from fastlane.web.handler.handler import Handler
from fastlane.web.streaming.log_following import event_format, last_events

log = structlog.get_logger()


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
    """Where the events begin: after a cursor of this log, or where ``tail`` and ``since`` let it; both apply."""
    id, logs = view.execution.id, handler.services.logs
    if cursor is not None:
        if cursor.execution_id != id or cursor.offset > view.head.offset:
            raise Invalid([Fault("from", "is not a cursor of this log; send one back as a message had it")])
        return cursor
    lines = 0 if tail is None else await logs.last_lines_in_order(id, tail, stream)
    moment = 0 if since is None else await logs.since(id, None, since)
    return Cursor(id, min(view.head.offset, max(lines, moment)))
