"""The log of an engine task in portions, read by an async HTTP client: a reader that waits costs no thread, and its close ends it at once.

Reading on: each stream comes in the same order at every reading, while the two may mix otherwise. ``since`` counts nanoseconds and
includes its own moment. So a reading asks for what came since the earlier stream's mark, and drops of each stream what its mark covers.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, Mapping

import aiohttp

from fastlane.errors import FastlaneError, HostDown, LogLost, OrderRefused
from fastlane.executors.swarm.client.client import base_url
from fastlane.executors.swarm.client.faults import NotHostsFault, message, plain, refusal
from fastlane.executors.swarm.logs.demultiplexer import Demultiplexer, begin
from fastlane.models.logs.chunk import Mark, Portion

CONNECT_WITHIN = 5.0
OPEN_WITHIN = 15.0
READ_WITHIN = 60.0
"""Seconds for each reading of a log to its end. Before it gives the first byte, an engine looks through all that is older."""
READ_SIZE = 128 * 1024
GATHER = 0.001
"""Seconds for which a log that comes fast is not read: the engine sends each line alone, and a wake-up a line costs more than the line."""

END_SEEN_WITHIN = 10.0
"""Seconds after the end of a container's log for which nobody is told that it broke off: the container has ended, and soon that is seen."""

KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A log that is followed may be silent for as long as its job is: after 10 s without a byte the peer's machine is asked whether it is
still there, and after 15 s more without an answer the connection is broken."""

_FINAL = ("does not support reading", "No such container", "dead or marked for removal")
"""Words of errors, most of them told in a log's stream, that no further reading mends; others, such as a node that is away, may pass."""


class LogReader:
    """Reads logs from one host. To be made and closed in a running event loop."""

    def __init__(self, host: str) -> None:
        self._host = host
        url = base_url(host)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WITHIN)
        connector: aiohttp.BaseConnector
        if url.startswith("unix://"):
            connector = aiohttp.UnixConnector(path=url.removeprefix("unix://"), limit=0)
            self._base = "http://docker"
        else:
            connector = aiohttp.TCPConnector(limit=0, socket_factory=_lively_socket)
            self._base = url.replace("tcp://", "http://", 1)
        self._time = asyncio.get_running_loop().time
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False)

    async def close(self) -> None:
        """Ends every connection; who still reads gets HostDown."""
        await self._session.close()

    async def open(
        self, version: str, task_id: str, marks: Mapping[int, Mark], *, follow: bool, container: str | None = None
    ) -> aiohttp.ClientResponse:
        """The engine's answer, of which nothing but the head is read yet. ``container``: the task's, if it is on this very engine. Raises
        HostDown, ServiceGone, LogLost."""
        params = {"stdout": "1", "stderr": "1", "timestamps": "1", "follow": str(int(follow)), "since": since(marks)}
        url = f"{self._base}/v{version}/{f'tasks/{task_id}' if container is None else f'containers/{container}'}/logs"
        try:
            async with asyncio.timeout(OPEN_WITHIN):
                response = await self._session.get(url, params=params, allow_redirects=False)
                if response.status == 200:
                    return response
                async with response:
                    raise await self._refusal(response)
        except OrderRefused as error:
            kind = LogLost if _is_final(str(error)) else NotHostsFault
            raise kind(f"{self._host} refused to give a log: {error}") from None
        except TimeoutError:
            # It may be another node that is silent; the probe tells whether it is this one.
            raise NotHostsFault(f"{self._host} did not give a log within {OPEN_WITHIN:g} s") from None
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            raise HostDown(f"{self._host} did not give a log: {_words(error)}") from error

    async def portions(
        self, response: aiohttp.ClientResponse, marks: Mapping[int, Mark], *, follow: bool, of_container: bool = False
    ) -> AsyncGenerator[Portion, None]:
        """What comes after the marks. Raises HostDown when the stream breaks off, tells an error, or ends although it follows; LogLost when
        it tells one that will not pass, or ends before it came to the marks. A container's own log ends with it, also for who follows."""
        taken = Demultiplexer(marks)
        before = -GATHER
        try:
            while data := await self._read(response, follow):
                portion = taken.feed(data)
                if portion.pieces:
                    yield portion
                if taken.error is not None:
                    raise self._told(taken.error)
                if len(data) < READ_SIZE and self._time() - before < GATHER:
                    await _gather(response)
                before = self._time()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotHostsFault(f"{self._host} broke off a log: {_words(error)}") from error
        finally:
            response.close()
        if follow and of_container and taken.whole:
            await asyncio.sleep(END_SEEN_WITHIN)
        if follow or not taken.whole:
            raise NotHostsFault(f"{self._host} broke off a log")
        if taken.missed:
            raise LogLost(f"{self._host} has not got any more what was read of a log")

    async def _read(self, response: aiohttp.ClientResponse, follow: bool) -> bytes:
        if follow:
            return await response.content.read(READ_SIZE)
        async with asyncio.timeout(READ_WITHIN):
            return await response.content.read(READ_SIZE)

    def _told(self, error: str) -> FastlaneError:
        """Our exception for an error in the stream of a log."""
        kind = LogLost if _is_final(error) else NotHostsFault
        return kind(f"{self._host} told an error in a log: {plain(error)}")

    async def _refusal(self, response: aiohttp.ClientResponse) -> FastlaneError:
        return refusal(response.status, message(await response.content.read(4096)), self._host)


def since(marks: Mapping[int, Mark]) -> str:
    """Where to begin to read, as the engine takes it (seconds and nanoseconds); ``0`` for the start."""
    start = begin(marks)
    return f"{start // 1_000_000_000}.{start % 1_000_000_000:09d}" if start else "0"


async def _gather(response: aiohttp.ClientResponse) -> None:
    """Lets more come, in the kernel's hands: the client's own buffer is empty now, so that its own rules of pausing are not met."""
    connection = response.connection
    if connection is None or connection.transport is None or connection.transport.is_closing():
        return
    transport = connection.transport
    transport.pause_reading()
    try:
        await asyncio.sleep(GATHER)
    finally:
        if not transport.is_closing():
            transport.resume_reading()


def _is_final(words: str) -> bool:
    return any(final in words for final in _FINAL)


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _lively_socket(address: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
    """A socket for this address, which notices that the machine at its other end is gone."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
