"""Writing past Tornado: every byte once and in order, however slowly the peer reads; errors are Tornado's."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator

import pytest
from tornado.iostream import IOStream, SSLIOStream, StreamClosedError

from fastlane.web.streaming.websocket import write
from tests.support.waiting import until

Pair = tuple[IOStream, socket.socket]


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """A connection, and its peer."""
    ours, peer = socket.socketpair()
    stream = IOStream(ours)
    peer.setblocking(False)
    yield stream, peer
    stream.close()
    peer.close()


async def test_a_write_is_with_the_peer_at_once_and_leaves_nothing_to_the_loop(pair: Pair):
    stream, peer = pair
    write(stream, b"frame")
    assert peer.recv(100) == b"frame"
    assert not stream.writing()


async def test_what_a_slow_peer_does_not_take_arrives_later_and_in_order(pair: Pair):
    stream, peer = pair
    frames = [bytes([number % 251]) * (number * 37 % 50_000 + 1) for number in range(200)]
    for frame in frames[:100]:
        write(stream, frame)
    assert stream.writing()
    later, got = iter(frames[100:]), bytearray()
    while len(got) < sum(map(len, frames)):
        got += await asyncio.wait_for(asyncio.get_running_loop().sock_recv(peer, 30_000), 20)
        write(stream, next(later, b""))  # while others wait, and after that
    assert bytes(got) == b"".join(frames)


async def test_a_peer_that_is_gone_closes_the_connection(pair: Pair):
    stream, peer = pair
    peer.close()
    write(stream, b"frame")
    await until(stream.closed, "the connection to be closed")
    with pytest.raises(StreamClosedError):
        write(stream, b"frame")


async def test_tls_is_written_by_tornado(monkeypatch):
    ours, peer = socket.socketpair()
    stream = SSLIOStream(ours, ssl_options=ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
    written = []
    monkeypatch.setattr(stream, "write", written.append)
    write(stream, b"frame")
    assert written == [b"frame"]
    stream.close()
    peer.close()
