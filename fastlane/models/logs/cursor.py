"""The cursor: a position in an execution's log, the same for REST, server-sent events and WebSocket, and opaque to clients.

It is written ``<executionId>:<offset>``, so it cannot be mistaken for another attempt's. If a UTF-8 character is unfinished there, its
first bytes follow, so that a client that resumes there loses no character. The cursor of the very end is marked as such.
"""

import codecs
import re
from dataclasses import dataclass

MAX_CURSOR = 100
_FORM = re.compile(
    r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):(0|[1-9][0-9]{0,14})(?::((?:[0-9a-f]{2}){0,3})\.((?:[0-9a-f]{2}){0,3}))?(:end)?",
    re.ASCII,
)
_Decoder = codecs.getincrementaldecoder("utf-8")

Unfinished = tuple[bytes, bytes]
"""The first bytes (at most three) of a character that is not whole yet: of stdout and of stderr."""
NOTHING: Unfinished = (b"", b"")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position before byte ``offset`` of an execution's log in stored order. ``ended``: nothing will follow, and the client knows."""

    execution_id: str
    offset: int
    unfinished: Unfinished = NOTHING
    ended: bool = False

    def __str__(self) -> str:
        stdout, stderr = self.unfinished
        begun = f":{stdout.hex()}.{stderr.hex()}" if stdout or stderr else ""
        return f"{self.execution_id}:{self.offset}{begun}{':end' if self.ended else ''}"


def read_cursor(text: str) -> Cursor:
    """The cursor that a client sends back. Raises ValueError for text that is not a cursor."""
    match = _FORM.fullmatch(text) if len(text) <= MAX_CURSOR else None
    if match is None:
        raise ValueError("is not a cursor: send one back as a message had it")
    execution_id, offset, stdout, stderr, ended = match.groups()
    unfinished = (bytes.fromhex(stdout or ""), bytes.fromhex(stderr or ""))
    if any(_Decoder("replace").decode(data) for data in unfinished):
        raise ValueError("is not a cursor: send one back as a message had it")
    return Cursor(execution_id, int(offset), unfinished, ended is not None)


def decode(data: bytes) -> tuple[str, bytes]:
    """The text, and the bytes at the end that only begin a character. Bytes that are not valid UTF-8 become U+FFFD."""
    try:
        return data.decode(), b""
    except UnicodeDecodeError:
        decoder = _Decoder("replace")
        return decoder.decode(data), decoder.getstate()[0]
