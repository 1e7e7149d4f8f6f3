"""One pump stores a log once, in order and without a gap: however often it is begun, and whatever is cut off or away in between."""

import asyncio
from itertools import pairwise
from typing import cast

import pytest

from fastlane.errors import FastlaneError, HostDown, LogLost, ServiceGone, StoreDown
from fastlane.executors.port import Executor
from fastlane.models.log import STDOUT, Chunk, Head, Mark, Slice
from fastlane.models.log_commands import LogFindings, Outputs
from fastlane.storage.base import Store
from fastlane.storage.logs import SliceBuilder
from fastlane.streams.pump import FIRST_AFTER, FLUSH_AFTER_CAP, FLUSH_BYTES, MAX_WAITING, CommandReader, LogEnd, Pump
from tests.support.clock import FakeClock, settle
from tests.support.factories import joined
from tests.unit.streams.pump_parts import MUCH, PIECES, Copying, Engine, Rows, appended, assert_whole, err, out


async def test_a_piece_that_comes_alone_is_stored_at_once_and_those_soon_after_it_together_25_ms_later() -> None:
    rows = Rows()
    copying = Copying(rows, Engine(PIECES))
    await copying.start()
    copying.engine.come(1)
    await copying.clock.advance(FIRST_AFTER)
    assert [chunk.pieces for chunk in rows.chunks] == [tuple(PIECES[:1])]
    copying.engine.come(1)
    await copying.clock.advance(0.020)
    copying.engine.come(1)
    await copying.clock.advance(0.004)
    assert len(rows.chunks) == 1
    await copying.clock.advance(0.001)
    assert [chunk.pieces for chunk in rows.chunks[1:]] == [tuple(PIECES[1:3])]
    await copying.clock.advance(0.100)
    copying.engine.come()
    await copying.clock.advance(FIRST_AFTER)
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


async def test_a_log_that_was_followed_for_a_while_is_read_again_at_once_whatever_happened_before() -> None:
    copying = Copying(Rows(), Engine(PIECES))
    copying.engine.fail(HostDown("away"))
    await copying.start()
    await copying.clock.advance(60)
    copying.engine.fail(None)
    await copying.clock.advance(60)
    before = len(copying.engine.readings)
    copying.engine.fail(HostDown("cut off"))
    await settle()
    copying.engine.fail(None)
    await copying.clock.advance(0.2)
    assert len(copying.engine.readings) == before + 1
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
    assert all(len(joined(chunk.pieces, STDOUT)) <= FLUSH_BYTES for chunk in rows.chunks)
    await copying.cut()


async def test_a_long_log_is_read_to_its_end_in_bounded_pieces() -> None:
    rows = Rows()
    size = 256 * 1024
    log = [out(number, bytes(size)) for number in range(3 * MAX_WAITING // size + 1)]
    await Copying(rows, Engine(log)).finish()
    assert_whole(rows, log)
    assert len(rows.chunks) > 1
    assert all(len(joined(chunk.pieces, STDOUT)) <= MAX_WAITING + size for chunk in rows.chunks)


async def test_what_another_pump_stored_is_read_from_the_store_and_what_this_one_stores_is_not_read_again() -> None:
    """The worker was killed in the middle of a line, and of a log: the next one finds all of it, and nothing twice."""
    log = [out(1, b"::set-output a=1\n::set-ou"), err(2, b"::error::broken\n"), out(3, b"tput b=2\n"), out(4, b"::set-output a=3")]
    for stored in range(len(log) + 1):
        rows, engine = ReadRows(), Engine(log)
        if stored:
            rows.chunks.append(Chunk("e", Head(), *appended(Head(), log[:stored], MUCH)))
        reader = CommandReader(cast(Store, rows), "e")
        end = await Pump(reader, cast(Executor, engine), FakeClock(), "e", most=MUCH).finish("h", "t1")
        for _ in range(2):
            assert await reader.findings(end.head) == LogFindings(Outputs({"b": "2", "a": "3"}), "broken")
        assert rows.read_from == ([0] if stored else [])


async def test_what_is_beyond_the_cap_is_not_read() -> None:
    rows, engine = ReadRows(), Engine([out(1, b"::set-output a=1\n"), out(2, b"::set-output b=2\n")])
    reader = CommandReader(cast(Store, rows), "e")
    end = await Pump(reader, cast(Executor, engine), FakeClock(), "e", most=20).finish("h", "t1")
    assert end.head.truncated
    assert await reader.findings(end.head) == LogFindings(Outputs({"a": "1"}))


class ReadRows(Rows):
    """Rows that are read, too, whole at once."""

    def __init__(self) -> None:
        super().__init__()
        self.read_from: list[int] = []

    async def read_log(self, _id: str, offset: int, _limit: int, _stream: int | None = None) -> Slice:
        self.read_from.append(offset)
        builder = SliceBuilder(offset, MUCH, None)
        for chunk in self.chunks:
            if chunk.end.offset > offset:
                builder.add(chunk.end.offset, chunk.pieces)
        return Slice(tuple(builder.pieces), builder.position)
