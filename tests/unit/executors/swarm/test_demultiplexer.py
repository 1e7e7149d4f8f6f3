"""How an engine's log is taken apart, and read on without a loss or a repeat."""

from collections.abc import Sequence
from itertools import groupby

import pytest
from hypothesis import given, strategies as st

from fastlane.executors.swarm.clocks import milliseconds, nanoseconds
from fastlane.executors.swarm.logs import LARGEST_FRAME, SLACK, Demultiplexer, begin
from fastlane.models.log import STDERR, STDOUT, Mark, Piece, Portion
from tests.support.frames import Frame, frame, header, stamp, told

NOW = 1_795_611_459_852_824_433
STEPS = [0, 0, 1, 900, 400_000, 1_000_000, 3_000_000_000]

FRAMES = st.lists(st.tuples(st.sampled_from([STDOUT, STDOUT, STDERR]), st.sampled_from(STEPS), st.binary(max_size=6)), max_size=20)


def a_log(drawn: Sequence[tuple[int, int, bytes]]) -> list[Frame]:
    """Frames whose times never go back; many are equal, many in one millisecond."""
    time, found = NOW, []
    for stream, step, content in drawn:
        time += step
        found.append((stream, time, content))
    return found


def written(log: Sequence[Frame]) -> bytes:
    return b"".join(frame(*one) for one in log)


def fed(data: bytes, cuts: Sequence[int] = (1 << 30,), taken: Demultiplexer | None = None) -> list[Portion]:
    """The portions of these bytes, cut at these sizes in turn."""
    taken = taken or Demultiplexer({})
    found, place, turn = [], 0, 0
    while place < len(data):
        size = cuts[turn % len(cuts)]
        found.append(taken.feed(data[place : place + size]))
        place, turn = place + size, turn + 1
    assert taken.whole
    return found


def content(portions: Sequence[Portion], stream: int) -> bytes:
    return b"".join(piece.data for portion in portions for piece in portion.pieces if piece.stream == stream)


def marks_after(log: Sequence[Frame]) -> dict[int, Mark]:
    """Where a reader is that has read these frames."""
    marks = {}
    for stream in {stream for stream, _, _ in log}:
        times = [time for of, time, _ in log if of == stream]
        marks[stream] = Mark(times[-1], len(times) - next((n for n in range(len(times), 0, -1) if times[n - 1] != times[-1]), 0))
    return marks


