"""The cursor: written and read back as it is, and what is none refused."""

import pytest
from hypothesis import example, given, strategies as st

from fastlane.models.log import Cursor, decode, read_cursor

ID = "0190a1b2-c3d4-8e5f-9a6b-7c8d9e0f1a2b"
STARTS = ["", "ä", "€", "😀"]


@given(
    st.integers(0, 10**14),
    st.tuples(*[st.sampled_from([text.encode()[:size] for text in STARTS for size in range(len(text.encode()))] or [b""])] * 2),
    st.booleans(),
)
def test_a_cursor_is_read_as_it_was_written(offset, unfinished, ended):
    cursor = Cursor(ID, offset, unfinished, ended)
    assert read_cursor(str(cursor)) == cursor


@pytest.mark.parametrize(
    ("cursor", "text"),
    [
        (Cursor(ID, 0), f"{ID}:0"),
        (Cursor(ID, 81), f"{ID}:81"),
        (Cursor(ID, 81, (b"", b"\xf0\x9f")), f"{ID}:81:.f09f"),
        (Cursor(ID, 9, ended=True), f"{ID}:9:end"),
    ],
)
def test_how_a_cursor_is_written(cursor, text):
    assert str(cursor) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        ID,
        f"{ID}:",
        f"{ID}:-1",
        f"{ID}:01",
        f"{ID}:1.5",
        f"{ID}:9999999999999999",
        f"{ID}:1:61.",
        f"{ID}:1:ff.",
        f"{ID}:1:c3",
        f"{ID}:1:end:end",
        f"{ID}:1\n",
        f"{ID.upper()}:1",
        f"{ID}:١",
        "9" * 10_000,
    ],
)
def test_an_invalid_cursor_is_refused(text):
    with pytest.raises(ValueError, match="not a cursor"):
        read_cursor(text)


@given(st.lists(st.one_of(st.binary(max_size=6), st.text(max_size=4).map(str.encode)), max_size=12))
@example([b"\xed\xa0"])  # no character begins like this, but Python's decoder waits for more
def test_text_in_pieces_is_the_text_of_the_whole_and_no_character_is_split(pieces):
    rest, texts = b"", []
    for piece in pieces:
        text, rest = decode(rest + piece)
        texts.append(text)
        assert len(rest) <= 3
    whole = b"".join(pieces).decode(errors="replace")
    assert "".join(texts) + rest.decode(errors="replace") == whole
