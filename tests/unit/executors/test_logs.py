"""Frames, times and marks: how an engine's log is taken apart, and read on without a loss or a repeat."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlane.executors.logs import LARGEST_FRAME, Frames, Times, Unread, since
from fastlane.executors.timestamps import milliseconds, nanoseconds
from fastlane.models.log import Mark


def framed(stream: int, content: bytes) -> bytes:
    return struct.pack(">BxxxI", stream, len(content)) + content


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=40))), st.lists(st.integers(1, 30), min_size=1))
def test_frames_come_out_as_they_went_in_however_the_bytes_are_cut(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = b"".join(framed(stream, content) for stream, content in frames)
    reader, found, place, turn = Frames(), [], 0, 0
    while place < len(data):
        size = cuts[turn % len(cuts)]
        found += list(reader.feed(data[place : place + size]))
        place, turn = place + size, turn + 1
    assert found == frames
    assert reader.whole


def test_an_unfinished_frame_is_not_whole() -> None:
    reader = Frames()
    assert list(reader.feed(framed(1, b"abc")[:-1])) == []
    assert not reader.whole


@pytest.mark.parametrize("header", [struct.pack(">BxxxI", 4, 1), struct.pack(">BxxxI", 1, LARGEST_FRAME + 1), b"HTTP/1.1"])
def test_what_is_no_frame_is_an_error(header: bytes) -> None:
    with pytest.raises(ValueError, match="a frame of stream"):
        list(Frames().feed(header))


@pytest.mark.parametrize(
    ("frame", "time", "rest"),
    [
        (b"2026-11-25T12:57:39.852824433Z text\n", 1_795_611_459_852_824_433, b"text\n"),
        (b"2026-11-25T12:57:39.852824434Z ", 1_795_611_459_852_824_434, b""),
        (b"2026-11-25T12:57:40.000000000Z  two", 1_795_611_460_000_000_000, b" two"),
        (b"2026-11-25T12:57:40Z x", 1_795_611_460_000_000_000, b"x"),
        (b"2026-11-25T13:57:40.5+01:00 x", 1_795_611_460_500_000_000, b"x"),
    ],
)
def test_a_frames_time(frame: bytes, time: int, rest: bytes) -> None:
    times = Times()
    assert times.split(frame) == (time, rest)
    assert times.split(frame) == (time, rest)


@pytest.mark.parametrize("frame", [b"", b"text", b"some text", b"2026-11-25T12:57:39.85282443xZ text"])
def test_a_frame_without_a_time_is_an_error(frame: bytes) -> None:
    with pytest.raises(ValueError, match=r"without a time|is not a time"):
        Times().split(frame)


def test_an_engines_times() -> None:
    assert nanoseconds("2026-11-25T12:57:39.852824433Z") == 1_795_611_459_852_824_433
    assert nanoseconds("0001-01-01T00:00:00Z") == 0
    assert milliseconds("0001-01-01T00:00:00Z") is None
    assert milliseconds("2026-11-25T12:57:39.852824433Z") == 1_795_611_459_852
    assert milliseconds(None) is None
    assert milliseconds("yesterday") is None


def mark_after(times: list[int]) -> Mark | None:
    return Mark(times[-1], times.count(times[-1])) if times else None


@given(st.lists(st.integers(0, 3)), st.data())
def test_a_stream_is_read_on_from_any_place_without_a_loss_or_a_repeat(steps: list[int], data: st.DataObject) -> None:
    times = [100 + sum(steps[: place + 1]) for place in range(len(steps))]
    read = data.draw(st.integers(0, len(times)))
    mark = mark_after(times[:read])
    unread = Unread(mark)
    again = [place for place, time in enumerate(times) if mark is None or time >= mark.time]
    assert [place for place in again if unread.is_new(times[place])] == list(range(read, len(times)))


def test_once_the_mark_is_passed_a_clock_that_was_set_back_loses_nothing() -> None:
    unread = Unread(Mark(100, 1))
    assert [unread.is_new(time) for time in (90, 100, 50, 60, 100)] == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("marks", "text"),
    [
        ({}, "0"),
        ({1: Mark(1_795_611_459_852_824_433, 2), 2: Mark(1_795_611_459_052_824_433, 1)}, "1795611459.052824433"),
        ({1: Mark(1_795_611_459_852_824_433, 2)}, "1795611457.852824433"),
        ({2: Mark(5, 1)}, "0.000000000"),
    ],
)
def test_a_reading_begins_at_the_earlier_mark(marks: dict[int, Mark], text: str) -> None:
    assert since(marks) == text
