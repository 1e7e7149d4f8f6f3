"""The stored form of an execution's log, the cursor by which a client follows it, and the hint that it has grown. A log is chunks of
pieces; each chunk starts where the one before it ended.

stdout and stderr are stored in one order, the order of arrival. A position in the log is a byte offset in this stored order. Each stream
has its own offsets too, so that a range of one stream is found without reading the other.
"""

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fastlane.models.status import Status

STDOUT = 1
STDERR = 2


class Piece(NamedTuple):
    """Bytes of one stream (1 stdout, 2 stderr) that came within the same millisecond, and the engine's time of the first of them, in
    nanoseconds since 1970. A tuple, since a log that comes fast has hundreds of thousands of pieces."""

    stream: int
    time: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """How far one stream of the engine's log was read: the time of its last frame, and how many frames of exactly that time came.

    ``latest``: the latest time that came before it, where that is later, since the node's clock was set back in between; else 0.
    """

    time: int
    ordinal: int
    latest: int = 0

    @property
    def set_back(self) -> bool:
        """Whether the node's clock was set back before this frame."""
        return self.latest > self.time


@dataclass(frozen=True, slots=True)
class Portion:
    """A part of the engine's log as it was read, in order of arrival, and the ``marks`` (by stream) from which to read on. ``dropped``: the
    bytes that came with it and are not kept; 1 for a gap of unknown size."""

    pieces: Sequence[Piece]
    marks: Mapping[int, Mark]
    dropped: int = 0

    @property
    def size(self) -> int:
        """The bytes in its pieces."""
        return sum([len(piece.data) for piece in self.pieces])


@dataclass(frozen=True, slots=True)
class Head:
    """Where an execution's stored log ends, and how to read on.

    ``sequence`` is the next chunk's number, ``offset`` the bytes stored, ``stdout`` and ``stderr`` each stream's share, ``dropped`` the
    bytes that are not kept (those beyond the cap, and 1 for each gap), ``marks`` where to resume each stream (1, 2) in the engine's log.
    """

    sequence: int = 0
    offset: int = 0
    stdout: int = 0
    stderr: int = 0
    dropped: int = 0
    marks: Mapping[int, Mark] = field(default_factory=dict)

    @property
    def truncated(self) -> bool:
        """Whether some of the log is not kept."""
        return self.dropped > 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Pieces to append: the store accepts them only while ``start`` is the stored head; ``end`` is the head after them."""

    execution_id: str
    start: Head
    end: Head
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a log: pieces in stored order, and the offset after the last one."""

    pieces: tuple[Piece, ...]
    next_offset: int


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


@dataclass(frozen=True, slots=True)
class Hint:
    """The size of an execution's stored log (bytes) and its status, as far as the sender knows."""

    execution_id: str
    offset: int
    status: Status
