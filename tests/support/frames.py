"""The frames of an engine's log, written and read without any of fastlane's own code for them."""

import datetime
import struct

Frame = tuple[int, int, bytes]
"""The stream, the time in nanoseconds since 1970, the content."""

ERROR = 3
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def header(stream: int, size: int) -> bytes:
    """The eight bytes before a frame's content."""
    return bytes([stream, 0, 0, 0]) + struct.pack(">I", size)


def stamp(time: int) -> bytes:
    """A time as the engine writes it, with the space behind it."""
    second = EPOCH + datetime.timedelta(seconds=time // 10**9)
    return f"{second:%Y-%m-%dT%H:%M:%S}.{time % 10**9:09d}Z ".encode()


def frame(stream: int, time: int, content: bytes) -> bytes:
    """One frame."""
    return header(stream, 31 + len(content)) + stamp(time) + content


def told(words: str) -> bytes:
    """An error in the stream, which has no time."""
    return header(ERROR, len(words)) + words.encode()


def read(data: bytes) -> list[Frame]:
    """The frames of a whole log; fails for one that is not whole."""
    found = []
    while data:
        size = int.from_bytes(data[4:8], "big")
        content = data[8 : 8 + size]
        assert len(content) == size
        moment, _, rest = content.partition(b" ")
        whole, _, fraction = moment.rstrip(b"Z").decode().partition(".")
        seconds = (datetime.datetime.fromisoformat(whole + "+00:00") - EPOCH) // datetime.timedelta(seconds=1)
        found.append((data[0], seconds * 10**9 + int(fraction.ljust(9, "0")), rest))
        data = data[8 + size :]
    return found
