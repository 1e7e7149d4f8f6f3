"""What stores share about logs: whether a chunk follows from its start, and how stored chunks become what a reader asked for."""

from collections.abc import Iterator, Sequence
from itertools import takewhile

from fastlane.models.log import STDERR, STDOUT, Chunk, Mark, Piece

OFFSETS = {
    None: ("start_offset", "end_offset"),
    STDOUT: ("start_stdout", "end_stdout"),
    STDERR: ("start_stderr", "end_stderr"),
}
"""The fields of a stored chunk that say where it begins and ends: in the whole log, or in one stream."""


def stream_sizes(chunk: Chunk) -> tuple[int, int]:
    """How many bytes of stdout and of stderr a chunk has. Raises ValueError when its end does not follow from its start and pieces."""
    start, end = chunk.start, chunk.end
    sizes = {stream: sum([len(piece.data) for piece in chunk.pieces if piece.stream == stream]) for stream in (STDOUT, STDERR)}
    expected = (start.sequence + 1, start.offset + sum(sizes.values()), start.stdout + sizes[STDOUT], start.stderr + sizes[STDERR])
    if (end.sequence, end.offset, end.stdout, end.stderr) != expected:
        raise ValueError(f"a log chunk's end {end} does not follow from its start {start} and its pieces")
    return sizes[STDOUT], sizes[STDERR]


class SliceBuilder:
    """Joins whole chunks from an offset on (the first is cut there): as many as fit into ``limit`` bytes, but at least one."""

    def __init__(self, offset: int, limit: int, stream: int | None) -> None:
        self._offset = offset
        self._limit = limit
        self._stream = stream
        self.pieces: list[Piece] = []
        self.position = offset

    def add(self, end: int, pieces: Sequence[Piece]) -> bool:
        """Adds the next chunk, which ends at ``end``; False, and nothing added, when it does not fit."""
        if self.position > self._offset and end - self._offset > self._limit:
            return False
        wanted = [piece for piece in pieces if self._stream is None or piece.stream == self._stream]
        size = sum(len(piece.data) for piece in wanted)
        self.pieces.extend(_without(wanted, self.position - (end - size)))
        self.position = end
        return True


def offset_since(start: int, pieces: Sequence[Piece], stream: int | None, moment: int) -> int:
    """The offset, in a chunk that starts at ``start``, of the first byte that came at a moment (nanoseconds) or later."""
    wanted = [piece for piece in pieces if stream is None or piece.stream == stream]
    return start + sum(len(piece.data) for piece in takewhile(lambda piece: piece.time < moment, wanted))


def reached(marks: dict[int, Mark], stream: int | None) -> int:
    """The latest time that a stream, or one of them, had at a chunk's end; -1 for none."""
    return max([mark.time for number, mark in marks.items() if stream in (None, number)], default=-1)


def _without(pieces: Sequence[Piece], count: int) -> Iterator[Piece]:
    """The pieces without their first ``count`` bytes."""
    for piece in pieces:
        if count < len(piece.data) or count <= 0:
            yield piece if count <= 0 else Piece(piece.stream, piece.time, piece.data[count:])
        count -= len(piece.data)
