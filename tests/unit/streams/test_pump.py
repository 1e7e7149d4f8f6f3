"""A log is stored once, in order and without a gap: whoever copies it, however often, and whatever is cut off in between."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastlane.errors import FastlaneError, HostDown, LogLost, ServiceGone, StoreDown
from fastlane.executors.base import Executor
from fastlane.models.logs.chunk import STDERR, STDOUT, Chunk, Head, Mark, Piece, Portion
from fastlane.storage.base import Store
from fastlane.streams.pump import FLUSH_AFTER, FLUSH_AFTER_CAP, FLUSH_BYTES, MAX_WAITING, MIN_PAUSE, LogEnd, Pump, append_to
from tests.support.clock import FakeClock, settle

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


def text(pieces: Sequence[Piece], stream: int) -> bytes:
    return b"".join(piece.data for piece in pieces if piece.stream == stream)


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
        assert chunk.end.stdout - before.stdout == len(text(chunk.pieces, STDOUT))
        assert chunk.end.stderr - before.stderr == len(text(chunk.pieces, STDERR))
        assert chunk.end.offset == chunk.end.stdout + chunk.end.stderr
        before = chunk.end
    for stream in (STDOUT, STDERR):
        assert text(rows.pieces, stream) == text(log, stream)


# the pure part


@pytest.mark.parametrize(
    ("head", "pieces", "end"),
    [
        (Head(), [out(5, b"ab")], Head(1, 2, 2, 0, 0, {1: Mark(5, 1)})),
        (Head(), [out(5, b"ab"), err(5, b"c")], Head(1, 3, 2, 1, 0, {1: Mark(5, 1), 2: Mark(5, 1)})),
        (Head(), [out(5, b"a"), out(5, b"b"), out(5, b"c")], Head(1, 3, 3, 0, 0, {1: Mark(5, 3)})),
        (Head(), [out(5, b"a"), out(5, b"b"), out(6, b"c")], Head(1, 3, 3, 0, 0, {1: Mark(6, 1)})),
        (Head(4, 9, 9, 0, 0, {1: Mark(5, 2)}), [out(5, b"a")], Head(5, 10, 10, 0, 0, {1: Mark(5, 3)})),
        (Head(4, 9, 9, 0, 0, {1: Mark(5, 2)}), [err(5, b"a")], Head(5, 10, 9, 1, 0, {1: Mark(5, 2), 2: Mark(5, 1)})),
        (Head(4, 9, 6, 3, 7, {2: Mark(5, 2)}), [err(8, b"")], Head(5, 9, 6, 3, 7, {2: Mark(8, 1)})),
    ],
)
def test_a_head_after_pieces_counts_bytes_and_marks_the_last_of_each_stream(head: Head, pieces: list[Piece], end: Head) -> None:
    assert appended(head, pieces, MUCH) == (end, tuple(piece for piece in pieces if piece.data))


@pytest.mark.parametrize(
    ("stored", "most", "kept", "dropped"),
    [
        (0, 6, [out(1, b"abc"), err(2, b"def")], 0),
        (0, 5, [out(1, b"abc"), err(2, b"de")], 1),
        (0, 3, [out(1, b"abc")], 3),
        (0, 2, [out(1, b"ab")], 4),
        (0, 0, [], 6),
        (4, 6, [out(1, b"ab")], 4),
        (9, 6, [], 6),
    ],
)
def test_beyond_the_cap_bytes_are_counted_and_not_kept(stored: int, most: int, kept: list[Piece], dropped: int) -> None:
    end, pieces = appended(Head(1, stored, stored, 0, 10), [out(1, b"abc"), err(2, b"def")], most)
    assert list(pieces) == kept
    assert end.dropped == 10 + dropped
    assert end.offset == stored + sum(len(piece.data) for piece in kept)
    assert end.marks == {1: Mark(1, 1), 2: Mark(2, 1)}


def test_a_head_is_truncated_once_something_was_dropped() -> None:
    assert not appended(Head(), [out(1, b"abc")], 3)[0].truncated
    assert appended(Head(), [out(1, b"abc")], 2)[0].truncated


PIECES = [out(5, b"a"), out(5, b"b"), err(5, b"c"), out(6, b"d"), err(6, b"e")]


def test_a_gap_is_dropped_bytes() -> None:
    end, kept = append_to(Head(1, 3, 3, 0), [Portion((out(9, b"abc"),), {1: Mark(9, 1)}, dropped=1)], MUCH)
    assert (end.offset, end.dropped, end.truncated, kept) == (6, 1, True, (out(9, b"abc"),))


# one pump


async def test_a_piece_is_stored_25_ms_after_it_came_with_the_pieces_of_that_time() -> None:
    rows = Rows()
    copying = Copying(rows, Engine(PIECES))
    await copying.start()
    copying.engine.come(1)
    await copying.clock.advance(0.020)
    copying.engine.come(2)
    await copying.clock.advance(0.004)
    assert rows.chunks == []
    await copying.clock.advance(0.001)
    assert [chunk.pieces for chunk in rows.chunks] == [tuple(PIECES[:3])]
    copying.engine.come()
    await copying.flush()
    assert_whole(rows, PIECES)
    await copying.cut()


async def test_what_is_enough_for_a_chunk_is_stored_without_waiting() -> None:
    rows = Rows()
    copying = Copying(rows, Engine([out(1, bytes(FLUSH_BYTES))]))
    await copying.start()
    copying.engine.come()
    await settle()
    assert rows.head.offset == FLUSH_BYTES
    await copying.cut()


async def test_a_pump_begins_where_the_stored_log_ends() -> None:
    rows = Rows()
    end, kept = appended(Head(), PIECES[:2], MUCH)
    rows.chunks.append(Chunk("e", Head(), end, kept))
    copying = Copying(rows, Engine(PIECES))
    await copying.start()
    copying.engine.come()
    await copying.flush()
    assert copying.engine.readings == [end.marks]
    assert_whole(rows, PIECES)
    await copying.cut()


async def test_the_end_of_a_log_is_read_without_following() -> None:
    rows = Rows()
    copying = Copying(rows, Engine(PIECES))
    tail = await copying.finish()
    assert tail == LogEnd(rows.head, gone=False)
    assert_whole(rows, PIECES)


async def test_an_empty_log_stores_nothing() -> None:
    rows = Rows()
    assert await Copying(rows, Engine([])).finish() == LogEnd(Head())
    assert rows.chunks == []


async def test_a_log_of_which_nothing_is_stored_is_read_from_its_start_without_asking_the_store() -> None:
    rows, engine = Rows(), Engine([out(1, b"one"), err(2, b"two")])
    asked: list[str] = []

    async def log_head(execution_id: str) -> Head:
        asked.append(execution_id)
        return rows.head

    rows.log_head = log_head  # type: ignore[method-assign]
    pump = Pump(cast(Store, rows), cast(Executor, engine), FakeClock(), "e", most=MUCH, untouched=True)
    engine.come()
    assert await pump.finish("h", "t1") == LogEnd(rows.head)
    assert asked == []
    assert await pump.finish("h", "t1") == LogEnd(rows.head)
    assert asked == ["e"]
    assert_whole(rows, engine.pieces)


async def test_a_log_that_another_pump_touched_after_all_is_stored_once() -> None:
    rows, engine = Rows(), Engine([out(1, b"one"), out(2, b"two"), out(3, b"three")])
    engine.come()
    stored = appended(Head(), engine.pieces[:2], MUCH)
    rows.chunks.append(Chunk("e", Head(), *stored))
    pump = Pump(cast(Store, rows), cast(Executor, engine), FakeClock(), "e", most=MUCH, untouched=True)
    assert await pump.finish("h", "t1") == LogEnd(rows.head)
    assert_whole(rows, engine.pieces)


async def test_finishing_twice_stores_once() -> None:
    rows = Rows()
    copying = Copying(rows, Engine(PIECES))
    assert await copying.finish() == await copying.finish()
    assert_whole(rows, PIECES)


async def test_what_was_followed_is_not_stored_again_at_the_end() -> None:
    rows = Rows()
    copying = Copying(rows, Engine(PIECES))
    await copying.start()
    copying.engine.come(2)
    await copying.flush()
    copying.engine.come(1)
    await settle()
    await copying.cut()
    await copying.finish()
    assert copying.engine.readings == [{}, {1: Mark(5, 2)}]
    assert_whole(rows, PIECES)


@pytest.mark.parametrize("hold", ["before", "after"])
async def test_a_follow_that_is_cut_off_in_the_middle_of_a_flush_leaves_nothing_out_and_nothing_twice(hold: str) -> None:
    rows = Rows()
    copying = Copying(rows, Engine(PIECES))
    await copying.start()
    rows.hold = hold
    rows.gate.clear()
    copying.engine.come(3)
    await copying.flush()
    assert rows.held == 1
    await copying.cut()
    rows.gate.set()
    await copying.finish()
    assert_whole(rows, PIECES)


async def test_a_flush_that_lands_after_its_pump_was_cut_off_does_no_harm() -> None:
    """The store's own thread goes on with a write that nobody waits for any more: here, it lands while the end is being read."""
    rows = Rows()
    copying = Copying(rows, Engine(PIECES))
    late: list[asyncio.Task[bool]] = []
    append = rows.append

    async def detached(chunk: Chunk) -> bool:
        late.append(asyncio.create_task(append(chunk)))
        return await asyncio.shield(late[-1])

    rows.append = detached  # type: ignore[method-assign]
    await copying.start()
    rows.gate.clear()
    copying.engine.come(3)
    await copying.flush()
    await copying.cut()
    assert len(late) == 1
    finishing = asyncio.create_task(copying.finish())
    await settle()
    rows.gate.set()
    await finishing
    assert all([await write for write in late[:1]])
    assert rows.refused == 1
    assert_whole(rows, PIECES)


