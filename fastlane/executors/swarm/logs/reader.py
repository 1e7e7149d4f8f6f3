"""The log of an engine task in portions, read by an async HTTP client: a waiting reader needs no thread, and closing it ends it at once.

To read on: each stream comes in the same order at every reading, but the two may interleave differently. ``since`` is in nanoseconds, and
inclusive. So a reading asks for what came since the earlier stream's mark, and drops what each stream's mark covers.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping

import aiohttp

from fastlane.errors import FastlaneError, HostDown, LogLost, OrderRefused
from fastlane.executors.swarm.client.faults import NotHostsFault, message, plain, refusal
from fastlane.executors.swarm.client.http import base_of, failure_words, session_for
from fastlane.executors.swarm.client.transport import Transport
from fastlane.executors.swarm.logs.demultiplexer import SLACK, Demultiplexer, begin
from fastlane.executors.swarm.service.clocks import SetBack
from fastlane.models.logs.chunk import Mark, Portion

CONNECT_WITHIN = 5.0
OPEN_WITHIN = 15.0
READ_WITHIN = 60.0
"""Seconds for each read of a log to its end. Before it sends the first byte, an engine scans all that is older."""
READ_SIZE = 128 * 1024
GATHER = 0.001
"""Seconds between two reads of a log that comes fast: the engine sends each line alone, and a wake-up costs more than a line."""

END_SEEN_WITHIN = 10.0
"""Seconds before the end of a container's log counts as broken off: most often the container has ended, which the watcher soon sees."""

_FINAL = ("does not support reading", "No such container", "dead or marked for removal")
"""Words of errors, most of them within a log's stream, that will not pass; others, such as a node that is away, may."""


class LogReader:
    """Reads logs from one host. Create and close it in a running event loop."""

    def __init__(self, transport: Transport) -> None:
        self._host = transport.name
        self._transport = transport
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WITHIN)
        self._base = base_of(transport)
        self._time = asyncio.get_running_loop().time
        self._session = session_for(transport, timeout, limit=0)

    async def close(self) -> None:
        """Ends every connection; reads that are under way raise HostDown."""
        await self._session.close()

    async def open(
        self,
        version: str,
        task_id: str,
        marks: Mapping[int, Mark],
        *,
        follow: bool,
        container: str | None = None,
        set_back: SetBack | None = None,
    ) -> aiohttp.ClientResponse:
        """The engine's answer, of which only the head has been read. ``container``: the task's, if it is on this engine. ``set_back``: of
        the clock of the node that wrote the log. Raises HostDown, ServiceGone, LogLost."""
        params = {"stdout": "1", "stderr": "1", "timestamps": "1", "follow": str(int(follow)), "since": since(marks, set_back)}
        url = f"{self._base}/v{version}/{f'tasks/{task_id}' if container is None else f'containers/{container}'}/logs"
        self._transport.check()
        context = await asyncio.to_thread(self._transport.context) if self._transport.uses_tls else None
        try:
            async with asyncio.timeout(OPEN_WITHIN):
                response = await self._session.get(url, params=params, allow_redirects=False, ssl=context or True)
                if response.status == 200:
                    return response
                async with response:
                    raise await self._refusal(response)
        except OrderRefused as error:
            kind = LogLost if _is_final(str(error)) else NotHostsFault
            raise kind(f"{self._host} refused to give a log: {error}") from None
        except TimeoutError:
            # Another node may be silent; the probe shows whether it is this one.
            raise NotHostsFault(f"{self._host} did not give a log within {OPEN_WITHIN:g} s") from None
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            found = HostDown(f"{self._host} {failure_words(error) or f'did not give a log: {_words(error)}'}")
            raise self._transport.explain(found) from error

    async def portions(
        self, response: aiohttp.ClientResponse, marks: Mapping[int, Mark], *, follow: bool, of_container: bool = False
    ) -> AsyncGenerator[Portion, None]:
        """What comes after the marks. Raises HostDown when the stream breaks off, reports an error, or ends although it follows; LogLost
        when it reports an error that will not pass, or ends before the marks. A container's log ends with it, even when followed."""
        taken = Demultiplexer(marks)
        before = -GATHER
        try:
            while data := await self._read(response, follow):
                portion = taken.feed(data)
                if portion.pieces:
                    yield portion
                if taken.error is not None:
                    raise self._stream_error(taken.error)
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
            raise LogLost(f"{self._host} no longer has what was read of a log")

    async def _read(self, response: aiohttp.ClientResponse, follow: bool) -> bytes:
        if follow:
            return await response.content.read(READ_SIZE)
        async with asyncio.timeout(READ_WITHIN):
            return await response.content.read(READ_SIZE)

    def _stream_error(self, error: str) -> FastlaneError:
        """fastlane's exception for an error in a log's stream."""
        kind = LogLost if _is_final(error) else NotHostsFault
        return kind(f"{self._host} reported an error in a log: {plain(error)}")

    async def _refusal(self, response: aiohttp.ClientResponse) -> FastlaneError:
        return refusal(response.status, message(await response.content.read(4096)), self._host)


def since(marks: Mapping[int, Mark], set_back: SetBack | None = None) -> str:
    """Where to begin to read, in the engine's form (seconds and nanoseconds); ``0`` for the start. After a mark that may be from before the
    clock was set back, earlier times may follow; after a later mark they do not."""
    start = begin(marks)
    if set_back is not None and any(mark.time <= set_back.latest * 1_000_000 + SLACK for mark in marks.values()):
        start = min(start, max(0, set_back.earliest * 1_000_000 - SLACK))
    return f"{start // 1_000_000_000}.{start % 1_000_000_000:09d}" if start else "0"


async def _gather(response: aiohttp.ClientResponse) -> None:
    """Lets more data arrive in the kernel. The client's own buffer is empty now, so this does not disturb its flow control."""
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
