"""Two pumps that copy one log store it once, in order and without a gap, however they interleave."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import example, given, settings, strategies as st

from fastlane.errors import HostDown, StoreDown
from fastlane.models.log import STDERR, STDOUT, Mark, Piece
from fastlane.streams.pump import LogEnd
from tests.support.clock import settle
from tests.unit.streams.pump_parts import LOGS, MUCH, PIECES, Copying, Engine, Rows, a_log, assert_whole, err, out


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


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["read", "read", "flush", "flush", "flush both", "cut", "fail before", "fail after", "break", "wait"]),
        st.integers(0, 1),
        st.integers(1, 4),
    ),
    max_size=25,
)


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
