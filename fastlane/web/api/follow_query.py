"""The query of a log's reader or follower: where to begin, and which stream; and text with a time before each line."""

from collections.abc import Iterable, Mapping

from fastlane.clock import iso
from fastlane.errors import Fault, Invalid
from fastlane.models.log import MAX_CURSOR, STDERR, STDOUT, Cursor, Piece, read_cursor
from fastlane.streams.follower import StartPosition
from fastlane.web.api.contract import Parameter
from fastlane.web.api.json_schema import SINCE, SINCE_WORDS, enum, integer
from fastlane.web.api.log_encoding import STREAMS
from fastlane.web.http.query import read_all, read_integer, read_since

MAX_LINES = 1_000_000_000
PART_QUERY = {
    "tail": Parameter("Only this many of the last lines; 0 for none.", integer(0, MAX_LINES)),
    "since": Parameter(f"Only what was written at or after this time: {SINCE_WORDS}.", SINCE),
}
"""The parameters for a part of a log, or for the beginning of a followed one."""
FOLLOW_ONLY = {
    "from": Parameter(
        "Continues after the message with this cursor. Not together with tail or since.", {"type": "string", "maxLength": MAX_CURSOR}
    ),
    "stream": Parameter("Only this stream: stdout or stderr; both unless given.", enum(tuple(STREAMS))),
}
FOLLOW_QUERY = {**FOLLOW_ONLY, **PART_QUERY}


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


class TimedLines:
    """One text. It remembers of each stream whether its next byte begins a line."""

    def __init__(self) -> None:
        self._begins = {STDOUT: True, STDERR: True}

    def render(self, pieces: Iterable[Piece]) -> bytes:
        """The pieces, with the time of the piece and a space before each line that begins in it."""
        return b"".join(map(self._piece, pieces))

    def _piece(self, piece: Piece) -> bytes:
        if not piece.data:
            return b""
        time = iso(piece.time // 1_000_000).encode() + b" "
        *lines, rest = piece.data.split(b"\n")
        text = (b"\n" + time).join(lines) + b"\n" if lines else b""
        text += time + rest if lines and rest else rest
        begins, self._begins[piece.stream] = self._begins[piece.stream], not rest
        return time + text if begins else text
