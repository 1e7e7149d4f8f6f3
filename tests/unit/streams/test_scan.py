"""The search of one log, however it is cut into pieces and slices."""

import re

from hypothesis import given, strategies as st

from fastlane.models.log import STDERR, STDOUT, Piece
from fastlane.models.pattern import Pattern
from fastlane.streams.scan import LONGEST_LINE, Hit, LineSearcher

PARTS = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.text("ab\n", max_size=6)), max_size=10)
Row = tuple[int, int, int, int, str]


def scanned(scanner: LineSearcher, pieces: list[Piece], cuts: list[int]) -> list[Hit]:
    """The hits of these pieces, of which a slice ends at each cut."""
    hits, begin = [], 0
    for cut in [*sorted(cuts), len(pieces)]:
        hits += [hit for hit in scanner.feed(pieces[begin:cut]) if hit is not None]
        begin = max(begin, cut)
    return [*hits, *(hit for hit in scanner.finish() if hit is not None)]


def row(hit: Hit) -> Row:
    return hit.position, hit.number, hit.time, hit.stream, hit.text


def expected(pieces: list[Piece], source: str) -> list[Row]:
    """The hits as they follow from the words that describe them, byte by byte."""
    number, offset, rows = 0, 0, list[Row]()
    lines: dict[int, tuple[int, int, str] | None] = {STDOUT: None, STDERR: None}
    for piece in pieces:
        for character in piece.data.decode():
            offset += 1
            line = lines[piece.stream]
            if line is None:
                number += 1
                line = (number, piece.time, "")
            if character != "\n":
                lines[piece.stream] = (*line[:2], line[2] + character)
                continue
            lines[piece.stream] = None
            rows += [(offset, *line[:2], piece.stream, line[2])] if re.search(source, line[2]) else []
    rest = sorted((line, stream) for stream, line in lines.items() if line is not None)
    return rows + [
        (offset + place, *line[:2], stream, line[2]) for place, (line, stream) in enumerate(rest, 1) if re.search(source, line[2])
    ]


@given(PARTS, st.lists(st.integers(0, 10), max_size=4), st.sampled_from(["ab", "a+b$", "^$", "^a", "b|aa"]), st.integers(0, 60))
def test_each_line_is_found_once_with_its_number_and_time(parts: list[tuple[int, str]], cuts: list[int], source: str, after: int) -> None:
    pieces = [Piece(stream, place, text.encode()) for place, (stream, text) in enumerate(parts)]
    wanted = expected(pieces, source)
    assert [row(hit) for hit in scanned(LineSearcher(Pattern(source)), pieces, cuts)] == wanted
    assert [row(hit) for hit in scanned(LineSearcher(Pattern(source), after=after), pieces, cuts)] == [
        one for one in wanted if one[0] > after
    ]
    only = scanned(LineSearcher(Pattern(source), STDERR), pieces, cuts)
    assert [row(hit) for hit in only] == [one for one in wanted if one[3] == STDERR]


def test_a_line_without_an_end_holds_no_more_than_its_bound_and_is_found_once() -> None:
    scanner = LineSearcher(Pattern("needle"))
    piece = Piece(STDOUT, 0, b"x" * 50_000)
    hits = []
    for place in range(100):
        pieces = [piece, Piece(STDOUT, place, b"needle" if place in (40, 60) else b"")]
        hits += [hit for hit in scanner.feed(pieces) if hit is not None]
        held = scanner._open[STDOUT]
        assert held is not None
        assert len(held.data) < LONGEST_LINE
    assert [(hit.number, hit.cut, hit.text[hit.begin : hit.end]) for hit in hits] == [(1, True, "needle")]


def test_bytes_that_are_not_utf_8_and_the_sequences_of_terminals_are_no_hindrance() -> None:
    pieces = [Piece(STDOUT, 0, b"\xff one\n\x1b[32mt\x1b[0mwo\x1b]0;title\x07\nthr\xc3"), Piece(STDOUT, 1, b"\xa9e\n")]
    for source, text in (("one", "\ufffd one"), ("^two$", "two"), ("thré", "thrée")):
        assert [hit.text for hit in scanned(LineSearcher(Pattern(source)), pieces, [])] == [text]