async def test_the_cap_holds_over_all_chunks_and_what_is_beyond_is_counted() -> None:
    rows = Rows()
    copying = Copying(rows, Engine(PIECES), most=3)
    await copying.start()
    for _ in PIECES:
        copying.engine.come(1)
        await copying.flush()
    await copying.cut()
    tail = await copying.finish()
    assert (tail.head.offset, tail.head.dropped, tail.head.truncated) == (3, 2, True)
    assert rows.pieces == PIECES[:3]


async def test_beyond_the_cap_nothing_is_held_and_a_row_now_and_then_says_how_much_there_was() -> None:
    rows = Rows()
    size = 64 * 1024
    more = [out(number, bytes(size)) for number in range(5 * MAX_WAITING // size)]
    copying = Copying(rows, Engine([out(0, b"abc"), *more]), most=3)
    await copying.start()
    copying.engine.come(1)
    await copying.flush()
    rows.gate.clear()
    copying.engine.come()
    await copying.clock.advance(FLUSH_AFTER_CAP - 0.5)
    assert (copying.engine.given, rows.held) == (1 + len(more), 0)
    rows.gate.set()
    await copying.clock.advance(0.5)
    assert [chunk.end.dropped for chunk in rows.chunks] == [0, len(more) * size]
    await copying.cut()
    assert (await copying.finish()).head == rows.head


async def test_a_log_that_ends_exactly_at_the_cap_is_not_truncated() -> None:
    rows = Rows()
    tail = await Copying(rows, Engine(PIECES), most=5).finish()
    assert (tail.head.offset, tail.head.truncated) == (5, False)


async def test_a_log_that_is_gone_at_the_end_keeps_what_came_and_says_so() -> None:
    rows = Rows()
    copying = Copying(rows, Engine(PIECES[:3]))
    copying.engine.fail(ServiceGone("no such service"))
    tail = await copying.finish()
    assert tail == LogEnd(rows.head, gone=True)
    assert_whole(rows, PIECES[:3])


async def test_a_log_that_is_gone_before_anything_came_is_empty_and_says_so() -> None:
    copying = Copying(Rows(), Engine([]))
    copying.engine.fail(ServiceGone("no such service"))
    assert await copying.finish() == LogEnd(Head(), gone=True)


@pytest.mark.parametrize("fault", [HostDown("cut off"), LogLost("rotated"), StoreDown("full")])
async def test_an_end_that_cannot_be_read_or_stored_now_is_told_and_can_be_done_again(fault: Exception) -> None:
    rows = Rows()
    copying = Copying(rows, Engine(PIECES))
    if isinstance(fault, StoreDown):
        rows.faults = [("before", fault)]
    else:
        copying.engine.fail(fault)
    with pytest.raises(type(fault)):
        await copying.finish()
    assert rows.pieces == ([] if isinstance(fault, StoreDown) else PIECES)
    copying.engine.fail(None)
    await copying.finish()
    assert_whole(rows, PIECES)


@pytest.mark.parametrize("fault", [HostDown("cut off"), ServiceGone("not yet"), LogLost("rotated")])
async def test_an_interrupted_follow_stores_what_came_and_goes_on_from_there(fault: FastlaneError) -> None:
    rows = Rows()
    copying = Copying(rows, Engine(PIECES))
    await copying.start()
    copying.engine.come(2)
    await copying.flush()
    copying.engine.come(1)
    copying.engine.fail(fault)
    await settle()
    copying.engine.fail(None)
    copying.engine.come()
    assert rows.pieces == PIECES[:3]
    await copying.clock.advance(0.2)
    assert copying.engine.readings == [{}, {1: Mark(5, 2), 2: Mark(5, 1)}]
    assert_whole(rows, PIECES)
    await copying.cut()


@pytest.mark.parametrize("place", ["before", "after"])
async def test_a_store_that_fails_costs_a_pause_and_nothing_else(place: str) -> None:
    rows = Rows()
    copying = Copying(rows, Engine(PIECES))
    await copying.start()
    rows.faults = [(place, StoreDown("locked"))]
    copying.engine.come(3)
    await copying.flush()
    copying.engine.come()
    await copying.clock.advance(1)
    assert_whole(rows, PIECES)
    await copying.cut()


async def test_a_store_that_stays_away_is_asked_ever_more_rarely_but_every_5_seconds() -> None:
    rows = Rows()
    copying = Copying(rows, Engine(PIECES))
    asked: list[int] = []

    async def away(execution_id: str) -> Head:
        asked.append(copying.clock.now())
        raise StoreDown("away")

    rows.log_head = away  # type: ignore[method-assign]
    await copying.start()
    await copying.clock.advance(60)
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses == sorted(pauses)
    assert pauses[0] <= 200
    assert 2000 <= pauses[-1] <= 5000
    await copying.cut()


async def test_an_engine_is_not_read_further_while_the_store_is_stuck() -> None:
    rows = Rows()
    size = 64 * 1024
    log = [out(number, bytes(size)) for number in range(5 * MAX_WAITING // size)]
    copying = Copying(rows, Engine(log))
    await copying.start()
    rows.gate.clear()
    copying.engine.come()
    await copying.clock.advance(10)
    assert copying.engine.given * size <= 2 * MAX_WAITING + size
    rows.gate.set()
    for _ in range(5):
        await copying.clock.advance(1)
    assert_whole(rows, log)
    assert all(len(text(chunk.pieces, STDOUT)) <= FLUSH_BYTES for chunk in rows.chunks)
    await copying.cut()


async def test_a_long_log_is_read_to_its_end_in_bounded_pieces() -> None:
    rows = Rows()
    size = 256 * 1024
    log = [out(number, bytes(size)) for number in range(3 * MAX_WAITING // size + 1)]
    await Copying(rows, Engine(log)).finish()
    assert_whole(rows, log)
    assert len(rows.chunks) > 1
    assert all(len(text(chunk.pieces, STDOUT)) <= MAX_WAITING + size for chunk in rows.chunks)


# two pumps


async def two_pumps(log: Sequence[Piece], *, most: int = MUCH) -> tuple[Rows, Copying, Copying]:
    rows = Rows()
    one, other = Copying(rows, Engine(log), most=most), Copying(rows, Engine(log), most=most)
    await one.start()
    await other.start()
    return rows, one, other


async def test_a_pump_that_comes_too_late_drops_what_is_stored() -> None:
    rows, one, other = await two_pumps(PIECES)
    one.engine.come(2)
    other.engine.come(4)
    await one.flush()
    await other.flush()
    assert rows.refused == 1
    assert rows.pieces == PIECES[:2]
    await other.again()
    assert other.engine.readings == [{}, {1: Mark(5, 2)}]
    assert rows.pieces == PIECES[:4]
    await one.cut()
    await other.cut()


async def test_a_pump_that_was_overtaken_stores_nothing_twice_when_it_reads_on() -> None:
    """One is at the first piece when the other has stored three; when it reads on, the second and the third are there already."""
    rows, one, other = await two_pumps(PIECES)
    one.engine.come(1)
    other.engine.come(3)
    await other.flush()
    await one.flush()
    one.engine.come(2)
    await one.again()
    assert_whole(rows, PIECES[:3])
    one.engine.come()
    await one.flush()
    assert_whole(rows, PIECES)
    await one.cut()
    await other.cut()


async def test_a_pump_that_was_overtaken_in_the_other_stream_alone_stores_nothing_twice() -> None:
    rows, one, other = await two_pumps([])
    one.engine.pieces = [out(5, b"a"), out(6, b"b"), err(5, b"c")]
    other.engine.pieces = [err(5, b"c"), out(5, b"a"), out(6, b"b")]
    one.engine.come(2)
    other.engine.come(1)
    await other.flush()
    await one.flush()
    one.engine.come()
    other.engine.come()
    await one.flush()
    await other.flush()
    assert_whole(rows, one.engine.pieces)
    await one.cut()
    await other.cut()


async def test_two_pumps_count_what_is_beyond_the_cap_once() -> None:
    rows, one, other = await two_pumps(PIECES, most=3)
    one.engine.come(4)
    other.engine.come()
    await one.flush()
    await other.flush()
    await one.cut()
    await other.cut()
    await one.finish()
    assert rows.pieces == PIECES[:3]
    assert (rows.head.offset, rows.head.dropped) == (3, 2)


async def test_two_pumps_that_finish_at_once_store_one_log() -> None:
    rows = Rows()
    one, other = Copying(rows, Engine(PIECES)), Copying(rows, Engine(PIECES))
    tails = await asyncio.gather(one.finish(), other.finish())
    assert tails == [LogEnd(rows.head), LogEnd(rows.head)]
    assert_whole(rows, PIECES)


LOGS = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.integers(0, 1), st.binary(max_size=3)), max_size=12)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["read", "read", "flush", "flush", "flush both", "cut", "fail before", "fail after", "break", "wait"]),
        st.integers(0, 1),
        st.integers(1, 4),
    ),
    max_size=25,
)


def a_log(drawn: Sequence[tuple[int, int, bytes]]) -> list[Piece]:
    """Pieces whose times never go back; many are equal."""
    time = 1
    pieces = []
    for stream, later, data in drawn:
        time += later
        pieces.append(Piece(stream, time, data))
    return pieces


def mixed(pieces: Sequence[Piece], how: str) -> list[Piece]:
    """The same log at another reading: pieces of the same time of different streams may come in another order."""
    first = STDOUT if how == "stdout first" else STDERR
    return sorted(pieces, key=lambda piece: (piece.time, piece.stream != first)) if how != "as written" else list(pieces)


async def interleaved(log: list[Piece], mixes: tuple[str, str], steps: Sequence[tuple[str, int, int]]) -> Rows:
    rows = Rows()
    pumps = tuple(Copying(rows, Engine(mixed(log, how))) for how in mixes)
    for pump in pumps:
        await pump.start()
    acts: dict[str, Callable[[Copying, int], Any]] = {
        "read": lambda pump, count: pump.engine.come(count),
        "flush": lambda pump, _: pump.flush(),
        "flush both": lambda _, __: asyncio.gather(*(pump.flush() for pump in pumps)),
        "cut": _again,
        "fail before": lambda _, __: rows.faults.append(("before", StoreDown("locked"))),
        "fail after": lambda _, __: rows.faults.append(("after", StoreDown("answer lost"))),
        "break": _break,
        "wait": lambda pump, _: pump.clock.advance(6),
    }
    for name, who, count in steps:
        done = acts[name](pumps[who], count)
        if done is not None:
            await done
        await settle()
    rows.faults.clear()
    for pump in pumps:
        await pump.cut()
    await asyncio.gather(*(pump.finish() for pump in pumps))
    return rows


async def _again(pump: Copying, count: int) -> None:
    await pump.cut()
    await pump.start(afresh=count > 2)


async def _break(pump: Copying, _: int) -> None:
    pump.engine.fail(HostDown("cut off"))
    await settle()
    pump.engine.fail(None)


MIXES = st.tuples(*(st.sampled_from(["as written", "stdout first", "stderr first"]) for _ in range(2)))


@settings(deadline=None)
@given(LOGS, MIXES, STEPS)
@example([(1, 1, b"a"), (1, 1, b"b")], ("as written", "as written"), [("read", 0, 1), ("read", 1, 2), ("flush", 1, 1), ("flush", 0, 1)])
@example(
    [(1, 1, b"a"), (1, 1, b"b")],
    ("as written", "as written"),
    [("read", 0, 1), ("read", 1, 2), ("flush", 1, 1), ("flush", 0, 1), ("read", 0, 1), ("flush", 0, 1)],
)
def test_however_two_pumps_interleave_each_piece_is_stored_once_in_its_streams_order(
    drawn: list[tuple[int, int, bytes]], mixes: tuple[str, str], steps: list[tuple[str, int, int]]
) -> None:
    log = a_log(drawn)
    rows = asyncio.run(interleaved(log, mixes, steps))
    assert_whole(rows, log)


@given(LOGS.filter(len), st.integers(0, 30), st.lists(st.integers(1, 5), max_size=12))
def test_however_a_log_is_cut_into_chunks_the_same_is_kept_and_the_same_is_dropped(
    drawn: list[tuple[int, int, bytes]], most: int, cuts: list[int]
) -> None:
    log = a_log(drawn)
    whole, kept = appended(Head(), log, most)
    head, pieces, rest = Head(), [], log
    for cut in (*cuts, len(log)):
        if rest:
            head, some = appended(head, rest[:cut], most)
            pieces += some
            rest = rest[cut:]
    assert replace(head, sequence=1) == whole
    assert pieces == list(kept)
    assert head.offset == min(most, sum(len(piece.data) for piece in log))
