"""A log's batches and events as bytes for a client: WebSocket frames (RFC 6455), server-sent events, or plain text. Pure.

There is one encoder for each format and choice of streams, so that a batch is encoded once for all of its followers.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from functools import lru_cache, partial
from struct import pack

import orjson

from fastlane.clock import iso
from fastlane.models.event import Position
from fastlane.models.job import Execution
from fastlane.models.log import STDERR, STDOUT, Cursor, Piece
from fastlane.models.search import SearchCursor
from fastlane.streams.batch import Batch, Message
from fastlane.streams.follower import FinalState

STREAMS = {"stdout": STDOUT, "stderr": STDERR}
NAMES = {number: name for name, number in STREAMS.items()}
LARGEST_FRAME = 64 * 1024
"""Bytes of text in one frame. (A JSON message may be larger.) Clients refuse frames of a megabyte."""
EVENT_PING = b":\n\n"
"""A comment in an event stream. Sending it reveals a dead peer."""

Encode = Callable[[Batch], bytes]


class LogFormat(StrEnum):
    """The format of a log: WebSocket frames of text or of JSON, server-sent events of text or of bytes in base64, or plain bytes."""

    TEXT = "text"
    JSON = "json"
    EVENTS = "events"
    BYTE_EVENTS = "byte-events"
    BYTES = "bytes"


def encoder(format: LogFormat, stream: int | None) -> Encode:
    """The encoder of this format for one stream, or for both (None). The same choice gives the same function."""
    return ENCODERS[format, stream]


def websocket_frame(payload: bytes) -> bytes:
    """An unmasked text frame, as servers send it."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    return (pack(">BBH", 0x81, 126, size) if size < 65_536 else pack(">BBQ", 0x81, 127, size)) + payload


def websocket_ping(payload: bytes) -> bytes:
    """A ping, whose answer has the same payload of at most 125 bytes."""
    return bytes((0x89, len(payload))) + payload


def attempt_event(execution: Execution) -> bytes:
    """The JSON that announces the next attempt."""
    return orjson.dumps({"event": "attempt", "executionId": execution.id, "attempt": execution.attempt})


def failure_event(reason: str, message: str) -> bytes:
    """The JSON with the failure of an execution without a log."""
    return orjson.dumps({"event": "failure", "reason": reason, "message": message})


def end_event(end: FinalState) -> bytes:
    """The JSON of the last event."""
    return orjson.dumps({"event": "end", "status": end.status, "exitCode": end.exit_code})


PONG = orjson.dumps({"event": "pong"})
"""The JSON that answers a client's message ``ping``."""


def server_sent_event(event: str, data: bytes, cursor: Cursor | Position | SearchCursor | str | None = None) -> bytes:
    """A server-sent event. ``data`` has no line ends."""
    id = b"" if cursor is None else b"id: " + str(cursor).encode() + b"\n"
    return b"event: " + event.encode() + b"\n" + id + b"data: " + data + b"\n\n"


def _text(stream: int | None, batch: Batch) -> bytes:
    frames: list[bytes] = []
    pending: list[bytes] = []
    size = 0
    for message in _chosen(stream, batch):
        data = message.text.encode()
        if size + len(data) > LARGEST_FRAME and pending:
            frames.append(websocket_frame(b"".join(pending)))
            pending, size = [], 0
        pending.append(data)
        size += len(data)
    if pending:
        frames.append(websocket_frame(b"".join(pending)))
    return b"".join(frames)


def _json(stream: int | None, batch: Batch) -> bytes:
    id = batch.start.execution_id
    return b"".join([websocket_frame(_message_json(message, _cursor(id, message))) for message in _chosen(stream, batch)])


def _events(stream: int | None, batch: Batch) -> bytes:
    id = batch.start.execution_id
    messages = [(message, _cursor(id, message)) for message in _chosen(stream, batch)]
    return b"".join([server_sent_event("log", _message_json(message, cursor), cursor) for message, cursor in messages])


def _byte_events(stream: int | None, batch: Batch) -> bytes:
    id, events = batch.start.execution_id, []
    for piece, offset in batch.parts():
        if stream is None or piece.stream == stream:
            cursor = Cursor(id, offset)
            events.append(server_sent_event("log", _bytes_json(piece, cursor), cursor))
    return b"".join(events)


def _bytes(stream: int | None, batch: Batch) -> bytes:
    return b"".join([piece.data for piece in batch.pieces if stream is None or piece.stream == stream])


def _chosen(stream: int | None, batch: Batch) -> Iterator[Message]:
    return (message for message in batch.messages if stream is None or message.stream == stream)


def _cursor(execution_id: str, message: Message) -> Cursor:
    return Cursor(execution_id, message.offset, message.unfinished)


def _message_json(message: Message, cursor: Cursor) -> bytes:
    return orjson.dumps(
        {"cursor": str(cursor), "stream": NAMES[message.stream], "time": _time(message.time // 1_000_000), "text": message.text}
    )


def _bytes_json(piece: Piece, cursor: Cursor) -> bytes:
    return orjson.dumps(
        {
            "cursor": str(cursor),
            "stream": NAMES[piece.stream],
            "time": _time(piece.time // 1_000_000),
            "data": b64encode(piece.data).decode(),
        }
    )


@lru_cache(maxsize=4096)
def _time(moment: int) -> str:
    return iso(moment)


def nanoseconds(moment: int) -> str:
    """A moment in nanoseconds, as answers have it."""
    return _time(moment // 1_000_000)


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


_FORMATS: Mapping[LogFormat, Callable[[int | None, Batch], bytes]] = {
    LogFormat.TEXT: _text,
    LogFormat.JSON: _json,
    LogFormat.EVENTS: _events,
    LogFormat.BYTE_EVENTS: _byte_events,
    LogFormat.BYTES: _bytes,
}
ENCODERS: Mapping[tuple[LogFormat, int | None], Encode] = {
    (format, stream): partial(encode, stream) for format, encode in _FORMATS.items() for stream in (None, STDOUT, STDERR)
}
