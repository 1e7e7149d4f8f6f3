"""Reads the log of an engine task: opens it over HTTP, and turns the engine's bytes into portions of pieces as they are stored.

The engine sends frames: a header of eight bytes (the stream, three zeros, a length of four) and the content, which begins with a time. A
line over 16 KiB comes in several frames with the same time. A frame of stream 3 is an error in the middle of a 200. ``Demultiplexer`` reads
frames, and knows no connection; ``LogReader`` has the connections.

Consecutive frames of one stream and one millisecond become one piece: no reader needs a finer time, and a fast log then has some
hundred pieces a second instead of a million.
"""

import asyncio
import struct
from collections.abc import AsyncGenerator, Mapping
from itertools import accumulate

import aiohttp

from fastlane.errors import FastlaneError, HostDown, LogLost, OrderRefused
from fastlane.executors.swarm.clocks import SetBack, nanoseconds, rfc3339
from fastlane.executors.swarm.faults import NotHostsFault, connection_words, message, plain, refusal
from fastlane.executors.swarm.transport import EngineTransport
from fastlane.models.log import STDERR, STDOUT, Mark, Piece, Portion

LARGEST_FRAME = 8 * 1024 * 1024
SLACK = 10_000_000_000
"""How much earlier than the latest mark (nanoseconds) a reading begins that cannot begin at both streams' marks: a line gets its time
before it is written, so a log is not exactly in the order of its times."""

ERROR = 3
_HEADER = struct.Struct(">BxxxI")
_TIME = 30
"""The length of a time: ``2026-11-25T12:57:39.852824433Z``, in UTC always, so that times compare as their bytes do. A space follows."""
_HEAD = _HEADER.size + _TIME + 1
_MILLISECOND = 23
"""The characters of a time down to its millisecond."""
_ZONE = ord("Z")
_AFTER_DIGITS = b":"
"""What begins with a digit is less."""
_new_piece = tuple.__new__
"""``Piece(...)`` calls this too, by a function in Python that takes half as long again."""
_unpack = struct.Struct(f">BxxxI{_MILLISECOND}s{_TIME - _MILLISECOND}s").unpack_from
"""A frame's stream, its length, and its time in two parts."""


def _place_at(mark: Mark) -> "_Place":
    return _Place(rfc3339(mark.time).encode(), mark.ordinal, rfc3339(mark.latest).encode() if mark.latest else b"")


Runs = list[tuple[int, int, list[bytes]]]


def begin(marks: Mapping[int, Mark]) -> int:
    """The time (nanoseconds) from which to read, 0 for the start. Everything after the marks came then or later.

    With a mark of each stream that is the earlier mark; or, if that is long ago, some slack before the later one. Once the node's clock was
    set back it is some slack before the earlier one, since the other may be from before that.
    """
    if not marks:
        return 0
    times = [mark.time for mark in marks.values()]
    if any(mark.set_back for mark in marks.values()):
        return max(0, min(times) - SLACK)
    slack = max(0, max(times) - SLACK)
    return max(slack, min(times)) if len(times) > 1 else slack


class _Place:
    """How far a stream was read: the time of its last frame as the log has it, and how many frames of exactly that time came. ``latest``:
    the latest time until its last run; a clock that is set back makes it later than the last frame's."""

    __slots__ = ("latest", "ordinal", "stamp")

    def __init__(self, stamp: bytes = b"", ordinal: int = 0, latest: bytes = b"") -> None:
        self.stamp = stamp
        self.ordinal = ordinal
        self.latest = max(stamp, latest)

    def begin(self, stamp: bytes) -> int:
        """Notes the first frame of a run; how many frames of exactly its time came."""
        if stamp > self.stamp:
            self.latest = stamp if stamp > self.latest else self.latest
            self.stamp, self.ordinal = stamp, 1
        else:
            self.latest = max(self.latest, self.stamp)
            self.ordinal = self.ordinal + 1 if stamp == self.stamp else 1
            self.stamp = stamp
        return self.ordinal


