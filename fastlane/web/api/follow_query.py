"""What a follower of a log asks for in its query: where to begin, and which stream."""

from collections.abc import Mapping

from fastlane.errors import Fault, Invalid
from fastlane.models.logs.cursor import MAX_CURSOR, Cursor, read_cursor
from fastlane.streams.follower import StartPosition
from fastlane.web.api.contract import Parameter
from fastlane.web.api.json_schema import enum, integer
from fastlane.web.api.log_encoding import STREAMS
from fastlane.web.http.query import read_integer

MAX_LINES = 1_000_000_000
FOLLOW_QUERY = {
    "from": Parameter("Continues after this cursor of a message; not together with tail.", {"type": "string", "maxLength": MAX_CURSOR}),
    "stream": Parameter("Only stdout, or only stderr.", enum(tuple(STREAMS))),
    "tail": Parameter("Starts with this many of the last lines.", integer(0, MAX_LINES)),
}


def read_follow_query(query: Mapping[str, str], last_event: str | None = None) -> StartPosition:
    """``from``, ``stream`` and ``tail``. ``last_event`` (the header Last-Event-ID) takes the place of ``from`` and ``tail``. Raises Invalid
    with all faults."""
    faults: list[Fault] = []
    cursor: Cursor | None = None
    tail: int | None = None
    try:
        if text := last_event or query.get("from"):
            cursor = read_cursor(text)
    except ValueError as error:
        faults.append(Fault("Last-Event-ID" if last_event else "from", str(error)))
    try:
        tail = read_integer(query, "tail", 0, 0, MAX_LINES) if "tail" in query else None
    except Invalid as error:
        faults += error.faults
    stream = query.get("stream")
    if stream is not None and stream not in STREAMS:
        faults.append(Fault("stream", 'is neither "stdout" nor "stderr"; leave it out for both'))
    if "from" in query and "tail" in query:
        faults.append(Fault("tail", "cannot be used together with from; leave one of them out"))
    if faults:
        raise Invalid(faults)
    return StartPosition(cursor, None if cursor else tail, STREAMS.get(stream or ""))
