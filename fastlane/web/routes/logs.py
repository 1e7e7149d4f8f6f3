"""``…/stdout``, ``…/stderr`` and ``…/logs``, of a job or of one execution: the bytes that the command wrote.

A log is sent in slices, and each slice is read after the one before it was taken. So a client that does not read costs one slice, and is
disconnected after a minute.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
from tornado.websocket import WebSocketHandler

from fastlane.errors import FastlaneError, Fault, Invalid
from fastlane.models.access import Role
from fastlane.models.log import STDERR, STDOUT
from fastlane.services.reads.logs import LogView
from fastlane.services.tickets import Grant
from fastlane.web.api.actions import TICKET, TicketFor
from fastlane.web.api.contract import EVENTS, TEXT, ApiParameter, Response, flag
from fastlane.web.api.follow_query import FOLLOW_QUERY, LOG_QUERY, PART_QUERY, read_follow_query, read_part, wants_follow, wants_timestamps
from fastlane.web.api.json_schema import enum
from fastlane.web.api.log_encoding import LogFormat, TimedLines
from fastlane.web.handler import Handler
from fastlane.web.http.problems import Problem
from fastlane.web.http.query import byte_range, read_flag
from fastlane.web.routes.executions import EXECUTION, JOB
from fastlane.web.routing import RouteAccess, route
from fastlane.web.security.sessions import TICKET as TICKET_NAME
from fastlane.web.streaming.logs import LogFollowing, find_log, finish_head, send_events
from fastlane.web.streaming.websocket import FollowerSocket

SEPARATOR = b"\n-=-\n"

LOG_HEADERS = ("Fastlane-Execution-Id", "Fastlane-Status", "Fastlane-Exit-Code", "Fastlane-Truncated", "Accept-Ranges")
PARTIAL = Response("The part that Range asks for.", media=(TEXT,), headers=(*LOG_HEADERS, "Content-Range"))
STREAM_ANSWERS = {200: Response("The stream so far, byte for byte.", media=(TEXT,), headers=LOG_HEADERS), 206: PARTIAL}

Part = tuple[int | None, int | None]
"""``tail`` (lines) and ``since`` (milliseconds) of a query, None where they are absent. They are read before the log is looked for: they
are just as wrong when there is no log yet."""

log = structlog.get_logger()


@route("GET", (JOB + "/stdout", EXECUTION + "/stdout"), "getStdout", answers=STREAM_ANSWERS, query=PART_QUERY, ranges=True, refusals=(404,))
async def get_stdout(handler: Handler, task_id: str, job_id: str, execution_id: str | None = None) -> None:
    """What it writes to stdout."""
    await send_stream(handler, STDOUT, task_id, job_id, execution_id)


@route("GET", (JOB + "/stderr", EXECUTION + "/stderr"), "getStderr", answers=STREAM_ANSWERS, query=PART_QUERY, ranges=True, refusals=(404,))
async def get_stderr(handler: Handler, task_id: str, job_id: str, execution_id: str | None = None) -> None:
    """What it writes to stderr."""
    await send_stream(handler, STDERR, task_id, job_id, execution_id)


@route(
    "GET",
    (JOB + "/logs", EXECUTION + "/logs"),
    "getLogs",
    query={"interleaved": flag("Both streams in order of arrival."), **LOG_QUERY},
    answers={
        200: Response(
            "stdout, a line -=-, stderr; or the log as it grows; or events of the log, so far or as it grows.",
            media=(TEXT, EVENTS),
            headers=LOG_HEADERS,
        ),
        206: PARTIAL,
        204: Response("For a Last-Event-ID that is the end's: nothing follows."),
    },
    ranges=True,
    refusals=(404, 429),
    more="tail and since apply to each stream; with interleaved or follow, to both together.",
)
async def get_logs(handler: Handler, task_id: str, job_id: str, execution_id: str | None = None) -> None:
    """Both streams' bytes, so far or as they come."""
    interleaved = read_flag(handler.query, "interleaved")
    as_events = handler.accepts(EVENTS)
    if wants_follow(handler.query, as_events=as_events):
        following = LogFollowing(handler, task_id, job_id, execution_id)
        handler.when_gone = following.interrupt
        return await following.answer()
    part = _read_part(handler)
    timed = TimedLines() if wants_timestamps(handler.query, as_events=as_events) else None
    view = await find_log(handler, task_id, job_id, execution_id)
    set_log_headers(handler, view)
    if as_events:
        return await send_events(handler, view)
    await send_sections(handler, view, await _sections(handler, part, view, interleaved=interleaved), timed)


