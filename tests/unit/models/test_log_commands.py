"""The commands in a log: which lines are read, and what they come to, however the log is cut into pieces."""

import pytest
from hypothesis import given, strategies as st

from fastlane.models.log import STDERR, STDOUT, Piece
from fastlane.models.log_commands import (
    MAX_DROPPED,
    MAX_ERROR,
    MAX_LINE,
    MAX_OUTPUTS,
    LogFindings,
    LogScanner,
    Outputs,
    environment_of_outputs,
)


def found_in(*pieces: bytes | tuple[int, bytes]) -> LogFindings:
    scanner = LogScanner()
    for piece in pieces:
        stream, data = (STDOUT, piece) if isinstance(piece, bytes) else piece
        scanner.feed([Piece(stream, 1, data)])
    return scanner.findings


def outputs_of(*pieces: bytes | tuple[int, bytes]) -> dict[str, str]:
    outputs = found_in(*pieces).outputs
    return {} if outputs is None else dict(outputs.values)


@pytest.mark.parametrize(
    ("line", "outputs"),
    [
        (b"::set-output rows=42", {"rows": "42"}),
        (b"::set-output name=rows::42", {"rows": "42"}),
        (b"::set-output rows=", {"rows": ""}),
        (b"::set-output name=rows::", {"rows": ""}),
        (b"::set-output name=rows", {"name": "rows"}),
        (b"::set-output url=http://x/?a=b::c", {"url": "http://x/?a=b::c"}),
        (b"::set-output _A-b_9= spaced \r", {"_A-b_9": " spaced "}),
        (b"::set-output lines=one%0Atwo%0d%25%41", {"lines": "one\ntwo\r%%41"}),
        ("::set-output word=größer\x1b[0m\x00\u202e".encode(), {"word": "größer[0m"}),
        (b"::set-output bad=\xff", {"bad": "\ufffd"}),
        (b"::set-output 9a=x", {}),
        (b"::set-output a b=x", {}),
        (b"::set-output =x", {}),
        (b"::set-output " + b"a" * 101 + b"=x", {}),
        (b"::set-outputs a=x", {}),
        (b" ::set-output a=x", {}),
        (b"echo ::set-output a=x", {}),
        (b"::SET-OUTPUT a=x", {}),
    ],
)
def test_an_output_is_a_whole_line_in_one_of_two_forms(line: bytes, outputs: dict[str, str]) -> None:
    assert outputs_of(b"before\n" + line + b"\nafter\n") == outputs
    assert outputs_of(line) == outputs


def test_the_last_value_counts_over_both_streams_in_the_order_in_which_their_lines_end() -> None:
    assert outputs_of((STDOUT, b"::set-output a=1\n"), (STDERR, b"::set-output a=2\n")) == {"a": "2"}
    assert outputs_of((STDERR, b"::set-output a=2"), (STDOUT, b"::set-output a=1\n"), (STDERR, b"\n")) == {"a": "2"}
    scanner = LogScanner()
    scanner.feed([Piece(STDERR, 1, b"::set-output a=2\n"), Piece(STDOUT, 1, b"::set-output a=1\n")])
    assert scanner.findings.outputs == Outputs({"a": "1"})


def test_a_name_with_a_new_value_is_the_last_one() -> None:
    assert list(outputs_of(b"::set-output a=1\n::set-output b=2\n::set-output a=3\n").items()) == [("b", "2"), ("a", "3")]


def test_what_is_beyond_16_kib_is_dropped_and_named_and_no_old_value_stays_for_it() -> None:
    room = MAX_OUTPUTS - len("a") - len("b")
    log = b"::set-output a=" + b"x" * room + b"\n::set-output b=\n"
    assert found_in(log).outputs == Outputs({"a": "x" * room, "b": ""})
    assert found_in(log + b"::set-output b=y\n").outputs == Outputs({"a": "x" * room}, ("b",))
    assert found_in(log + b"::set-output b=y\n::set-output a=1\n::set-output b=2\n").outputs == Outputs({"a": "1", "b": "2"})
    long = b"::set-output a=1\n::set-output a=" + b"x" * MAX_LINE
    assert found_in(long + b"\n").outputs == Outputs({}, ("a",))
    many = b"".join(b"::set-output n%d=%s\n" % (number, b"x" * MAX_OUTPUTS) for number in range(MAX_DROPPED + 5))
    outputs = found_in(many).outputs
    assert outputs is not None
    assert outputs.dropped == tuple(f"n{number}" for number in range(MAX_DROPPED))


def test_the_value_of_a_line_that_is_too_long_is_not_held() -> None:
    scanner = LogScanner()
    for _ in range(200):
        scanner.feed([Piece(STDOUT, 1, b"::set-output a=" + b"x" * 16_384)])
    assert scanner.findings.outputs == Outputs({}, ("a",))
    assert len(scanner._begun[STDOUT] or b"") <= MAX_LINE + 1


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"::error::it broke", "it broke"),
        (b"::error file=app.js,line=1,title=Oh::it broke: a::b", "it broke: a::b"),
        (b"::error::\x1b[31mred\x1b[0m\x07 and%0Amore\t\xff", "red and more \ufffd"),
        (b"::error::" + b"x" * 500, "x" * (MAX_ERROR - 1) + "…"),
        (b"::error::  ", None),
        (b"::error it broke", None),
        (b"::errors::it broke", None),
        (b"::warning::it broke", None),
        (b"x ::error::it broke", None),
    ],
)
def test_an_error_is_one_line_without_control_characters(line: bytes, error: str | None) -> None:
    assert found_in(b"before\n" + line + b"\n").error == error


def test_the_first_error_counts() -> None:
    assert found_in(b"::error::\n::error::one\n", (STDERR, b"::error::two\n")).error == "one"


PARTS = st.sampled_from(
    [b"\n", b":", b"::", b"::set-output a=", b"::set-output b=1", b"::error::", b"x", b"::\n", b"a\n::set-output a=2\n"]
)
LOGS = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), PARTS), max_size=12)


@given(LOGS, st.data())
def test_what_is_found_does_not_depend_on_how_the_log_is_cut(log: list[tuple[int, bytes]], data: st.DataObject) -> None:
    """By pieces of one byte, each by itself; and by others, several at once."""
    single = LogScanner()
    for stream, text in log:
        for byte in text:
            single.feed([Piece(stream, 1, bytes([byte]))])
    pieces = []
    for stream, text in log:
        at = data.draw(st.integers(0, len(text)))
        pieces += [Piece(stream, 1, part) for part in (text[:at], text[at:]) if part]
    at = data.draw(st.integers(0, len(pieces)))
    several = LogScanner()
    for some in (pieces[:at], pieces[at:]):
        several.feed(some)
    assert several.findings == single.findings


def test_outputs_are_variables_of_another_job() -> None:
    outputs = {"image-tag": "v1", "Rows": "42", "image_tag": "v2"}
    assert environment_of_outputs(outputs) == {"FASTLANE_OUTPUT_IMAGE_TAG": "v2", "FASTLANE_OUTPUT_ROWS": "42"}
