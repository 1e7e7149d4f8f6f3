"""The stored form of an execution's log: chunks of pieces, each chunk starting where the one before it ended.

stdout and stderr stand in one order, that of arrival. A position in the log is a byte offset in that stored order; each stream
has its own offsets beside it, so that a range of one stream is found without reading the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

STDOUT = 1
STDERR = 2


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of one stream (1 stdout, 2 stderr) and the engine's time of them, in nanoseconds since 1970."""

    stream: int
    time: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """How far one stream was read: the time of its last piece, and how many pieces of that very time came so far."""

    time: int
    ordinal: int


@dataclass(frozen=True, slots=True)
class Head:
    """Where an execution's stored log ends, and how to read on.

    ``sequence`` is the next chunk's number, ``offset`` the bytes stored in all, ``stdout`` and ``stderr`` each stream's share, ``dropped``
    the bytes that came beyond the cap and were counted only, ``marks`` where to resume each stream (1, 2) in the engine's log.
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
    """A run of pieces to append: it counts only while ``start`` is the stored head; ``end`` is the head after it."""

    execution_id: str
    start: Head
    end: Head
    pieces: tuple[Piece, ...]