async def send_stream(handler: Handler, stream: int, task_id: str, job_id: str, execution_id: str | None) -> None:
    """Answers with one stream: all of it so far, its last lines, or the output since a moment; or a range of that."""
    part = _read_part(handler)
    view = await find_log(handler, task_id, job_id, execution_id)
    set_log_headers(handler, view)
    await send_sections(handler, view, [await _section(handler, part, view, stream)])


@dataclass(frozen=True, slots=True)
class Section:
    """A part of an answer: the bytes of a stream from ``start`` to ``end``; without a stream, of both in order of arrival; or bytes of
    ``SEPARATOR``."""

    start: int
    end: int
    stream: int | None = None
    is_separator: bool = False

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start


async def _sections(handler: Handler, part: Part, view: LogView, *, interleaved: bool) -> list[Section]:
    """All of an answer with both streams."""
    if interleaved:
        return [await _section(handler, part, view, None)]
    separator = Section(0, len(SEPARATOR), is_separator=True)
    return [await _section(handler, part, view, STDOUT), separator, await _section(handler, part, view, STDERR)]


async def _section(handler: Handler, part: Part, view: LogView, stream: int | None) -> Section:
    """A stream from where ``tail`` and ``since`` let it start, or the whole log in order of arrival (None). Both apply."""
    logs, id, (lines, since) = handler.services.logs, view.execution.id, part
    size = {None: view.head.offset, STDOUT: view.head.stdout, STDERR: view.head.stderr}[stream]
    tail_start = 0 if lines is None else await logs.last_lines(id, stream, size, lines)
    since_start = 0 if since is None else await logs.since(id, stream, since)
    return Section(min(size, max(tail_start, since_start)), size, stream)


def _cut(sections: Sequence[Section], start: int, end: int) -> Iterator[Section]:
    """The sections between two bytes of the answer."""
    place = 0
    for one in sections:
        first, last = max(start - place, 0), min(end - place, one.size)
        if first < last:
            yield replace(one, start=one.start + first, end=one.start + last)
        place += one.size


async def send_sections(handler: Handler, view: LogView, sections: Sequence[Section], timed: TimedLines | None = None) -> None:
    """Sends the sections, or the range of them that the request asks for. With the time before each line, whose length is not known, all of
    them."""
    if timed is None:
        handler.set_header("Accept-Ranges", "bytes")
        sections = list(_cut(sections, *_requested_range(handler, sum(one.size for one in sections))))
    length = None if timed else sum(one.size for one in sections)
    await send_log(handler, _bytes_of(handler, view, sections, timed), length)


async def _bytes_of(handler: Handler, view: LogView, sections: Sequence[Section], timed: TimedLines | None) -> AsyncIterator[bytes]:
    """The bytes of sections, with the time before each line where that is wanted."""
    for one in sections:
        if one.is_separator:
            yield SEPARATOR[one.start : one.end]
            continue
        async for pieces in handler.services.logs.pieces(view.execution.id, one.start, one.end, one.stream):
            yield timed.render(pieces) if timed else b"".join(piece.data for piece in pieces)


async def send_log(handler: Handler, slices: AsyncIterator[bytes], length: int | None) -> None:
    """Sends slices of a log, which are ``length`` bytes in all; None: that is not known yet."""
    handler.set_header("Content-Type", TEXT)
    handler.set_header("Cache-Control", "no-store")
    if length is not None:
        handler.set_header("Content-Length", str(length))
    elif handler.request.method == "HEAD":
        return await finish_head(handler)
    if handler.request.method != "HEAD":
        is_begun = False
        try:
            async for data in slices:
                is_begun = True
                handler.write(data)
                if not await handler.deliver(handler.flush()):
                    return
        except FastlaneError as error:
            if not is_begun:  # the client learns why there is nothing
                raise
            log.warning("http.log.cut", path=handler.request.path, error=str(error))
            handler.disconnect()
            return
    await handler.deliver(handler.finish())


