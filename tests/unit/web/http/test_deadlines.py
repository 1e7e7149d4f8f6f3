"""How long a client may take for the head of a request."""

import asyncio
import socket

import pytest
from tornado.http1connection import HTTP1ServerConnection

from fastlane.web.http import connection
from fastlane.web.http.connection import HEAD_WITHIN, ClientDeadlines, CountedStream, HeldMemory


async def test_a_head_has_its_ten_seconds_after_the_sweep_that_finds_it_begun_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SWEEP_EVERY", 600.0)  # only the sweeps below
    here, there = socket.socketpair()
    stream, deadlines = CountedStream(here), ClientDeadlines()
    stream.memory = HeldMemory()
    client = HTTP1ServerConnection(stream)
    began = asyncio.get_running_loop().time()
    deadlines.set(client, 300, for_head=True)
    there.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
    head = asyncio.ensure_future(stream.read_until(b"\r\n\r\n"))
    await asyncio.wait([head], timeout=0)
    assert stream.unread
    for seconds in (0.0, 5.0, HEAD_WITHIN - 0.01):
        deadlines.sweep(began + seconds)
        assert not stream.closed(), f"{seconds} s after its first bytes"
    deadlines.sweep(began + HEAD_WITHIN)
    assert stream.closed()
    await asyncio.wait([head])
    assert head.exception() is not None
    deadlines.close()
    there.close()
