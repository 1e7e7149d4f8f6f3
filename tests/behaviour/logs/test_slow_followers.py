"""Followers that read slowly: each gets the whole log at its own pace, and none is taken for dead."""

import asyncio
import socket as sockets
from functools import partial
from urllib.parse import urlsplit

import aiohttp
from websockets.asyncio.client import connect

from fastlane.services import assembly
from fastlane.streams.followers import Followers
from fastlane.web.routes import websocket
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
    monkeypatch.setattr(websocket, "PING_EVERY", 0.05)
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
