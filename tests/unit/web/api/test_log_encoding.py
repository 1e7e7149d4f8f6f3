"""What goes out: frames as RFC 6455 has them, events as the HTML standard has them."""

import json
import struct

import pytest

from fastlane.models.log import STDERR, STDOUT, Cursor, Piece
from fastlane.streams.batch import batch_of
from fastlane.streams.follower import FinalState
from fastlane.web.api.log_encoding import LARGEST_FRAME, LogFormat, encoder, end_event, server_sent_event, websocket_frame

ID = "0190a1b2-c3d4-8e5f-9a6b-7c8d9e0f1a2b"
PIECES = [Piece(STDOUT, 1_700_000_000_123_456_789, "ä\n".encode()), Piece(STDERR, 1_700_000_000_999_999_999, b"e\r\n\n")]


def payloads(data: bytes) -> list[bytes]:
    """The payloads of text frames that are whole and unmasked."""
    found = []
    while data:
        assert data[0] == 0x81
        size, head = data[1], 2
        if size == 126:
            size, head = struct.unpack(">H", data[2:4])[0], 4
        elif size == 127:
            size, head = struct.unpack(">Q", data[2:10])[0], 10
        found.append(data[head : head + size])
        data = data[head + size :]
    return found


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_a_frame_says_how_long_it_is(size):
    made = websocket_frame(b"x" * size)
    assert payloads(made) == [b"x" * size]
    assert len(made) == size + (2 if size < 126 else 4 if size < 65_536 else 10)


def test_text_is_gathered_into_frames_that_are_not_large():
    batch = batch_of(Cursor(ID, 0), [Piece(STDOUT, 1, b"\xff" * 100_000), Piece(STDERR, 1, b"end")])
    found = payloads(encoder(LogFormat.TEXT, None)(batch))
    assert all(len(text) <= LARGEST_FRAME for text in found)
    assert b"".join(found).decode() == "\ufffd" * 100_000 + "end"


@pytest.mark.parametrize(("stream", "chosen"), [(None, [0, 1]), (STDOUT, [0]), (STDERR, [1])])
def test_each_form_has_the_streams_that_were_asked_for(stream, chosen):
    batch = batch_of(Cursor(ID, 0), PIECES)
    expected = [
        {"cursor": f"{ID}:3", "stream": "stdout", "time": "2023-11-14T22:13:20.123Z", "text": "ä\n"},
        {"cursor": f"{ID}:7", "stream": "stderr", "time": "2023-11-14T22:13:20.999Z", "text": "e\r\n\n"},
    ]
    assert [json.loads(text) for text in payloads(encoder(LogFormat.JSON, stream)(batch))] == [expected[place] for place in chosen]
    assert b"".join(payloads(encoder(LogFormat.TEXT, stream)(batch))) == b"".join(PIECES[place].data for place in chosen)
    assert encoder(LogFormat.BYTES, stream)(batch) == b"".join(PIECES[place].data for place in chosen)
    blocks = encoder(LogFormat.EVENTS, stream)(batch).split(b"\n\n")
    assert blocks.pop() == b""
    assert [block.split(b"\n")[1] for block in blocks] == [f"id: {expected[place]['cursor']}".encode() for place in chosen]
    assert all(block.startswith(b"event: log\n") and len(block.split(b"\n")) == 3 for block in blocks)


def test_nothing_of_a_stream_is_nothing_to_send():
    batch = batch_of(Cursor(ID, 0), PIECES[:1])
    for form in LogFormat:
        assert encoder(form, STDERR)(batch) == b""


def test_the_same_choice_is_the_same_function():
    assert encoder(LogFormat.TEXT, None) is encoder(LogFormat.TEXT, None)


def test_the_last_event_has_the_cursor_of_the_end():
    end = FinalState("failed", 3, Cursor(ID, 9, ended=True))
    assert server_sent_event("end", end_event(end), end.cursor) == (
        f'event: end\nid: {ID}:9:end\ndata: {{"event":"end","status":"failed","exitCode":3}}\n\n'.encode()
    )
