"""A load generator: repeats an HTTP/1.1 request on kept-alive connections, each as soon as it has its answer.

It uses raw sockets on uvloop, because it shares the machine with the server and must cost far less. It gets about a tenth less out of the
bare handler than wrk does (median of five alternating runs on a busy machine), which favours servers slower than that handler.
"""

import asyncio
import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from benchmarks.figures import percentile

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """The result: answers a second, and each answer's time in milliseconds."""

    rate: float
    latencies: Sequence[float]

    def percentile(self, percent: float) -> float:
        """A percentile of the answers' times, in milliseconds."""
        return percentile(self.latencies, percent)


class _Client(asyncio.Protocol):
    """One connection, one request at a time, until a moment of ``time.perf_counter`` or for ``most`` requests."""

    def __init__(self, request: bytes, until: float, most: float) -> None:
        self._request = request
        self._until = until
        self._most = most
        self._received = b""
        self._sent_at = 0.0
        self._transport: asyncio.WriteTransport | None = None
        self.latencies: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if body_of(self._received) is None:
            return
        now = time.perf_counter()
        self.latencies.append((now - self._sent_at) * 1000)
        if not self._received.startswith(b"HTTP/1.1 200"):
            self._end(RuntimeError(f"not a 200: {self._received[:2000]!r}"))
        elif now >= self._until or len(self.latencies) >= self._most:
            self._end(None)
        else:
            self._received = b""
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or RuntimeError("the server closed the connection"))

    def _send(self) -> None:
        assert self._transport is not None
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def _end(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
        if self._transport is not None:
            self._transport.close()


def post(port: int, path: str, body: bytes) -> bytes:
    """The bytes of a POST to 127.0.0.1."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def body_of(received: bytes) -> bytes | None:
    """The body of a partly received answer; None while it is incomplete."""
    head = received.find(b"\r\n\r\n")
    length = LENGTH.search(received, 0, head) if head >= 0 else None
    if length is None or len(received) < head + 4 + int(length[1]):
        return None
    return received[head + 4 :]


async def run(port: int, request: bytes, *, connections: int, seconds: float, each: float = math.inf) -> Load:
    """Loads the server on 127.0.0.1 for that long, or with ``each`` requests of each connection if they take less. Raises RuntimeError when
    an answer is not a 200."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = [loop.create_connection(lambda: _Client(request, began + seconds, each), "127.0.0.1", port) for _ in range(connections)]
    clients = [client for _, client in await asyncio.gather(*made)]
    async with asyncio.timeout(seconds + PATIENCE):
        await asyncio.gather(*(client.done for client in clients))
    took = time.perf_counter() - began
    latencies = [latency for client in clients for latency in client.latencies]
    return Load(len(latencies) / took, latencies)
