"""What a pump works on in its tests: an engine's log that comes bit by bit, the rows of a store, and a clock."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from typing import cast

from hypothesis import strategies as st

from fastlane.executors.port import Executor
from fastlane.models.log import STDERR, STDOUT, Chunk, Head, Mark, Piece, Portion
from fastlane.storage.base import Store
from fastlane.streams.pump import FLUSH_AFTER, MIN_PAUSE, LogEnd, Pump, append_to
from tests.support.clock import FakeClock, settle
from tests.support.factories import joined

MUCH = 1 << 40


def out(time: int, data: bytes) -> Piece:
    return Piece(STDOUT, time, data)


def err(time: int, data: bytes) -> Piece:
    return Piece(STDERR, time, data)


def portions(pieces: Sequence[Piece], marks: Mapping[int, Mark] | None = None) -> list[Portion]:
    """The pieces as a reader gives them that has come to these marks: one at a time."""
    reached = dict(marks or {})
    found = []
    for piece in pieces:
        before = reached.get(piece.stream)
        same = before is not None and before.time == piece.time
        reached[piece.stream] = Mark(piece.time, before.ordinal + 1 if same and before else 1)
        found.append(Portion((piece,), dict(reached)))
    return found


def appended(head: Head, pieces: Sequence[Piece], most: int) -> tuple[Head, tuple[Piece, ...]]:
    return append_to(head, portions(pieces, head.marks), most)


class Rows:
    """The stored chunks of one execution: the part of a store that a pump uses.

    ``faults`` are raised by the next appends, one each (None: none), before the chunk is stored or ``after`` it. While ``gate`` is
    cleared, an append waits where ``hold`` says: before or after it is stored.
    """

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.refused = 0
        self.faults: list[tuple[str, Exception] | None] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.hold = "before"
        self.held = 0

    @property
    def head(self) -> Head:
        return self.chunks[-1].end if self.chunks else Head()

    @property
    def pieces(self) -> list[Piece]:
        return [piece for chunk in self.chunks for piece in chunk.pieces]

    async def log_head(self, execution_id: str) -> Head:
        await asyncio.sleep(0)
        return self.head

    async def append(self, chunk: Chunk) -> bool:
        fault = self.faults.pop(0) if self.faults else None
        await self._pass("before")
        if fault is not None and fault[0] == "before":
            raise fault[1]
        kept = (chunk.start.sequence, chunk.start.offset) == (self.head.sequence, self.head.offset)
        if kept:
            assert chunk.start == self.head
            self.chunks.append(chunk)
        self.refused += not kept
        await self._pass("after")
        if fault is not None:
            raise fault[1]
        return kept

    async def _pass(self, place: str) -> None:
        await asyncio.sleep(0)
        if self.hold == place:
            self.held += not self.gate.is_set()
            await self.gate.wait()


class Engine:
    """The log of one engine task, read by one pump. Of a followed log only as much has come as ``come`` has let through."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = list(pieces)
        self.through = 0
        self.given = 0
        self.readings: list[Mapping[int, Mark]] = []
        self.fault: Exception | None = None
        self._more = asyncio.Event()

    def come(self, count: int = 1 << 30) -> None:
        """So many more pieces have been written."""
        self.through = min(len(self.pieces), self.through + count)
        self._more.set()

    def fail(self, fault: Exception | None) -> None:
        """What is followed, and what is read from now on, ends with this (None: no longer)."""
        self.fault = fault
        self._more.set()

    async def logs(self, host: str, task_id: str, marks: Mapping[int, Mark], *, follow: bool) -> AsyncGenerator[Portion, None]:
        assert (host, task_id) == ("h", "t1")
        self.readings.append(marks)
        place, reached = 0, marks
        unread = {stream: _after(self.pieces, stream, marks.get(stream)) for stream in (STDOUT, STDERR)}
        while True:
            while place < (self.through if follow else len(self.pieces)):
                piece = self.pieces[place]
                place += 1
                if place > unread[piece.stream]:
                    self.given += 1
                    (portion,) = portions([piece], reached)
                    reached = portion.marks
                    yield portion
            if self.fault is not None:
                raise self.fault
            if not follow:
                return
            self._more.clear()
            await self._more.wait()


def _after(pieces: Sequence[Piece], stream: int, mark: Mark | None) -> int:
    """How many pieces of the whole log end with the one that the mark of this stream names."""
    met = 0
    for place, piece in enumerate(pieces, 1):
        if mark is not None and piece.stream == stream and piece.time == mark.time:
            met += 1
            if met == mark.ordinal:
                return place
    return 0


class Copying:
    """A pump at work: it follows an engine's log into the rows until it is cut off, with a clock of its own."""

    def __init__(self, rows: Rows, engine: Engine, *, most: int = MUCH) -> None:
        self.engine = engine
        self.clock = FakeClock()
        self._rows = rows
        self._most = most
        self._task: asyncio.Task[None] | None = None
        self.pump = self._make()

    def _make(self) -> Pump:
        return Pump(cast(Store, self._rows), cast(Executor, self.engine), self.clock, "e", most=self._most)

    async def start(self, *, afresh: bool = False) -> None:
        if afresh:
            self.pump = self._make()
        self._task = asyncio.create_task(self.pump.follow("h", "t1"))
        await settle()

    async def cut(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def flush(self) -> None:
        await self.clock.advance(FLUSH_AFTER)

    async def again(self) -> None:
        """The pause after a refused chunk, and the first flush of what is then read."""
        await self.clock.advance(MIN_PAUSE)
        await self.flush()

    async def finish(self) -> LogEnd:
        return await asyncio.wait_for(self.pump.finish("h", "t1"), 10)


def assert_whole(rows: Rows, log: Sequence[Piece]) -> None:
    """The stored log is the engine's, each stream in its order, once; and its chunks are contiguous and say what they hold."""
    before = Head()
    for chunk in rows.chunks:
        assert chunk.start == before
        assert chunk.end.sequence == before.sequence + 1
        assert chunk.end.stdout - before.stdout == len(joined(chunk.pieces, STDOUT))
        assert chunk.end.stderr - before.stderr == len(joined(chunk.pieces, STDERR))
        assert chunk.end.offset == chunk.end.stdout + chunk.end.stderr
        before = chunk.end
    for stream in (STDOUT, STDERR):
        assert joined(rows.pieces, stream) == joined(log, stream)


PIECES = [out(5, b"a"), out(5, b"b"), err(5, b"c"), out(6, b"d"), err(6, b"e")]


LOGS = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.integers(0, 1), st.binary(max_size=3)), max_size=12)


def a_log(drawn: Sequence[tuple[int, int, bytes]]) -> list[Piece]:
    """Pieces whose times never go back; many are equal."""
    time = 1
    pieces = []
    for stream, later, data in drawn:
        time += later
        pieces.append(Piece(stream, time, data))
    return pieces