def pieces_of(log: Sequence[Frame]) -> list[Piece]:
    """What the frames come to when all came at once."""
    runs = [list(run) for _, run in groupby(log, lambda one: (one[0], one[1] // 1_000_000))]
    return [Piece(run[0][0], run[0][1], b"".join(content for _, _, content in run)) for run in runs]


@given(FRAMES, st.lists(st.integers(1, 60), min_size=1))
def test_a_log_comes_out_as_it_went_in_however_its_bytes_are_cut(drawn: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    log = a_log(drawn)
    portions = fed(written(log), cuts)
    for stream in (STDOUT, STDERR):
        assert content(portions, stream) == b"".join(text for of, _, text in log if of == stream)
    if portions:
        assert portions[-1].marks == marks_after(log)
    assert not any(portion.dropped for portion in portions)
    times = [(piece.stream, piece.time) for portion in portions for piece in portion.pieces]
    assert set(times) <= {(stream, time) for stream, time, _ in log}
    assert sorted(times, key=lambda one: one[1]) == times


@given(FRAMES)
def test_frames_of_one_stream_and_one_millisecond_are_one_piece(drawn: list[tuple[int, int, bytes]]) -> None:
    log = a_log(drawn)
    assert Demultiplexer({}).feed(written(log)).pieces == pieces_of(log)


@given(FRAMES, st.data())
def test_a_log_is_read_on_from_any_frame_without_a_loss_or_a_repeat(drawn: list[tuple[int, int, bytes]], data: st.DataObject) -> None:
    log = a_log(drawn)
    read = data.draw(st.integers(0, len(log)))
    marks = marks_after(log[:read])
    start = begin(marks)
    again = [one for one in log if one[1] >= start]
    taken = Demultiplexer(marks)
    portions = fed(written(again), (data.draw(st.integers(1, 60)),), taken)
    for stream in (STDOUT, STDERR):
        assert content(portions, stream) == b"".join(text for of, _, text in log[read:] if of == stream)
    assert not taken.missed
    assert not any(portion.dropped for portion in portions)
    if portions:
        assert portions[-1].marks == marks_after(log)


def test_a_log_is_read_on_when_its_streams_mix_otherwise_at_another_reading() -> None:
    out, err = [(STDOUT, NOW, b"a"), (STDOUT, NOW, b"b"), (STDOUT, NOW, b"c")], [(STDERR, NOW, b"1"), (STDERR, NOW, b"2")]
    taken = Demultiplexer({STDOUT: Mark(NOW, 2), STDERR: Mark(NOW, 1)})
    portion = taken.feed(written([err[0], out[0], err[1], out[1], out[2]]))
    assert (content([portion], STDOUT), content([portion], STDERR)) == (b"c", b"2")
    assert portion.marks == {STDOUT: Mark(NOW, 3), STDERR: Mark(NOW, 2)}


def test_a_clock_that_was_set_back_loses_nothing_once_the_mark_is_passed() -> None:
    times = [90, 100, 50, 60, 100]
    taken = Demultiplexer({STDOUT: Mark(NOW + 100, 1)})
    portion = taken.feed(written([(STDOUT, NOW + time, b"%d " % time) for time in times]))
    assert content([portion], STDOUT) == b"50 60 100 "
    assert portion.marks == {STDOUT: Mark(NOW + 100, 1)}


SECOND = 1_000_000_000


@given(FRAMES, st.lists(st.tuples(st.sampled_from([2, 15, 50, 4_000]), FRAMES), min_size=1, max_size=3), st.data())
def test_a_log_whose_clock_was_set_back_is_read_on_without_a_loss_or_a_repeat(
    first: list[tuple[int, int, bytes]], later: list[tuple[int, list[tuple[int, int, bytes]]]], data: st.DataObject
) -> None:
    """Wherever the reading was broken off, also before the clock was set back. A reader knows of that when it happens while it is away."""
    log, lowest = a_log(first), None
    for back, drawn in later:
        at = (log[-1][1] if log else NOW) - back * SECOND + 1  # no two readings of the clock are the same
        lowest = at if lowest is None else min(lowest, at)
        for stream, step, text in drawn:
            at += step
            log.append((stream, at, text))
    read = data.draw(st.integers(0, len(log)))
    seen = Demultiplexer({})
    fed(written(log[:read]), taken=seen)
    marks = fed(written(log[:read]))[-1].marks if read else {}
    start = min(begin(marks), (lowest or 0) - SLACK)
    taken = Demultiplexer(marks)
    portions = fed(written([one for one in log if one[1] >= start]), (data.draw(st.integers(1, 60)),), taken)
    for stream in (STDOUT, STDERR):
        assert content(portions, stream) == b"".join(text for of, _, text in log[read:] if of == stream)
    assert not taken.missed
    assert not any(portion.dropped for portion in portions)


def test_what_was_read_after_the_clock_was_set_back_is_not_read_again() -> None:
    log = [(STDOUT, NOW + time * SECOND, b"%d " % time) for time in (90, 100, 50, 60)]
    marks = fed(written(log))[-1].marks
    assert marks == {STDOUT: Mark(NOW + 60 * SECOND, 1, latest=NOW + 100 * SECOND)}
    taken = Demultiplexer(marks)
    again = [one for one in [*log, (STDOUT, NOW + 70 * SECOND, b"70 ")] if one[1] >= begin(marks)]
    portions = fed(written(again), taken=taken)
    assert content(portions, STDOUT) == b"70 "
    assert portions[-1].marks == {STDOUT: Mark(NOW + 70 * SECOND, 1, latest=NOW + 100 * SECOND)}


def test_a_reading_begins_before_the_stream_that_began_after_the_clock_was_set_back() -> None:
    log = [(STDOUT, NOW + 100 * SECOND, b"out"), (STDERR, NOW + 50 * SECOND, b"err")]
    marks = fed(written(log))[-1].marks
    assert begin(marks) <= NOW + 50 * SECOND


def test_a_mark_from_after_the_clock_was_set_back_that_is_gone_leaves_a_gap() -> None:
    taken = Demultiplexer({STDOUT: Mark(NOW + 60 * SECOND, 1, latest=NOW + 100 * SECOND)})
    (portion,) = fed(written([(STDOUT, NOW + 70 * SECOND, b"seventy "), (STDOUT, NOW + 101 * SECOND, b"more")]), taken=taken)
    assert (content([portion], STDOUT), portion.dropped) == (b"more", 1)


# what is gone


def test_a_log_whose_part_after_the_mark_was_rotated_away_has_a_gap() -> None:
    taken = Demultiplexer({STDOUT: Mark(NOW, 1), STDERR: Mark(NOW + 1, 1)})
    portions = fed(written([(STDERR, NOW + 1, b"known"), (STDOUT, NOW + 5, b"later"), (STDOUT, NOW + 9, b"last")]), (50,), taken)
    assert content(portions, STDOUT) == b"laterlast"
    assert content(portions, STDERR) == b""
    assert sum(portion.dropped for portion in portions) == 1
    assert not taken.missed


def test_a_part_of_a_long_line_that_is_missing_is_a_gap() -> None:
    portion = Demultiplexer({STDOUT: Mark(NOW, 3)}).feed(written([(STDOUT, NOW, b"a"), (STDOUT, NOW, b"b"), (STDOUT, NOW + 1, b"next")]))
    assert (content([portion], STDOUT), portion.dropped) == (b"next", 1)


def test_a_log_that_ends_before_its_mark_is_missed() -> None:
    taken = Demultiplexer({STDOUT: Mark(NOW, 2)})
    assert taken.missed
    taken.feed(frame(STDOUT, NOW, b"one"))
    assert taken.missed
    taken.feed(frame(STDOUT, NOW, b"two"))
    assert not taken.missed


def test_a_stream_whose_mark_is_older_than_the_reading_is_not_missed() -> None:
    marks = {STDOUT: Mark(NOW, 1), STDERR: Mark(NOW - 2 * SLACK, 1)}
    taken = Demultiplexer(marks)
    portion = taken.feed(written([(STDOUT, NOW, b"known"), (STDERR, NOW, b"new")]))
    assert (content([portion], STDOUT), content([portion], STDERR), portion.dropped) == (b"", b"new", 0)
    assert not taken.missed


@pytest.mark.parametrize(
    ("marks", "moment"),
    [
        ({}, 0),
        ({1: Mark(NOW, 2), 2: Mark(NOW - 800_000_000, 1)}, NOW - 800_000_000),
        ({1: Mark(NOW - 1, 2), 2: Mark(NOW, 1)}, NOW - 1),
        ({1: Mark(NOW - 60 * 10**9, 2), 2: Mark(NOW, 1)}, NOW - SLACK),
        ({1: Mark(NOW, 2)}, NOW - SLACK),
        ({2: Mark(5, 1)}, 0),
    ],
)
def test_a_reading_begins_at_the_earlier_mark_or_some_slack_before_the_later(marks: dict[int, Mark], moment: int) -> None:
    assert begin(marks) == moment


# what is told, and what is none


def test_an_error_in_the_stream_comes_after_what_came_before_it_and_ends_it() -> None:
    taken = Demultiplexer({})
    portion = taken.feed(frame(STDOUT, NOW, b"text\n") + told("the node is away\n") + frame(STDOUT, NOW, b"more"))
    assert portion.pieces == [Piece(STDOUT, NOW, b"text\n")]
    assert taken.error == "the node is away"


def test_an_unfinished_frame_is_not_whole() -> None:
    taken = Demultiplexer({})
    assert taken.feed(frame(STDOUT, NOW, b"abc")[:-1]).pieces == []
    assert not taken.whole
    assert taken.feed(b"c").pieces == [Piece(STDOUT, NOW, b"abc")]
    assert taken.whole


@pytest.mark.parametrize("start", [header(0, 1), header(4, 1), header(STDOUT, LARGEST_FRAME + 1), b"HTTP/1.1"])
@pytest.mark.parametrize("before", [b"", frame(STDOUT, NOW, b"text")])
def test_an_invalid_frame_is_an_error(before: bytes, start: bytes) -> None:
    with pytest.raises(ValueError, match="a frame of stream"):
        Demultiplexer({}).feed(before + start)


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"text",
        b"some text",
        b"2026-11-25T12:57:39.85282443xZ text",
        b"2026-11-25T12:57:39.852824433Z",
        b"2026-13-25T12:57:39.852824433Z x",
    ],
)
@pytest.mark.parametrize("before", [b"", frame(STDOUT, NOW, b"text")])
def test_a_frame_without_a_time_is_an_error(before: bytes, words: bytes) -> None:
    with pytest.raises(ValueError, match=r"without a time|month must be|is not a time"):
        Demultiplexer({}).feed(before + header(STDOUT, len(words)) + words)


def test_an_engines_times() -> None:
    assert stamp(NOW) == b"2026-11-25T12:57:39.852824433Z "
    assert nanoseconds("2026-11-25T12:57:39.852824433Z") == NOW
    assert nanoseconds("0001-01-01T00:00:00Z") == 0
    assert milliseconds("0001-01-01T00:00:00Z") is None
    assert milliseconds("2026-11-25T12:57:39.852824433Z") == NOW // 1_000_000
    assert milliseconds(None) is None
    assert milliseconds("yesterday") is None
