"""Where the last lines of a log begin, against splitting the whole of it."""

from typing import cast

from hypothesis import given, strategies as st

from fastlane.models.log import STDERR, STDOUT, Head, Piece, Slice
from fastlane.storage.base import Store
from fastlane.streams import reader
from fastlane.streams.reader import last_lines, last_lines_before


class Rows:
    """A store of one log."""

    def __init__(self, pieces: list[Piece]) -> None:
        self._pieces = pieces

    async def log_head(self, _id: str) -> Head:
        return Head(offset=sum(len(piece.data) for piece in self._pieces))

    async def read_log(self, _id: str, offset: int, limit: int, stream: int | None = None) -> Slice:
        assert stream is None
        found, place = [], 0
        for piece in self._pieces:
            if place + len(piece.data) > offset and place < offset + limit:
                found.append(Piece(piece.stream, piece.time, piece.data[max(0, offset - place) :]))
            place += len(piece.data)
        return Slice(tuple(found), 0)


@given(
    st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.text("ab\n", min_size=1, max_size=6)), max_size=12),
    st.integers(0, 9),
    st.sampled_from([None, STDOUT, STDERR]),
    st.sampled_from([3, 7, 1_000]),
)
async def test_the_last_lines_are_those_of_the_whole(parts, lines, stream, size):
    rows = cast(Store, Rows([Piece(number, 1, text.encode()) for number, text in parts]))
    reader.SLICE, before = size, reader.SLICE
    try:
        start = await last_lines(rows, "e", lines, stream)
    finally:
        reader.SLICE = before
    log = b"".join(text.encode() for _, text in parts)
    streams = [number for number, text in parts for _ in text]
    wanted = bytes(byte for byte, number in zip(log, streams, strict=True) if stream in (None, number))
    got = bytes(byte for byte, number in list(zip(log, streams, strict=True))[start:] if stream in (None, number))
    expected = b"".join(wanted.splitlines(keepends=True)[-lines:]) if lines else b""
    assert got == expected


class Bytes:
    """A store of one stream, in pieces of three bytes and the rest."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read_log(self, _id: str, offset: int, limit: int, stream: int | None = None) -> Slice:
        assert stream == STDOUT
        part = self._data[offset : offset + limit]
        pieces = (Piece(STDOUT, 0, part[:3]), Piece(STDOUT, 0, part[3:])) if part else ()
        return Slice(pieces, offset + len(part))


@given(st.binary(max_size=60).map(lambda data: data.replace(b"a", b"\n")), st.integers(0, 20), st.integers(1, 7))
async def test_the_last_lines_of_a_stream_are_those_of_splitlines(data, lines, size):
    reader.SLICE, before = size, reader.SLICE
    try:
        start = await last_lines_before(cast(Store, Bytes(data)), "e", STDOUT, len(data), lines)
    finally:
        reader.SLICE = before
    whole = data.split(b"\n")
    kept = [part + b"\n" for part in whole[:-1]] + ([whole[-1]] if whole[-1] else [])
    assert data[start:] == b"".join(kept[len(kept) - lines :] if lines < len(kept) else kept)
