"""What the head of a stored log says after more of it: bytes, marks, and what is beyond the cap."""

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from fastlane.models.log import Head, Mark, Piece, Portion
from fastlane.streams.pump import append_to
from tests.unit.streams.pump_parts import LOGS, MUCH, a_log, appended, err, out


@pytest.mark.parametrize(
    ("head", "pieces", "end"),
    [
        (Head(), [out(5, b"ab")], Head(1, 2, 2, 0, 0, {1: Mark(5, 1)})),
        (Head(), [out(5, b"ab"), err(5, b"c")], Head(1, 3, 2, 1, 0, {1: Mark(5, 1), 2: Mark(5, 1)})),
        (Head(), [out(5, b"a"), out(5, b"b"), out(5, b"c")], Head(1, 3, 3, 0, 0, {1: Mark(5, 3)})),
        (Head(), [out(5, b"a"), out(5, b"b"), out(6, b"c")], Head(1, 3, 3, 0, 0, {1: Mark(6, 1)})),
        (Head(4, 9, 9, 0, 0, {1: Mark(5, 2)}), [out(5, b"a")], Head(5, 10, 10, 0, 0, {1: Mark(5, 3)})),
        (Head(4, 9, 9, 0, 0, {1: Mark(5, 2)}), [err(5, b"a")], Head(5, 10, 9, 1, 0, {1: Mark(5, 2), 2: Mark(5, 1)})),
        (Head(4, 9, 6, 3, 7, {2: Mark(5, 2)}), [err(8, b"")], Head(5, 9, 6, 3, 7, {2: Mark(8, 1)})),
    ],
)
def test_a_head_after_pieces_counts_bytes_and_marks_the_last_of_each_stream(head: Head, pieces: list[Piece], end: Head) -> None:
    assert appended(head, pieces, MUCH) == (end, tuple(piece for piece in pieces if piece.data))


@pytest.mark.parametrize(
    ("stored", "most", "kept", "dropped"),
    [
        (0, 6, [out(1, b"abc"), err(2, b"def")], 0),
        (0, 5, [out(1, b"abc"), err(2, b"de")], 1),
        (0, 3, [out(1, b"abc")], 3),
        (0, 2, [out(1, b"ab")], 4),
        (0, 0, [], 6),
        (4, 6, [out(1, b"ab")], 4),
        (9, 6, [], 6),
    ],
)
def test_beyond_the_cap_bytes_are_counted_and_not_kept(stored: int, most: int, kept: list[Piece], dropped: int) -> None:
    end, pieces = appended(Head(1, stored, stored, 0, 10), [out(1, b"abc"), err(2, b"def")], most)
    assert list(pieces) == kept
    assert end.dropped == 10 + dropped
    assert end.offset == stored + sum(len(piece.data) for piece in kept)
    assert end.marks == {1: Mark(1, 1), 2: Mark(2, 1)}


def test_a_head_is_truncated_once_something_was_dropped() -> None:
    assert not appended(Head(), [out(1, b"abc")], 3)[0].truncated
    assert appended(Head(), [out(1, b"abc")], 2)[0].truncated


def test_a_gap_is_dropped_bytes() -> None:
    end, kept = append_to(Head(1, 3, 3, 0), [Portion((out(9, b"abc"),), {1: Mark(9, 1)}, dropped=1)], MUCH)
    assert (end.offset, end.dropped, end.truncated, kept) == (6, 1, True, (out(9, b"abc"),))


@given(LOGS.filter(len), st.integers(0, 30), st.lists(st.integers(1, 5), max_size=12))
def test_however_a_log_is_cut_into_chunks_the_same_is_kept_and_the_same_is_dropped(
    drawn: list[tuple[int, int, bytes]], most: int, cuts: list[int]
) -> None:
    log = a_log(drawn)
    whole, kept = appended(Head(), log, most)
    head, pieces, rest = Head(), [], log
    for cut in (*cuts, len(log)):
        if rest:
            head, some = appended(head, rest[:cut], most)
            pieces += some
            rest = rest[cut:]
    assert replace(head, sequence=1) == whole
    assert pieces == list(kept)
    assert head.offset == min(most, sum(len(piece.data) for piece in log))
