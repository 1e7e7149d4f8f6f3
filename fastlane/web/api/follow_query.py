"""The query of a log's reader or follower: whether to follow it, where to begin, which stream, and in which form."""

from collections.abc import Mapping

from fastlane.errors import Fault, Invalid
from fastlane.models.log import MAX_CURSOR, Cursor, read_cursor
from fastlane.streams.follower import StartPosition
from fastlane.web.api.contract import ApiParameter, flag
from fastlane.web.api.json_schema import SINCE, SINCE_WORDS, enum, integer
from fastlane.web.api.log_encoding import STREAMS, LogFormat
from fastlane.web.http.query import read_all, read_flag, read_integer, read_since

MAX_LINES = 1_000_000_000
PART_QUERY = {
    "tail": ApiParameter("Only this many of the last lines; 0 for none.", integer(0, MAX_LINES)),
    "since": ApiParameter(f"Only what was written at or after this time: {SINCE_WORDS}.", SINCE),
}
"""The parameters for a part of a log, or for the beginning of a followed one."""
FOLLOW_ONLY = {
    "from": ApiParameter(
        "Continues after the message with this cursor. Not together with tail or since.", {"type": "string", "maxLength": MAX_CURSOR}
    ),
    "stream": ApiParameter("Only this stream: stdout or stderr; both unless given.", enum(tuple(STREAMS))),
}
FOLLOW_QUERY = {**FOLLOW_ONLY, **PART_QUERY}
TEXT, BASE64 = ENCODINGS = ("text", "base64")
LOG_QUERY = {
    "follow": flag("The log as it grows: as text, or as server-sent events for Accept: text/event-stream."),
    "encoding": ApiParameter("How server-sent events give the log: as text (the default), or its bytes in base64.", enum(ENCODINGS)),
    "timestamps": flag("The time before each line of the text."),
    **FOLLOW_QUERY,
}


def read_part(query: Mapping[str, str], now: int) -> tuple[int | None, int | None]:
    """``tail`` (lines) and ``since`` (milliseconds), each None when it is absent. Raises Invalid with all faults."""
    lines, since = read_all(lambda: read_integer(query, "tail", -1, 0, MAX_LINES), lambda: read_since(query, now))
    return (None if lines < 0 else lines), since


def read_follow_query(query: Mapping[str, str], now: int, last_event: str | None = None) -> StartPosition:
    """``from``, ``stream``, ``tail`` and ``since``. ``last_event`` (the header Last-Event-ID) takes the place of all but ``stream``. Raises
    Invalid with all faults."""
    faults: list[Fault] = []
    cursor: Cursor | None = None
    tail, since = None, None
    try:
        if text := last_event or query.get("from"):
            cursor = read_cursor(text)
    except ValueError as error:
        faults.append(Fault("Last-Event-ID" if last_event else "from", str(error)))
    try:
        tail, since = read_part(query, now)
    except Invalid as error:
        faults += error.faults
    stream = query.get("stream")
    if stream is not None and stream not in STREAMS:
        faults.append(Fault("stream", 'is neither "stdout" nor "stderr"; leave it out for both'))
    for name in PART_QUERY.keys() & query.keys() if "from" in query else ():
        faults.append(Fault(name, "cannot be used together with from; leave one of them out"))
    if faults:
        raise Invalid(faults)
    number = STREAMS.get(stream or "")
    return StartPosition(cursor, stream=number) if cursor else StartPosition(None, tail, number, since)


def wants_follow(query: Mapping[str, str], *, as_events: bool) -> bool:
    """Whether the query asks to follow the log. Raises Invalid for parameters that mean something only then, or only in events."""
    follow = read_flag(query, "follow")
    alone = set() if follow or as_events else FOLLOW_ONLY.keys() & query.keys()
    faults = [Fault(name, "needs follow=1") for name in sorted(alone)]
    if "encoding" in query and not as_events:
        faults.append(Fault("encoding", "needs the header Accept: text/event-stream; text is the log byte for byte"))
    if faults:
        raise Invalid(faults)
    return follow


def wants_timestamps(query: Mapping[str, str], *, as_events: bool) -> bool:
    """Whether the query asks for the time before each line. Raises Invalid for events, which have times anyway."""
    timestamps = read_flag(query, "timestamps")
    if timestamps and as_events:
        raise Invalid([Fault("timestamps", "is for text; each event has its time")])
    return timestamps


def event_format(query: Mapping[str, str]) -> LogFormat:
    """The format of the server-sent events that the query asks for."""
    encoding = query.get("encoding", TEXT)
    if encoding not in ENCODINGS:
        raise Invalid([Fault("encoding", 'is neither "text" nor "base64"')])
    return LogFormat.EVENTS if encoding == TEXT else LogFormat.BYTE_EVENTS
