"""A log that is as long as a test wants, of which nothing is stored."""

import asyncio
from typing import Any

import pytest

from fastlane.models.log import STDOUT, Head, Piece, Slice
from fastlane.streams.reader import SLICE
from tests.support.fastlane import Fastlane

ENDLESS = 10**14
"""Bytes that no search comes to the end of."""


class EndlessLog:
    """One execution's log that is read as if it were as long as wanted: the same slice again and again. ``read``: bytes so far."""

    def __init__(
        self, server: Fastlane, monkeypatch: pytest.MonkeyPatch, size: int = ENDLESS, line: bytes = b"nothing to see here, move on\n"
    ) -> None:
        self.size = size
        self.read = 0
        pieces = tuple(Piece(STDOUT, number, line * 100) for number in range(SLICE // (100 * len(line))))
        length = sum(len(piece.data) for piece in pieces)

        async def head(id: str) -> Head:
            return Head(1, self.size, self.size, 0)

        async def read(id: str, offset: int, *rest: Any) -> Slice:
            self.read = offset + length
            await asyncio.sleep(0)
            return Slice(pieces, offset + length)

        monkeypatch.setattr(server.store, "log_head", head)
        monkeypatch.setattr(server.store, "read_log", read)
