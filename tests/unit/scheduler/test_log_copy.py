"""The copying of one execution's log: begun once, ended without a trace, and given up only after a while. Time is virtual."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from fastlane.errors import FastlaneError, HostDown, LogLost, StoreDown
from fastlane.models.log import Head
from fastlane.scheduler.watcher import LOG_LOST_AFTER, LogCopy
from fastlane.storage.base import LogStore
from fastlane.streams.pump import LogEnd, Pump
from tests.support.clock import FakeClock

HEAD = Head(sequence=3, offset=40)
PATIENCE = 300.0


class FakePump:
    """``fault`` is what a finish raises, ``broken`` what following does; it counts the followings that go on."""

    def __init__(self) -> None:
        self.followed: list[tuple[str, str]] = []
        self.under_way = 0
        self.fault: FastlaneError | None = None
        self.broken: Exception | None = None

    async def follow(self, host: str, task_id: str) -> None:
        self.followed.append((host, task_id))
        if self.broken is not None:
            raise self.broken
        self.under_way += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.under_way -= 1

    async def finish(self, _host: str, _task_id: str) -> LogEnd:
        if self.fault is not None:
            raise self.fault
        return LogEnd(HEAD)


class Heads:
    async def log_head(self, _execution_id: str) -> Head:
        return HEAD


class Bench:
    def __init__(self) -> None:
        self.clock, self.pump = FakeClock(), FakePump()
        self.copy = LogCopy(cast(Pump, self.pump), cast(LogStore, Heads()), self.clock, "execution", PATIENCE)


async def test_a_log_is_copied_once_however_often_it_is_started() -> None:
    bench = Bench()
    for _ in range(3):
        bench.copy.start("host", "task")
    await asyncio.sleep(0)
    assert bench.pump.followed == [("host", "task")]
    await bench.copy.close()


async def test_closing_ends_the_copying_and_may_be_repeated() -> None:
    bench = Bench()
    await bench.copy.close()
    bench.copy.start("host", "task")
    await asyncio.sleep(0)
    assert bench.pump.under_way == 1
    await bench.copy.close()
    await bench.copy.close()
    assert bench.pump.under_way == 0


async def test_closing_raises_what_ended_the_copying() -> None:
    bench = Bench()
    bench.pump.broken = ValueError("a mistake")
    bench.copy.start("host", "task")
    await asyncio.sleep(0)
    with pytest.raises(ValueError, match="a mistake"):
        await bench.copy.close()


async def test_the_end_of_a_log_is_where_its_pump_has_stored_it_to() -> None:
    assert await Bench().copy.finish("host", "task") == LogEnd(HEAD)


@pytest.mark.parametrize(
    ("fault", "patience"),
    [(lambda: HostDown("away"), PATIENCE), (lambda: LogLost("no such log"), LOG_LOST_AFTER)],
    ids=["a host that is away", "a node without the log"],
)
async def test_a_log_that_does_not_come_is_given_up_after_a_while_and_said_to_be_gone(
    fault: Callable[[], FastlaneError], patience: float
) -> None:
    bench = Bench()
    bench.pump.fault = fault()
    with pytest.raises(HostDown):
        await bench.copy.finish("host", "task")
    await bench.clock.advance(patience - 0.001)
    with pytest.raises(HostDown):
        await bench.copy.finish("host", "task")
    await bench.clock.advance(0.001)
    assert await bench.copy.finish("host", "task") == LogEnd(HEAD, gone=True)


async def test_a_store_that_is_away_is_never_taken_for_a_lost_log() -> None:
    bench = Bench()
    bench.pump.fault = StoreDown("away")
    for _ in range(3):
        with pytest.raises(StoreDown):
            await bench.copy.finish("host", "task")
        await bench.clock.advance(PATIENCE)
