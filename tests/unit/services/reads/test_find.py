"""Where the last lines of a log begin, and its text."""

from hypothesis import given
from hypothesis import strategies as st

from fastlane.models.logs.chunk import Piece
from fastlane.services.reads import find
from fastlane.services.reads.find import Find
from fastlane.services.reads.views import from_whole_character
from fastlane.storage.base import Slice


class Log:
    """As much of a store as reading one stream needs."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def read_log(self, execution_id: str, offset: int, limit: int, stream: int | None = None) -> Slice:
        part = self.data[offset : offset + limit]
        pieces = (Piece(1, 0, part[:3]), Piece(1, 0, part[3:])) if part else ()
        return Slice(pieces, offset + len(part))


@given(st.binary(max_size=60).map(lambda data: data.replace(b"a", b"\n")), st.integers(0, 20), st.integers(1, 7))
async def test_the_last_lines_are_those_of_splitlines(data, lines, slice_size):
    size = find.SLICE
    find.SLICE = slice_size
    try:
        start = await Find(Log(data)).tail("execution", 1, len(data), lines)
    finally:
        find.SLICE = size
    whole = data.split(b"\n")
    kept = [part + b"\n" for part in whole[:-1]] + ([whole[-1]] if whole[-1] else [])
    assert data[start:] == b"".join(kept[len(kept) - lines :] if lines < len(kept) else kept)


@given(st.text(max_size=10), st.integers(0, 40))
def test_text_that_is_cut_at_its_start_begins_with_a_whole_character(text, cut):
    data = text.encode()[cut:]
    assert "\ufffd" not in from_whole_character(data).decode(errors="replace").replace("\ufffd", "", text.count("\ufffd"))
