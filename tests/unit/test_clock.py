"""Moments as text, waiting for the first of several things, and the clock that tests move."""

import asyncio
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from fastlane.clock import ROUNDING, AlignedClock, SystemClock, corrected, first_of, iso
from tests.support.clock import FakeClock, ShiftedClock, settle

HOUR = 3_600_000
LAST_MOMENT = 253_402_300_799_999
"""The last millisecond of the year 9999."""


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (999, "1970-01-01T00:00:00.999Z"),
        (1000, "1970-01-01T00:00:01.000Z"),
        (1_645_113_692_000, "2022-02-17T16:01:32.000Z"),
        (1_645_113_692_040, "2022-02-17T16:01:32.040Z"),
        (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
        (LAST_MOMENT, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_moment_is_written_in_utc_with_milliseconds(moment: int, text: str) -> None:
    assert iso(moment) == text


@given(st.integers(0, LAST_MOMENT))
def test_a_written_moment_reads_back_as_itself(moment: int) -> None:
    apart = datetime.fromisoformat(iso(moment)) - datetime(1970, 1, 1, tzinfo=UTC)
    assert (apart.days * 86_400 + apart.seconds) * 1000 + apart.microseconds // 1000 == moment


def test_the_systems_clock_tells_milliseconds() -> None:
    before = time.time()
    now = SystemClock().now()
    assert int(before * 1000) - 1 <= now <= int(time.time() * 1000) + 1


async def test_the_systems_clock_sleeps_for_seconds() -> None:
    before = time.monotonic()
    await SystemClock().sleep(0.02)
    assert 0.015 <= time.monotonic() - before < 10


async def test_an_event_ends_the_wait_before_its_time() -> None:
    clock, one, other = FakeClock(), asyncio.Event(), asyncio.Event()
    waiting = asyncio.create_task(first_of(clock, 60, one, other))
    await settle()
    assert not waiting.done()
    other.set()
    await asyncio.wait_for(waiting, 5)
    assert clock.sleeping == 0


async def test_an_event_that_is_set_already_ends_the_wait_at_once() -> None:
    event = asyncio.Event()
    event.set()
    await asyncio.wait_for(first_of(FakeClock(), 60, event), 5)


async def test_time_ends_the_wait_when_no_event_does() -> None:
    clock, event = FakeClock(), asyncio.Event()
    waiting = asyncio.create_task(first_of(clock, 60, event))
    await clock.advance(59.999)
    assert not waiting.done()
    await clock.advance(0.001)
    assert waiting.done()


async def test_a_wait_leaves_no_task_behind_however_it_ends() -> None:
    clock, event = FakeClock(), asyncio.Event()
    before = asyncio.all_tasks()
    cancelled = asyncio.create_task(first_of(clock, 60, event))
    timed = asyncio.create_task(first_of(clock, 1, event))
    await settle()
    cancelled.cancel()
    await clock.advance(1)
    await asyncio.gather(cancelled, timed, return_exceptions=True)
    assert cancelled.cancelled()
    assert asyncio.all_tasks() == before
    assert clock.sleeping == 0


async def test_virtual_sleepers_wake_at_their_moments_and_in_order() -> None:
    clock = FakeClock(1000)
    woken: list[tuple[str, int]] = []

    async def sleeper(name: str, *seconds: float) -> None:
        for some in seconds:
            await clock.sleep(some)
            woken.append((name, clock.now()))

    tasks = [asyncio.create_task(sleeper("a", 0.5, 0.5)), asyncio.create_task(sleeper("b", 0.75)), asyncio.create_task(sleeper("c", 2))]
    await clock.advance(1)
    assert woken == [("a", 1500), ("b", 1750), ("a", 2000)]
    assert clock.now() == 2000
    await clock.advance(1)
    assert woken[-1] == ("c", 3000)
    await asyncio.gather(*tasks)


# another clock


@given(skew=st.integers(-100_000, 100_000), known=st.integers(-100_000, 100_000), way=st.integers(0, 500), back=st.integers(0, 500))
def test_a_skew_is_never_further_off_than_the_answer_took(skew: int, known: int, way: int, back: int) -> None:
    before = 1_700_000_000_000
    found = corrected(known, before + way + skew, before, before + way + back)
    assert skew - back - ROUNDING <= found <= skew + way + ROUNDING


@given(skew=st.integers(-100_000, 100_000), trips=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1))
def test_each_answer_only_brings_a_skew_nearer(skew: int, trips: list[tuple[int, int]]) -> None:
    found, off = 0, abs(skew)
    for way, back in trips:
        found = corrected(found, 1_700_000_000_000 + way + skew, 1_700_000_000_000, 1_700_000_000_000 + way + back)
        assert abs(found - skew) <= max(off, ROUNDING)
        off = abs(found - skew)


@given(way=st.integers(0, 500), back=st.integers(0, 500))
def test_clocks_that_agree_have_no_skew_however_long_an_answer_takes(way: int, back: int) -> None:
    assert corrected(0, 1_000 + way, 1_000, 1_000 + way + back) == 0


async def test_an_aligned_clock_goes_by_the_other_one_however_its_machines_is_set() -> None:
    machine, seconds, theirs = FakeClock(HOUR), [1_000.0], 500
    clock = AlignedClock(machine, lambda: seconds[0])

    async def ask() -> int:
        return theirs

    await clock.align(ask)
    assert (clock.now(), clock.skew) == (theirs + ROUNDING, theirs + ROUNDING - HOUR)
    for step in (2 * HOUR, -HOUR):
        machine.set_back(step / 1000)
        seconds[0] += 0.25
        theirs += 250
        assert (clock.now(), clock.skew) == (theirs + ROUNDING, theirs + ROUNDING - machine.now())
    theirs += HOUR
    await clock.align(ask)
    assert clock.now() == theirs - ROUNDING


def test_a_clock_that_is_not_aligned_yet_shows_its_machines_time() -> None:
    assert abs(AlignedClock(ShiftedClock(HOUR)).now() - SystemClock().now() - HOUR) < 1_000


async def test_an_answer_that_never_came_leaves_an_aligned_clock_as_it_was() -> None:
    clock = AlignedClock(FakeClock(5), lambda: 7.0)

    async def fail() -> int:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await clock.align(fail)
    assert (clock.now(), clock.skew) == (5, 0)
