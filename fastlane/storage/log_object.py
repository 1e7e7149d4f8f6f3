"""The object that an archived log is: its chunks in segments, each compressed by itself, and an index of them at the end. Pure.

Every segment, and the index, is a member of one gzip file, whose checksum tells damage. A segment has, for each chunk, a line of JSON with
its numbers, then the index of its pieces and their bytes. So any part of a log is read by decompressing some 256 KiB.
"""

import zlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from fastlane.errors import ArchiveDamaged
from fastlane.storage.values import FAULTS

SEGMENT = 256 * 1024
"""Bytes from which on a segment is full: it takes no further chunk."""
FORMAT = 1
NUMBERS = (
    *("sequence", "start_offset", "start_stdout", "start_stderr", "end_offset", "end_stdout", "end_stderr"),
    *("dropped", "marks"),
)
"""What the line of a chunk has beside the lengths of what follows it."""
HEAD = ("sequence", "end_offset", "end_stdout", "end_stderr", "dropped", "marks")
"""What the index says of the end of each segment."""
_GZIP = 31

Chunk = Mapping[str, Any]
"""A chunk, as the store has it: ``NUMBERS``, ``pieces`` and ``data``."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Where a segment is in its object, how long it is there and decompressed, and where the log stands at its end, as ``HEAD``."""

    at: int
    length: int
    size: int
    end: Mapping[str, Any]


class LogObjectWriter:
    """Writes the object of a log, chunk by chunk. ``index_at``, ``size`` and ``digest`` count once it is finished."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._filled = 0
        self._segments: list[Segment] = []
        self._digest = sha256()
        self.size = self.index_at = self.lines = 0
        self.last: Chunk | None = None

    @property
    def digest(self) -> str:
        """The SHA-256 of all that was returned."""
        return self._digest.hexdigest()

    def add(self, chunk: Chunk) -> bytes:
        """The next bytes of the object, after this chunk; mostly none."""
        pieces, data = bytes(chunk["pieces"]), bytes(chunk["data"])
        line = {**{name: chunk[name] for name in NUMBERS}, "pieces": len(pieces), "data": len(data)}
        parts = (orjson.dumps(line), b"\n", pieces, data)
        self._parts += parts
        self._filled += sum(map(len, parts))
        self.lines += data.count(b"\n")
        self.last = chunk
        return self._segment() if self._filled >= SEGMENT else b""

    def finish(self) -> bytes:
        """The last bytes of the object."""
        rest = self._segment() if self._filled else b""
        self.index_at = self.size
        index = {"format": FORMAT, "segments": [[one.at, one.length, one.size, *one.end.values()] for one in self._segments]}
        return rest + self._out(_compressed(orjson.dumps(index)))

    def _segment(self) -> bytes:
        assert self.last is not None
        data = _compressed(b"".join(self._parts))
        self._segments.append(Segment(self.size, len(data), self._filled, {name: self.last[name] for name in HEAD}))
        self._parts, self._filled = [], 0
        return self._out(data)

    def _out(self, data: bytes) -> bytes:
        self._digest.update(data)
        self.size += len(data)
        return data


class LogIndex:
    """The index of an object."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments = segments

    @classmethod
    def read(cls, data: bytes, what: str) -> "LogIndex":
        """The index in these bytes. Raises ArchiveDamaged, which says ``what`` is damaged."""
        try:
            stored = orjson.loads(_decompressed(data, None))
            if stored["format"] != FORMAT:
                raise ValueError(f"its format is {stored['format']}, from a newer fastlane")
            return cls([Segment(row[0], row[1], row[2], dict(zip(HEAD, row[3:], strict=True))) for row in stored["segments"]])
        except (zlib.error, *FAULTS) as error:
            raise damaged(what, error) from error

    def after(self, offset: int, end: str) -> Sequence[Segment]:
        """The segments that have bytes from this offset on; ``end``: the field that counts."""
        return self.segments[bisect_right(self.segments, offset, key=lambda segment: int(segment.end[end])) :]


def chunks_of(data: bytes, segment: Segment, what: str) -> Iterator[dict[str, Any]]:
    """The chunks of a segment's bytes. Raises ArchiveDamaged, which says ``what`` is damaged."""
    try:
        whole, start = _decompressed(data, segment.size), 0
        while start < len(whole):
            line_end = whole.index(b"\n", start)
            chunk = orjson.loads(whole[start:line_end])
            data_at = line_end + 1 + chunk["pieces"]
            start = data_at + chunk["data"]
            yield {**chunk, "pieces": whole[line_end + 1 : data_at], "data": whole[data_at:start]}
    except (zlib.error, *FAULTS) as error:
        raise damaged(what, error) from error


def damaged(what: str, error: Exception) -> ArchiveDamaged:
    """The error of an object that is not as it was written."""
    return ArchiveDamaged(f"{what} is damaged ({type(error).__name__}: {error}); restore it from a backup of the archive")


def _compressed(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=_GZIP)
    return packer.compress(data) + packer.flush()


def _decompressed(data: bytes, size: int | None) -> bytes:
    """What is in a member, of this size if it is known. Never makes more than that."""
    unpacker = zlib.decompressobj(wbits=_GZIP)
    whole = unpacker.decompress(data, 0 if size is None else size + 1)
    if not unpacker.eof or unpacker.unused_data or (size is not None and len(whole) != size):
        raise ValueError("its length is wrong")
    return whole