class _Unread:
    """Finds what lies after one stream's mark. Once the mark is passed everything does, whatever its time: a clock may be set back. Before
    that, a frame later than all that came until the mark shows that the mark is gone."""

    def __init__(self, stamp: bytes, ordinal: int, latest: bytes) -> None:
        self._stamp = stamp
        self._left = ordinal
        self._latest = latest

    @property
    def met(self) -> bool:
        """Whether the frame at the mark came again."""
        return self._left == 0

    def is_new(self, stamp: bytes) -> bool:
        """Whether the stream's next frame, with this time, was not read before."""
        if not self._left or stamp > self._latest:
            return True
        self._left -= stamp == self._stamp
        return False


class Demultiplexer:
    """Reads on after these marks in a log that begins at ``begin(marks)``. It holds at most one unfinished frame."""

    def __init__(self, marks: Mapping[int, Mark]) -> None:
        start = begin(marks)
        places = {stream: _place_at(mark) for stream, mark in marks.items()}
        self._places = {STDOUT: _Place(), STDERR: _Place(), **places}
        self._known = {stream: _Unread(place.stamp, place.ordinal, place.latest) for stream, place in places.items()}
        self._due = {stream for stream, mark in marks.items() if mark.time >= start}
        self._latest = max((max(mark.time, mark.latest) for mark in marks.values()), default=0)
        self._set_back = any(mark.set_back for mark in marks.values())
        self._gap = False
        self._rest = b""
        self._second = b""
        self._start = 0
        self.error: str | None = None
        """The engine's error in the middle of the log; what follows is ignored."""

    @property
    def whole(self) -> bool:
        """Whether no frame is unfinished."""
        return not self._rest

    @property
    def missed(self) -> bool:
        """Whether the part that was read before has not come again so far; at the end of a log that means that it is gone."""
        return bool(self._due)

    def feed(self, data: bytes) -> Portion:
        """The portion that is complete now. Raises ValueError for data that is not a frame, or a frame without a time."""
        if self._rest:
            data = self._rest + data
        runs: Runs = []
        self._rest = data[self._take(data, runs) :]
        self._note_times(runs)
        gap, self._gap = self._gap, False
        pieces = [_new_piece(Piece, (stream, time, b"".join(contents))) for stream, time, contents in runs]
        return Portion(pieces, self._marks(), int(gap))

    def _marks(self) -> dict[int, Mark]:
        """How far each stream was read. A stream that only began after the clock was set back shows that by the other one's times."""
        reached = {stream: place for stream, place in self._places.items() if place.ordinal}
        times = {stream: self._time(place.stamp) for stream, place in reached.items()}
        latest = {stream: max(times[stream], self._time(place.latest)) for stream, place in reached.items()}
        if self._set_back:
            latest = dict.fromkeys(latest, max(latest.values()))
        latest = {stream: moment for stream, moment in latest.items() if moment > times[stream]}
        return {stream: Mark(time, reached[stream].ordinal, latest.get(stream, 0)) for stream, time in times.items()}

    def _take(self, data: bytes, runs: Runs) -> int:
        """Takes the whole frames, as runs of one stream and one millisecond; the position after them. Written for speed, since the loop
        runs for each line of a log."""
        place, size = 0, len(data)
        stream, millisecond, rest, ordinal = 0, b"", b"", 0
        last, contents = self._places[STDOUT], list[bytes]()
        while place + _HEAD <= size:
            kind, length, start, fraction = _unpack(data, place)
            end = place + _HEADER.size + length
            if kind != stream or start != millisecond or fraction > _AFTER_DIGITS or length <= _TIME or end > size:
                if not 0 < kind < ERROR or length <= _TIME or end > size:
                    break
                if len(contents) > 1:
                    last.stamp, last.ordinal = millisecond + rest, ordinal
                stamp = start + fraction
                time = self._time(stamp)
                if self._known and not self._is_new(kind, stamp):
                    stream, contents, place = 0, [], end
                    continue
                stream, millisecond, rest = kind, start, fraction
                last = self._places[kind]
                ordinal = last.begin(stamp)
                contents = [data[place + _HEAD : end]]
                runs.append((kind, time, contents))
            else:
                if fraction == rest:
                    ordinal += 1
                else:
                    rest, ordinal = fraction, 1
                contents.append(data[place + _HEAD : end])
            place = end
        if len(contents) > 1:
            last.stamp, last.ordinal = millisecond + rest, ordinal
        return self._after_what_is_odd(data, place)

    def _after_what_is_odd(self, data: bytes, place: int) -> int:
        """The position after what is not a whole line: the same for the beginning of a frame, and the end of the data for an error."""
        size = len(data)
        if place + _HEADER.size > size:
            return place
        kind, length = _HEADER.unpack_from(data, place)
        end = place + _HEADER.size + length
        if not 0 < kind <= ERROR or length > LARGEST_FRAME:
            raise ValueError(f"a frame of stream {kind} and {length} bytes")
        if end > size:
            return place
        if kind == ERROR:
            self.error = data[place + _HEADER.size : end].decode(errors="replace").strip()
            return size
        raise ValueError(f"a frame without a time: {data[place:end]!r}")

    def _is_new(self, stream: int, stamp: bytes) -> bool:
        """Whether the next frame of this stream comes after its mark; notes a gap before it."""
        unread = self._known.get(stream)
        if unread is None:
            return True
        new = unread.is_new(stamp)
        self._gap = self._gap or (new and stream in self._due)
        if new:
            del self._known[stream]
        if new or unread.met:
            self._due.discard(stream)
        return new

    def _note_times(self, runs: Runs) -> None:
        """Notes the times of new runs: whether the clock was set back before one of them."""
        times = [time for _, time, _ in runs]
        latest = max(times, default=0)
        if min(times, default=latest) + SLACK < max(self._latest, latest):
            for before, time in zip(accumulate(times, max, initial=self._latest), times, strict=False):
                self._set_back = self._set_back or time + SLACK < before
        self._latest = max(self._latest, latest)

    def _time(self, stamp: bytes) -> int:
        """A time in nanoseconds; most share their second with the one before. Raises ValueError for bytes that are not a time."""
        digits = stamp[20:29]
        if stamp[29] != _ZONE or not digits.isdigit():
            raise ValueError(f"a frame without a time: {stamp!r}")
        if stamp[:20] != self._second:
            self._start = nanoseconds(stamp[:19].decode("ascii", "replace") + "Z")
            self._second = stamp[:20]
        return self._start + int(digits)


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
"""Words of permanent errors, most of them within a log's stream. Other errors, for example of a node that is away, may pass."""


class LogReader:
    """Reads logs from one host. Create and close it in a running event loop."""

    def __init__(self, transport: EngineTransport) -> None:
        self._host = transport.name
        self._transport = transport
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WITHIN)
        self._time = asyncio.get_running_loop().time
        self._session = transport.session(timeout, limit=0)

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
        url = f"{self._transport.base}/v{version}/{f'tasks/{task_id}' if container is None else f'containers/{container}'}/logs"
        context = await self._transport.context()
        try:
            async with asyncio.timeout(OPEN_WITHIN):
                response = await self._session.get(url, params=params, allow_redirects=False, ssl=context)
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
            found = HostDown(f"{self._host} {connection_words(error) or f'did not give a log: {_words(error)}'}")
            raise self._transport.explain(found) from error

    async def portions(
        self, response: aiohttp.ClientResponse, marks: Mapping[int, Mark], *, follow: bool, of_container: bool = False
    ) -> AsyncGenerator[Portion, None]:
        """The portions after the marks. Raises HostDown when the stream breaks off, reports an error, or ends although it follows; LogLost
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