def set_log_headers(handler: Handler, view: LogView) -> None:
    """Sets the headers that name the log's execution, and how that execution ended."""
    execution = view.execution
    handler.set_header("Fastlane-Execution-Id", execution.id)
    handler.set_header("Fastlane-Status", execution.status.value)
    if execution.status.final and execution.exit_code is not None:
        handler.set_header("Fastlane-Exit-Code", str(execution.exit_code))
    if execution.truncated:
        handler.set_header("Fastlane-Truncated", "true")


def _read_part(handler: Handler) -> Part:
    return read_part(handler.query, handler.services.clock.now())


def _requested_range(handler: Handler, size: int) -> tuple[int, int]:
    """Where the requested part of an answer of this size starts and ends, in bytes."""
    conditional = "If-Range" in handler.request.headers  # never matches, since there is no validator to compare
    found = None if conditional else byte_range(handler.request.headers.get("Range"), size)
    if found is None:
        return 0, size
    handler.set_status(206)
    handler.set_header("Content-Range", f"bytes {found[0]}-{found[1] - 1}/{size}")
    return found


TICKET_QUERY: Mapping[str, ApiParameter] = {
    TICKET_NAME: ApiParameter("A ticket from POST …/ws-ticket for this job or execution, instead of a login.", {"type": "string"})
}
"""The query of a route that accepts tickets."""


@route(
    "POST",
    (JOB + "/ws-ticket", EXECUTION + "/ws-ticket"),
    "makeTicket",
    TICKET,
    refusals=(404, 429),
    more="It opens the WebSocket or the page once, within 30 seconds, for a browser, which cannot send a token there.",
    access=RouteAccess(Role.READ),
)
async def make_ticket(handler: Handler, task_id: str, job_id: str, execution_id: str | None = None) -> object:
    """A ticket to follow its log."""
    await handler.services.details.check_exists(task_id, job_id, execution_id)
    tickets, authenticator = handler.services.tickets, handler.context.authenticator
    if authenticator is None or handler.principal is None:
        ticket = tickets.unchecked()
    else:
        ticket = await tickets.create(Grant(authenticator.seal(handler.principal), task_id, job_id, execution_id))
    handler.set_header("Cache-Control", "no-store")
    return TicketFor(ticket, (task_id, job_id, execution_id) if execution_id else (task_id, job_id))


VERSION = "13"
LARGEST_MESSAGE = 4 * 1024
"""Bytes of a client's message, which is ignored; for a larger one the connection is closed."""


class SocketHandler(Handler, WebSocketHandler):
    """The handler that Tornado needs to turn a request into a WebSocket."""

    @property
    def ping_interval(self) -> float | None:
        """None: the sink sends the pings. Tornado would give up a client that has not read up to a ping by the next one."""
        return None

    @property
    def max_message_size(self) -> int:
        """Bytes."""
        return LARGEST_MESSAGE


@route(
    "GET",
    (JOB + "/ws", EXECUTION + "/ws"),
    "followLog",
    query={
        "format": ApiParameter("The format of messages: text (the default) or JSON.", enum((LogFormat.TEXT, LogFormat.JSON))),
        **FOLLOW_QUERY,
        **TICKET_QUERY,
    },
    answers={101: Response("The log as it grows, by WebSocket. The close reason is done or retry.")},
    refusals=(404, 426, 429),
    handler=SocketHandler,
)
async def follow_log(handler: SocketHandler, task_id: str, job_id: str, execution_id: str | None = None) -> None:
    """The handshake, and the connection until it is closed."""
    check_handshake(handler)
    if not handler.context.origins.allows_websocket(handler.request):
        raise Problem(403, "a page of another site may not follow logs here; add its origin to allowed_origins to allow it")
    format = handler.query.get("format", LogFormat.TEXT)
    if format not in (LogFormat.TEXT, LogFormat.JSON):
        raise Invalid([Fault("format", 'is neither "text" nor "json"')])
    start = read_follow_query(handler.query, handler.services.clock.now())
    follower = await handler.services.followers.follow(task_id, job_id, execution_id, start, handler.caller)
    protocol = handler.get_websocket_protocol()
    assert protocol is not None
    await FollowerSocket(handler, protocol, handler.context, follower, LogFormat(format), start.stream).start()
    handler.on_connection_close()  # it is no longer this handler's; or it would wait for the garbage collector


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
