"""Followers that read slowly: each gets the whole log at its own pace, and none is taken for dead."""

import asyncio
import socket as sockets
from functools import partial
from urllib.parse import urlsplit

import aiohttp
from websockets.asyncio.client import connect

from fastlane.services import assembly
from fastlane.streams.followers import Followers
from fastlane.web.streaming.websocket import SocketSink
from tests.support.fastlane import Fastlane
from tests.support.followers import socket

BLOCK = b"".join(b"%07d %s\n" % (number, b"x" * 91) for number in range(5_000))
"""Half a megabyte of lines."""
BLOCKS = 16


async def large(server: Fastlane) -> dict[str, str]:
    """A job that has written 8 MB and ended."""
    return await server.run_to_end("task", *[(1, BLOCK)] * BLOCKS)


def narrow(server: Fastlane) -> sockets.socket:
    """A connection whose client keeps little of what it has not read."""
    made = sockets.socket()
    made.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 64 * 1024)
    made.connect(("127.0.0.1", server.port))
    made.setblocking(False)
    return made


async def test_a_websocket_that_reads_slowly_gets_all_of_a_large_log_on_one_connection(server, monkeypatch):
    """Pings are due far more often than the client can answer them: they lie behind what it has not read yet."""
    monkeypatch.setattr(server.context.traffic.heartbeats, "every", 0.05)
    reply = await large(server)
    url = f"ws://localhost:{server.port}{urlsplit(reply['jobUrl']).path}ws"
    got = []
    async with asyncio.timeout(60), connect(url, sock=narrow(server), max_queue=1, ping_interval=None, proxy=None) as client:
        async for message in client:
            got.append(message)
            await asyncio.sleep(0.02)  # the pace of this client
    assert "".join(got) == BLOCK.decode() * BLOCKS
    assert (client.close_code, client.close_reason) == (1000, "done")


async def test_a_websocket_is_never_sent_much_that_it_has_not_read(serve, monkeypatch):
    """A client that answers no ping is not known to have read anything; it is told to come again."""
    monkeypatch.setattr(assembly, "Followers", partial(Followers, slow_after=0.3))
    async with serve() as server:
        reply = await large(server)
        size = 0
        async with asyncio.timeout(30), server.client.ws_connect(f"{reply['jobUrl']}ws", autoping=False) as client:
            while (message := await client.receive()).type is not aiohttp.WSMsgType.CLOSE:
                size += len(message.data) if message.type is aiohttp.WSMsgType.TEXT else 0
        assert message.extra == "retry"
        assert 128 * 1024 < size < 512 * 1024
        async with socket(server, f"{reply['jobUrl']}ws") as reader:
            got = await reader.closed()
        assert (got.text, got.end) == (BLOCK.decode() * BLOCKS, (1000, "done"))


async def test_a_websocket_that_claims_to_have_read_what_it_has_not_is_sent_no_more(server, monkeypatch):
    """Its answers name positions that it may guess, and it takes nothing from its connection: only the server could hold the log."""
    sent = []
    send = SocketSink.send
    monkeypatch.setattr(SocketSink, "send", lambda sink, data: (sent.append(len(data)), send(sink, data)))
    reply = await large(server)
    reader, writer = await asyncio.open_connection(sock=narrow(server), limit=64 * 1024)
    writer.write(handshake(f"{urlsplit(reply['jobUrl']).path}ws"))
    try:
        async with asyncio.timeout(60):
            await reader.readuntil(b"\r\n\r\n")
            for position in range(0, len(BLOCK) * BLOCKS, 16 * 1024):
                writer.write(pong(b"%d" % position))
                await asyncio.sleep(0.002)  # the server reads on, if it believes this
    finally:
        writer.close()
    assert 128 * 1024 < sum(sent) < 512 * 1024


async def test_a_websocket_is_never_sent_much_json_of_a_log_of_single_bytes(serve, monkeypatch):
    """Each byte that a command writes to its streams in turn is a message of its own, which takes more than a hundred bytes."""
    monkeypatch.setattr(assembly, "Followers", partial(Followers, slow_after=0.3))
    async with serve() as server:
        reply = await server.enqueue()
        execution = await server.run(reply)
        await server.append_log(execution, *[(number % 2 + 1, b"\n") for number in range(60_000)])
        await server.end(execution)
        size = 0
        async with asyncio.timeout(30), server.client.ws_connect(f"{reply['jobUrl']}ws?format=json", autoping=False) as client:
            while (message := await client.receive()).type is not aiohttp.WSMsgType.CLOSE:
                size += len(message.data) if message.type is aiohttp.WSMsgType.TEXT else 0
        assert 128 * 1024 < size < 1024 * 1024
        async with socket(server, f"{reply['jobUrl']}ws?format=json") as reader:
            got = await reader.closed()
        assert (got.log, got.end) == ("\n" * 60_000, (1000, "done"))


def handshake(path: str) -> bytes:
    lines = (f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    return "\r\n".join((*lines, f"Sec-WebSocket-Key: {'A' * 22}==", "", "")).encode()


def pong(payload: bytes) -> bytes:
    """A pong as clients send it, masked with zeros."""
    return bytes((0x8A, 0x80 | len(payload), 0, 0, 0, 0)) + payload
