"""Searches a stored log for lines, in slices of pieces, with the numbers that lines have on the log page: by when their first byte was
stored, over both streams. Holds the unfinished line of each stream, 64 KiB of it at most. Pure."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fastlane.models.log import STDERR, STDOUT, Piece
from fastlane.models.pattern import Pattern

LONGEST_LINE = 64 * 1024
"""Bytes of a line that are searched together. The rest of a longer line is searched by itself."""
LONGEST_TEXT, BEFORE_MATCH = 1_000, 200
"""Characters of a line that a hit shows, and how many of them stand before the match where the line is longer."""
_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-Z\\^-~])")
"""The terminal's sequences, such as colours, which no search finds."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A line with a match. ``position``: where the line ends in the stored log, after its line end. ``number``: which line it is,
    from 1. ``time``: when its first byte came, in nanoseconds. ``text``: the line, or a part of it with the match (``cut``), without the
    terminal's sequences; ``begin`` and ``end``: where the match is in this text, in characters."""

    position: int
    number: int
    time: int
    stream: int
    text: str
    begin: int
    end: int
    cut: bool = False


@dataclass(slots=True)
class _Line:
    """A line of a stream, or its beginning: its bytes so far that were not searched. ``found``: it has had a hit; ``is_rest``: the bytes
    are not its first ones."""

    number: int
    time: int
    data: bytes = b""
    found: bool = False
    is_rest: bool = False


class _Run(NamedTuple):
    """A piece: where it begins in its stream's joined bytes and in the stored log, when it came, how many lines of the log had begun before
    it, and whether it begins within a line."""

    joined: int
    offset: int
    time: int
    lines: int
    is_within: bool


class LineSearcher:
    """The search of one log, from its beginning. ``stream``: which stream is searched; None: both. Lines that end up to ``after`` are read,
    and not searched: they were before. At most ``most`` hits of a stream come of one ``feed``. ``offset``: how far it is in the stored log.
    """

    def __init__(self, pattern: Pattern, stream: int | None = None, *, after: int = 0, most: int = 1_000_000) -> None:
        self._pattern = pattern
        self._stream = stream
        self._after = after
        self._most = most
        self._open: dict[int, _Line | None] = {STDOUT: None, STDERR: None}
        self._lines = 0
        self.offset = 0

    def feed(self, pieces: Sequence[Piece]) -> Iterator[Hit | None]:
        """Searches the next pieces of the log. Each None is a pause, after a little work. The hits are in the order in which the lines end,
        however the log is cut into pieces."""
        runs, joined = self._runs(pieces)
        hits: list[Hit] = []
        for stream, data in joined.items():
            left, is_searched = self._most, self._is_wanted(stream) and self.offset > self._after
            for found in self._scan(stream, data, runs[stream], is_searched):
                if found is None or found.position <= self._after:
                    yield None
                    continue
                hits.append(found)
                left -= 1
                if not left:
                    break
        yield from sorted(hits, key=lambda hit: hit.position)

    def finish(self) -> Iterator[Hit | None]:
        """Searches the lines that have no line end, of a log that has ended."""
        lines = sorted((line.number, stream, line) for stream, line in self._open.items() if line is not None)
        for place, (_, stream, line) in enumerate(lines, 1):
            if self._is_wanted(stream) and self.offset + place > self._after:
                yield from self._search(stream, line, self.offset + place)
            self._open[stream] = None

    def _is_wanted(self, stream: int) -> bool:
        return self._stream in (None, stream)

    def _runs(self, pieces: Sequence[Piece]) -> tuple[dict[int, list[_Run]], dict[int, bytes]]:
        """The pieces of each stream, and its bytes."""
        runs: dict[int, list[_Run]] = {}
        parts: dict[int, list[bytes]] = {}
        sizes = {STDOUT: 0, STDERR: 0}
        within = {stream: line is not None for stream, line in self._open.items()}
        for stream, time, data in pieces:
            if not data:
                continue
            runs.setdefault(stream, []).append(_Run(sizes[stream], self.offset, time, self._lines, within[stream]))
            parts.setdefault(stream, []).append(data)
            ends = data.endswith(b"\n")
            self._lines += data.count(b"\n") - ends + (not within[stream])
            within[stream] = not ends
            sizes[stream] += len(data)
            self.offset += len(data)
        return runs, {stream: b"".join(found) for stream, found in parts.items()}

    def _scan(self, stream: int, data: bytes, runs: Sequence[_Run], is_searched: bool) -> Iterator[Hit | None]:
        """Searches the next bytes of a stream, and keeps what comes after the last line end."""
        start, last = 0, data.rfind(b"\n") + 1
        line = self._open[stream]
        if line is not None:
            end = data.find(b"\n")
            line.data += data if end < 0 else data[:end]
            if end < 0 and len(line.data) < LONGEST_LINE:
                return
            if is_searched:
                yield from self._search(stream, line, _stored(len(data) if end < 0 else end + 1, runs))
            if end < 0:
                line.data, line.is_rest = b"", True
                return
            start = end + 1
        self._open[stream] = _line(data, last, len(data), runs) if last < len(data) else None
        if is_searched:
            for begin, end in self._candidates(data, start, last):
                yield from self._search(stream, _line(data, begin, end, runs), _stored(end + 1, runs))
                yield None

    def _candidates(self, data: bytes, start: int, last: int) -> Iterator[tuple[int, int]]:
        """Where the whole lines begin and end that may have a match."""
        find = None if b"\x1b" in data else self._pattern.contains(data)  # a sequence may stand within the text
        while start < last:
            if find is not None:
                found = find(start, last)
                if found < 0:
                    return
                start = max(start, data.rfind(b"\n", start, found) + 1)
            end = data.find(b"\n", start, last)
            yield start, end
            start = end + 1

    def _search(self, stream: int, line: _Line, position: int) -> Iterator[Hit | None]:
        """The hit of a line, or of the part of it that is there."""
        if line.found:
            return
        data = line.data.removesuffix(b"\r")
        text = (_SEQUENCE.sub(b"", data) if b"\x1b" in data else data).decode(errors="replace")
        for found in self._pattern.search(text):
            if found is None:
                yield None
            elif found:
                line.found = True
                yield _hit(stream, line, position, text, *(self._pattern.find(text) or (0, 0)))


def _run_at(place: int, runs: Sequence[_Run]) -> _Run:
    """The piece that a byte of a stream's joined bytes is in."""
    return runs[bisect_right(runs, place, key=lambda run: run.joined) - 1]


def _stored(end: int, runs: Sequence[_Run]) -> int:
    """The place in the stored log that comes after a stream's first ``end`` joined bytes, of which there is one at least."""
    run = _run_at(end - 1, runs)
    return run.offset + end - run.joined


def _line(data: bytes, begin: int, end: int, runs: Sequence[_Run]) -> _Line:
    """A line of a stream's joined bytes."""
    run = _run_at(begin, runs)
    number = run.lines + data.count(b"\n", run.joined, begin) + (not run.is_within)
    return _Line(number, run.time, data[begin:end])


def _hit(stream: int, line: _Line, position: int, text: str, begin: int, end: int) -> Hit:
    """The hit, with a part of the line where that is long."""
    first = 0 if len(text) <= LONGEST_TEXT else max(0, min(begin - BEFORE_MATCH, len(text) - LONGEST_TEXT))
    shown = text[first : first + LONGEST_TEXT]
    is_cut = len(shown) < len(text) or line.is_rest
    return Hit(position, line.number, line.time, stream, shown, begin - first, min(end - first, len(shown)), is_cut)
