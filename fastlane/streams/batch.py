"""A batch: a part of a log, decoded once and rendered once in each form, whatever the number of followers.

Text never splits a character: the bytes that begin one wait, in the cursor, for the rest of it.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from fastlane.models.log import NOTHING, STDERR, STDOUT, Cursor, Piece, Unfinished, decode

LARGEST_PART = 16 * 1024
"""The largest message, in bytes of the log."""
MOST_PIECES = 4096
"""Pieces of one batch. A command that writes single bytes to both of its streams in turn makes a piece of each, and a piece takes up to 190
bytes as a server-sent event."""
WEIGHT_OF_BYTE, WEIGHT_OF_MESSAGE = 4, 640
"""What a batch takes of memory, with all that is rendered of it: bytes for each byte of the log, and for each message."""


class Message(NamedTuple):
    """Text of one stream (1 stdout, 2 stderr), the engine's time of it (nanoseconds), and the position after it."""

    stream: int
    time: int
    text: str
    offset: int
    unfinished: Unfinished


class Batch:
    """The log between two cursors: ``pieces`` as they are stored, ``messages`` as text."""

    __slots__ = ("_ends", "_rendered", "end", "messages", "pieces", "start")

    def __init__(
        self, start: Cursor, pieces: Sequence[Piece], messages: Sequence[Message], end: Cursor, ends: Sequence[int] | None = None
    ) -> None:
        """``ends``: the position in the log after each piece, where a piece has other bytes than the log."""
        self.start = start
        self.pieces = pieces
        self.messages = messages
        self.end = end
        self._ends = ends
        self._rendered: dict[Callable[[Batch], bytes], bytes] = {}

    @property
    def size(self) -> int:
        """How many bytes of the log it has."""
        return self.end.offset - self.start.offset

    def parts(self) -> Iterator[tuple[Piece, int]]:
        """The pieces in parts of the size of the largest message, and the position in the log after each."""
        offset = self.start.offset
        for place, piece in enumerate(self.pieces):
            for data in parts(piece.data):
                offset = offset + len(data) if self._ends is None else self._ends[place]
                yield Piece(piece.stream, piece.time, data), offset

    @property
    def weight(self) -> int:
        """About how many bytes of memory it takes."""
        return WEIGHT_OF_BYTE * self.size + WEIGHT_OF_MESSAGE * len(self.messages)

    def rendered(self, render: Callable[["Batch"], bytes]) -> bytes:
        """What this function makes of it, made once."""
        data = self._rendered.get(render)
        if data is None:
            data = self._rendered[render] = render(self)
        return data


def batch_of(start: Cursor, pieces: Sequence[Piece]) -> Batch:
    """The batch of the pieces that begin at a cursor."""
    unfinished, offset = start.unfinished, start.offset
    messages = []
    for piece in pieces:
        for data in parts(piece.data):
            offset += len(data)
            stdout, stderr = unfinished
            if piece.stream == STDOUT:
                text, rest = decode(stdout + data)
                unfinished = (rest, stderr) if rest or stderr else NOTHING
            else:
                text, rest = decode(stderr + data)
                unfinished = (stdout, rest) if rest or stdout else NOTHING
            if text:
                messages.append(Message(piece.stream, piece.time, text, offset, unfinished))
    return Batch(start, pieces, messages, Cursor(start.execution_id, offset, unfinished))


def last_batch(start: Cursor, time: int) -> Batch:
    """The batch that ends a log: the bytes of a character that was begun and never finished become U+FFFD."""
    stdout, stderr = start.unfinished
    messages = []
    if stdout:
        messages.append(Message(STDOUT, time, stdout.decode(errors="replace"), start.offset, (b"", stderr)))
    if stderr:
        messages.append(Message(STDERR, time, stderr.decode(errors="replace"), start.offset, NOTHING))
    return Batch(start, (), messages, Cursor(start.execution_id, start.offset))


def cut(pieces: Sequence[Piece], size: int) -> Iterator[list[Piece]]:
    """The pieces in runs of ``size`` bytes. A run of ``MOST_PIECES``, and the last, may have fewer."""
    run: list[Piece] = []
    room = size
    for piece in pieces:
        data = piece.data
        while data:
            run.append(piece if len(data) == len(piece.data) <= room else Piece(piece.stream, piece.time, data[:room]))
            taken = len(run[-1].data)
            data, room = data[taken:], room - taken
            if not room or len(run) == MOST_PIECES:
                yield run
                run, room = [], size
    if run:
        yield run


def parts(data: bytes) -> Iterator[bytes]:
    """The bytes in runs of the size of the largest message; the last may have fewer."""
    if len(data) <= LARGEST_PART:
        yield data
        return
    for start in range(0, len(data), LARGEST_PART):
        yield data[start : start + LARGEST_PART]


class BatchCache:
    """The batches that were used last, by where they start; about ``most`` bytes of memory in all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._batches: OrderedDict[Cursor, Batch] = OrderedDict()
        self._weight = 0

    def get(self, start: Cursor) -> Batch | None:
        """The batch that starts there."""
        batch = self._batches.get(start)
        if batch is not None:
            self._batches.move_to_end(start)
        return batch

    def keep(self, batch: Batch) -> None:
        """Keeps the batch, and drops those that were not used for the longest time."""
        before = self._batches.pop(batch.start, None)
        self._weight += batch.weight - (before.weight if before else 0)
        self._batches[batch.start] = batch
        while self._weight > self._most:
            self._weight -= self._batches.popitem(last=False)[1].weight
