"""What a followed log consists of, and how it is read from server-sent events. Pure."""

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Stream = Literal["stdout", "stderr"]


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes that the command wrote to a stream, and when (ISO 8601). ``cursor`` is the position after them."""

    stream: Stream
    data: bytes
    time: str
    cursor: str


@dataclass(frozen=True, slots=True)
class AttemptBegan:
    """The output that follows is that of the next attempt."""

    execution_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Why the last attempt failed, when it wrote nothing."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The end: nothing follows. ``exit_code`` is None when the command never had one."""

    status: str
    exit_code: int | None


LogEvent = Output | AttemptBegan | Failed | Ended


class EventReader:
    """Makes events of the bytes of an answer, however they are cut."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[LogEvent]:
        """The events that are complete with these bytes."""
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        for block in blocks:
            if (event := _event(block)) is not None:
                yield event


def data_of(block: bytes, kind: bytes) -> dict[str, Any] | None:
    """The data of a server-sent event of this kind; None for others, and for comments."""
    fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line and not line.startswith(b":"))
    if fields.get(b"event") != kind or b"data" not in fields:
        return None
    data: dict[str, Any] = json.loads(fields[b"data"])
    return data


def _event(block: bytes) -> LogEvent | None:
    """None for comments, and for events of later versions."""
    fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line and not line.startswith(b":"))
    if b"data" not in fields:
        return None
    data = json.loads(fields[b"data"])
    match fields.get(b"event"):
        case b"log":
            return Output(data["stream"], b64decode(data["data"]), data["time"], data["cursor"])
        case b"attempt":
            return AttemptBegan(data["executionId"], data["attempt"])
        case b"failure":
            return Failed(data["reason"], data["message"])
        case b"end":
            return Ended(data["status"], data["exitCode"])
        case _:
            return None
