"""The followers: ``python -m benchmarks.followers_crowd PORT PATH FOLLOWERS SECONDS``, raw WebSockets on uvloop.

It prints ``ready`` once each follower has received a line. After SECONDS it prints JSON: how many lines they should have received and did
receive in that time, and the milliseconds from a line's creation to its arrival.
"""

import asyncio
import json
import sys
import time
from typing import cast

import click
import uvloop

from benchmarks.figures import percentile

PATIENCE = 60.0
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
MASK = bytes(4)


class Follower(asyncio.Protocol):
    """A follower. It answers pings, as each client does."""

    measuring = False

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self._greeted = False
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.first = self.last = -1
        self.lines = 0
        self.latencies: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)
        self.transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.begun.done():
            self.begun.set_exception(error or RuntimeError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self._rest += data
        if not self._greeted:
            head, end, self._rest = self._rest.partition(b"\r\n\r\n")
            if not end or not head.startswith(b"HTTP/1.1 101"):
                raise RuntimeError(f"no WebSocket: {head[:200]!r}")
            self._greeted = True
        while len(self._rest) > 3:
            size, start = self._rest[1], 2
            if size == 126:
                size, start = int.from_bytes(self._rest[2:4], "big"), 4
            elif size == 127:
                size, start = int.from_bytes(self._rest[2:10], "big"), 10
            if len(self._rest) < start + size:
                break
            if self._rest[0] == 0x81:
                self._take(self._rest[start : start + size], now)
            elif self._rest[0] == 0x89:
                self.transport.write(bytes((0x8A, 0x80 | size)) + MASK + self._rest[start : start + size])
            self._rest = self._rest[start + size :]

    def _take(self, text: bytes, now: int) -> None:
        for line in text.splitlines():
            made, number, _ = line.split(b" ", 2)
            if self.measuring:
                self.first = int(number) if self.first < 0 else self.first
                self.last = int(number)
                self.lines += 1
                self.latencies.append((now - int(made)) / 1e6)
        if not self.begun.done():
            self.begun.set_result(None)


async def run(port: int, path: str, count: int, seconds: float) -> None:
    """Connects the followers and measures."""
    loop = asyncio.get_running_loop()
    request = HANDSHAKE.format(path=path, port=port).encode()
    followers: list[Follower] = []
    for _ in range(count):
        _, follower = await loop.create_connection(lambda: Follower(request), "127.0.0.1", port)
        followers.append(follower)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(follower.begun for follower in followers))
        await asyncio.sleep(2.0)
    for follower in followers:
        follower.measuring = True
    click.echo("ready")
    await asyncio.sleep(seconds)
    for follower in followers:
        follower.measuring = False
    latencies = [latency for follower in followers for latency in follower.latencies]
    expected = sum(follower.last - follower.first + 1 for follower in followers)
    told = {
        "expected": expected,
        "lines": sum(follower.lines for follower in followers),
        "least": min(follower.lines for follower in followers),
        "p50": percentile(latencies, 50),
        "p99": percentile(latencies, 99),
    }
    click.echo(json.dumps(told))


if __name__ == "__main__":
    uvloop.run(run(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
