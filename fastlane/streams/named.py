"""The logs of several executions as one: each line has the name of its target before it. A line is sent when it is whole, so that two
targets do not share one.
"""

from collections.abc import Iterator, Sequence

from fastlane.models.log import NOTHING, STDERR, STDOUT, Cursor, Piece
from fastlane.streams.batch import LARGEST_PART, Batch, Message

MARK = " | "
LONGEST_LINE = 64 * 1024
"""Bytes of a line that are kept until it is whole; of a longer one, this many are sent as a line."""


class NamedLines:
    """The log of one target. It keeps what has begun a line, of each stream."""

    def __init__(self, name: str) -> None:
        self._name = f"{name}{MARK}".encode()
        self._begun = {STDOUT: b"", STDERR: b""}

    def of(self, batch: Batch) -> Batch:
        """The lines that are whole with this batch. A cursor in it leaves nothing out that was not sent."""
        pieces, ends, offset = list[Piece](), list[int](), batch.start.offset
        for piece in batch.pieces:
            offset += len(piece.data)
            text = self._begun[piece.stream] + piece.data
            whole = len(text) if len(text) > LONGEST_LINE else text.rfind(b"\n") + 1
            self._begun[piece.stream] = text[whole:]
            named = [Piece(piece.stream, piece.time, data) for data in self._named(text[:whole])] if whole else []
            pieces += named
            ends += [offset - sum(map(len, self._begun.values()))] * len(named)
        return _batch(batch.start, pieces, ends, batch.end)

    def rest(self, end: Cursor, time: int) -> Batch | None:
        """What had begun a line when the log ended; None when nothing had."""
        pieces = [Piece(stream, time, part) for stream, data in self._begun.items() if data for part in self._named(data)]
        self._begun = {STDOUT: b"", STDERR: b""}
        return _batch(end, pieces, [end.offset] * len(pieces), end) if pieces else None

    def _named(self, data: bytes) -> Iterator[bytes]:
        """The lines with the name, in parts of about the size of the largest message."""
        part = b""
        for line in data.removesuffix(b"\n").split(b"\n"):
            if part and len(part) + len(line) > LARGEST_PART:
                yield part
                part = b""
            part += self._name + line + b"\n"
        yield part


def _batch(start: Cursor, pieces: Sequence[Piece], ends: Sequence[int], end: Cursor) -> Batch:
    messages = [
        Message(piece.stream, piece.time, piece.data.decode(errors="replace"), offset, NOTHING)
        for piece, offset in zip(pieces, ends, strict=True)
    ]
    return Batch(start, pieces, messages, end, ends)
