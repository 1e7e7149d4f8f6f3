"""Puts the time before each line of a log that is sent as text. Pure."""

from collections.abc import Iterable

from fastlane.clock import iso
from fastlane.models.logs.chunk import STDERR, STDOUT, Piece


class TimedLines:
    """One text. It remembers of each stream whether its next byte begins a line."""

    def __init__(self) -> None:
        self._begins = {STDOUT: True, STDERR: True}

    def render(self, pieces: Iterable[Piece]) -> bytes:
        """The pieces, with the time of the piece and a space before each line that begins in it."""
        return b"".join(map(self._piece, pieces))

    def _piece(self, piece: Piece) -> bytes:
        if not piece.data:
            return b""
        time = iso(piece.time // 1_000_000).encode() + b" "
        *lines, rest = piece.data.split(b"\n")
        text = (b"\n" + time).join(lines) + b"\n" if lines else b""
        text += time + rest if lines and rest else rest
        begins, self._begins[piece.stream] = self._begins[piece.stream], not rest
        return time + text if begins else text
