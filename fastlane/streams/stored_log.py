"""Reads parts of a log from the store in slices of a bounded size, and finds where its last lines begin."""

from collections.abc import AsyncIterator

from fastlane.models.logs.chunk import Piece
from fastlane.storage.base import LogStore

SLICE = 128 * 1024
"""Bytes of a log that are in memory for one reader."""


async def read_slices(store: LogStore, execution_id: str, start: int, end: int, stream: int | None = None) -> AsyncIterator[list[Piece]]:
    """The pieces from ``start`` to ``end``, a slice at a time: of one stream by its own offsets, or else of both in stored order."""
    while start < end:
        part = await store.read_log(execution_id, start, min(SLICE, end - start), stream)
        pieces = []
        for piece in part.pieces:
            data = piece.data[: end - start]
            start += len(data)
            pieces.append(Piece(piece.stream, piece.time, data))
        if not any(piece.data for piece in pieces):
            return
        yield pieces


async def last_lines(store: LogStore, execution_id: str, lines: int, stream: int | None = None) -> int:
    """The offset in stored order at which the last ``lines`` lines begin: of one stream, or of both in order of arrival. Text after the
    last line end counts as a line."""
    head = await store.log_head(execution_id)
    return await _start_of_lines(store, execution_id, head.offset, lines, only=stream)


async def last_lines_before(store: LogStore, execution_id: str, stream: int | None, end: int, lines: int) -> int:
    """The offset, within a stream or in stored order (None), at which the last ``lines`` lines of the first ``end`` bytes begin."""
    return await _start_of_lines(store, execution_id, end, lines, within=stream)


async def _start_of_lines(
    store: LogStore, execution_id: str, end: int, lines: int, *, only: int | None = None, within: int | None = None
) -> int:
    """Reads backwards, a slice at a time. ``only``: the stream whose lines count; ``within``: the stream whose own offsets are used."""
    if lines == 0:
        return end
    missing: int | None = None  # line ends to go back over; known once the last byte has been seen
    upper = end
    while upper > 0:
        lower = max(0, upper - SLICE)
        offset = upper
        pieces = [piece async for part in read_slices(store, execution_id, lower, upper, within) for piece in part]
        for piece in reversed(pieces):
            offset -= len(piece.data)
            if not piece.data or (only is not None and piece.stream != only):
                continue
            missing = lines + piece.data.endswith(b"\n") if missing is None else missing
            found = piece.data.count(b"\n")
            if found >= missing:
                return offset + _after_line_end(piece.data, missing)
            missing -= found
        upper = lower
    return 0


def _after_line_end(data: bytes, count: int) -> int:
    """The offset after the line end that is the ``count``-th from the last."""
    end = len(data)
    for _ in range(count):
        end = data.rfind(b"\n", 0, end)
    return end + 1
