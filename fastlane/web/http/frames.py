"""A log's batches and events as they go out: WebSocket frames (RFC 6455), server-sent events, plain bytes. Pure.

Each form is a function of a batch, one for each choice of streams, so that a batch is put into it once for all of its followers.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from functools import lru_cache, partial
from struct import pack

import orjson

from fastlane.clock import iso
from fastlane.models.execution import Execution
from fastlane.models.logs.chunk import STDERR, STDOUT
from fastlane.models.logs.cursor import Cursor
from fastlane.streams.batch import Batch, Message
from fastlane.streams.follower import FinalState

STREAMS = {"stdout": STDOUT, "stderr": STDERR}
NAMES = {number: name for name, number in STREAMS.items()}
LARGEST_FRAME = 64 * 1024
"""Bytes of text in a frame at most (one message of JSON may be larger): clients refuse frames of a megabyte."""
PING = b":\n\n"
"""A comment of an event stream: by sending it one notices a dead peer."""

Render = Callable[[Batch], bytes]


class Form(StrEnum):
    """How a log goes out: as frames of text or of JSON, as server-sent events, as bytes."""

    TEXT = "text"
    JSON = "json"
    EVENTS = "events"
    BYTES = "bytes"


def renderer(form: Form, stream: int | None) -> Render:
    """The function of this form, for one stream or both (None): always the same one for the same choice."""
    return RENDERERS[form, stream]


def frame(payload: bytes) -> bytes:
    """A text frame, unmasked, as a server sends it."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    return (pack(">BBH", 0x81, 126, size) if size < 65_536 else pack(">BBQ", 0x81, 127, size)) + payload


def attempt_json(execution: Execution) -> bytes:
    """The event of the next attempt."""
    return orjson.dumps({"event": "attempt", "executionId": execution.id, "attempt": execution.attempt})


def end_json(end: FinalState) -> bytes:
    """The last event."""
    return orjson.dumps({"event": "end", "status": end.status, "exitCode": end.exit_code})


def server_sent(event: str, data: bytes, cursor: Cursor | None = None) -> bytes:
    """A server-sent event; ``data`` without line ends."""
    id = b"" if cursor is None else b"id: " + str(cursor).encode() + b"\n"
    return b"event: " + event.encode() + b"\n" + id + b"data: " + data + b"\n\n"


def _text(stream: int | None, batch: Batch) -> bytes:
    frames: list[bytes] = []
    waiting: list[bytes] = []
    size = 0
    for message in _chosen(stream, batch):
        data = message.text.encode()
        if size + len(data) > LARGEST_FRAME and waiting:
            frames.append(frame(b"".join(waiting)))
            waiting, size = [], 0
        waiting.append(data)
        size += len(data)
    if waiting:
        frames.append(frame(b"".join(waiting)))
    return b"".join(frames)


def _json(stream: int | None, batch: Batch) -> bytes:
    id = batch.start.execution_id
    return b"".join([frame(_message_json(message, _cursor(id, message))) for message in _chosen(stream, batch)])


def _events(stream: int | None, batch: Batch) -> bytes:
    id = batch.start.execution_id
    messages = [(message, _cursor(id, message)) for message in _chosen(stream, batch)]
    return b"".join([server_sent("log", _message_json(message, cursor), cursor) for message, cursor in messages])


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


@lru_cache(maxsize=4096)
def _time(moment: int) -> str:
    return iso(moment)


_RENDER: Mapping[Form, Callable[[int | None, Batch], bytes]] = {
    Form.TEXT: _text,
    Form.JSON: _json,
    Form.EVENTS: _events,
    Form.BYTES: _bytes,
}
RENDERERS: Mapping[tuple[Form, int | None], Render] = {
    (form, stream): partial(render, stream) for form, render in _RENDER.items() for stream in (None, STDOUT, STDERR)
}
