"""Finds where the last lines of a log begin."""

from fastlane.models.logs.chunk import Piece
from fastlane.storage.base import Store

SLICE = 128 * 1024


async def last_lines(store: Store, execution_id: str, lines: int, stream: int | None = None) -> int:
    """The offset, in stored order, at which the last ``lines`` lines begin: of one stream, or of both in order of arrival. What comes after
    the last line end is a line too. Reads backwards, a slice at a time."""
    end = (await store.log_head(execution_id)).offset
    if lines == 0:
        return end
    missing: int | None = None  # how many line ends to go back, known once the last byte was seen
    upper = end
    while upper > 0:
        lower = max(0, upper - SLICE)
        place = upper
        for piece in reversed(await _read(store, execution_id, lower, upper)):
            place -= len(piece.data)
            if not piece.data or (stream is not None and piece.stream != stream):
                continue
            missing = lines + piece.data.endswith(b"\n") if missing is None else missing
            here = piece.data.count(b"\n")
            if here >= missing:
                return place + _line_start(piece.data, missing)
            missing -= here
        upper = lower
    return 0


async def _read(store: Store, execution_id: str, start: int, end: int) -> list[Piece]:
    pieces: list[Piece] = []
    while start < end:
        part = await store.read_log(execution_id, start, end - start)
        if not part.pieces:
            return pieces
        for piece in part.pieces:
            data = piece.data[: end - start]
            start += len(data)
            pieces.append(Piece(piece.stream, piece.time, data))
    return pieces


def _line_start(data: bytes, count: int) -> int:
    """The place after the line end that is the ``count``-th from the last."""
    end = len(data)
    for _ in range(count):
        end = data.rfind(b"\n", 0, end)
    return end + 1
