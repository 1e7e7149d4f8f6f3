"""The log of an engine task as pieces, read by an async HTTP client: a reader that waits costs no thread, and its close ends it at once.

The engine sends frames: eight bytes (the stream, three zeros, a length of four) and that many bytes, which begin with a time. A line
over 16 KiB comes in several frames of one and the same time. A frame of stream 3 is an error told in the middle of a 200.

Reading on: each stream comes in the same order at every reading, while the two may mix otherwise. ``since`` counts nanoseconds and
includes its own moment. So a reading asks for what came since the earlier stream's mark, and drops of each stream what its mark covers.
"""

import asyncio
import struct
from collections.abc import AsyncGenerator, Iterator, Mapping

import aiohttp

from fastlane.errors import FastlaneError, HostDown
from fastlane.executors.client import base_url
from fastlane.executors.faults import Uncounted, message, refusal
from fastlane.executors.timestamps import nanoseconds
from fastlane.models.log import STDERR, STDOUT, Mark, Piece

CONNECT_WITHIN = 5.0
READ_WITHIN = 15.0
LARGEST_FRAME = 8 * 1024 * 1024
SLACK = 2_000_000_000
"""How much earlier than the one stream's mark a reading begins when the other stream has none: the two are stamped apart."""

_HEADER = struct.Struct(">BxxxI")
_ERROR = 3


class Frames:
    """Takes bytes as they come and gives whole frames; holds no more than one unfinished frame."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The frames that are complete now: (stream, content). Raises ValueError for what is no frame."""
        self._rest += data
        offset = 0
        while len(self._rest) - offset >= _HEADER.size:
            stream, size = _HEADER.unpack_from(self._rest, offset)
            if stream > _ERROR or size > LARGEST_FRAME:
                raise ValueError(f"a frame of stream {stream} and {size} bytes")
            end = offset + _HEADER.size + size
            if len(self._rest) < end:
                break
            yield stream, bytes(self._rest[offset + _HEADER.size : end])
            offset = end
        del self._rest[:offset]

    @property
    def whole(self) -> bool:
        """Whether no frame is unfinished."""
        return not self._rest


class Times:
    """Reads the time that a frame begins with; remembers the second, which most frames share with the one before."""

    def __init__(self) -> None:
        self._second = b""
        self._start = 0

    def split(self, frame: bytes) -> tuple[int, bytes]:
        """(nanoseconds, what follows). Raises ValueError for a frame without a time."""
        stamp, space, rest = frame.partition(b" ")
        if not space or len(stamp) > 40:
            raise ValueError("a frame without a time")
        if len(stamp) != 30 or stamp[29:] != b"Z" or not stamp[20:29].isdigit():
            return nanoseconds(stamp.decode("ascii", "replace")), rest
        if stamp[:19] != self._second:
            self._start = nanoseconds(stamp[:19].decode("ascii", "replace") + "Z")
            self._second = stamp[:19]
        return self._start + int(stamp[20:29]), rest


class Unread:
    """Tells what lies after one stream's mark. Once the mark is passed everything does, whatever its time: a clock may be set back."""

    def __init__(self, mark: Mark | None) -> None:
        self._mark = mark
        self._met = 0

    def is_new(self, time: int) -> bool:
        """Whether the stream's next piece, of this time, was not read before."""
        if self._mark is None:
            return True
        if time > self._mark.time or (time == self._mark.time and self._met >= self._mark.ordinal):
            self._mark = None
            return True
        self._met += time == self._mark.time
        if self._met >= self._mark.ordinal:
            self._mark = None
        return False


def since(marks: Mapping[int, Mark]) -> str:
    """Where to begin to read, as the engine takes it (seconds and nanoseconds); ``0`` for the start."""
    if not marks:
        return "0"
    first = min(mark.time for mark in marks.values()) - (SLACK if len(marks) < 2 else 0)
    return f"{max(0, first) // 1_000_000_000}.{max(0, first) % 1_000_000_000:09d}"


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
            connector = aiohttp.TCPConnector(limit=0)
            self._base = url.replace("tcp://", "http://", 1)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False)

    async def close(self) -> None:
        """Ends every connection; who still reads gets HostDown."""
        await self._session.close()

    async def open(self, version: str, task_id: str, marks: Mapping[int, Mark], *, follow: bool) -> aiohttp.ClientResponse:
        """The engine's answer, of which nothing but the head is read yet. Raises HostDown, ServiceGone, OrderRefused."""
        params = {"stdout": "1", "stderr": "1", "timestamps": "1", "follow": str(int(follow)), "since": since(marks)}
        url = f"{self._base}/v{version}/tasks/{task_id}/logs"
        try:
            async with asyncio.timeout(READ_WITHIN):
                response = await self._session.get(url, params=params, allow_redirects=False)
                if response.status == 200:
                    return response
                async with response:
                    raise await self._refusal(response)
        except TimeoutError:
            # It may be another node that is silent; the probe tells whether it is this one.
            raise Uncounted(f"{self._host} did not give a log within {READ_WITHIN:g} s") from None
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            raise HostDown(f"{self._host} did not give a log: {_words(error)}") from error

    async def pieces(self, response: aiohttp.ClientResponse, marks: Mapping[int, Mark], *, follow: bool) -> AsyncGenerator[Piece, None]:
        """The pieces after the marks. Raises HostDown when the stream breaks off, or ends although it follows."""
        frames, times = Frames(), Times()
        unread = {stream: Unread(marks.get(stream)) for stream in (STDOUT, STDERR)}
        try:
            while data := await self._read(response, follow):
                for stream, frame in frames.feed(data):
                    if stream == _ERROR:
                        raise HostDown(f"{self._host} told an error in a log: {frame.decode(errors='replace')[:500].strip()}")
                    time, content = times.split(frame)
                    if stream in unread and unread[stream].is_new(time):
                        yield Piece(stream, time, content)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise HostDown(f"{self._host} broke off a log: {_words(error)}") from error
        finally:
            response.close()
        if follow or not frames.whole:
            raise HostDown(f"{self._host} broke off a log")

    async def _read(self, response: aiohttp.ClientResponse, follow: bool) -> bytes:
        if follow:
            return await response.content.readany()
        async with asyncio.timeout(READ_WITHIN):
            return await response.content.readany()

    async def _refusal(self, response: aiohttp.ClientResponse) -> FastlaneError:
        return refusal(response.status, message(await response.content.read(4096)), self._host)


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
