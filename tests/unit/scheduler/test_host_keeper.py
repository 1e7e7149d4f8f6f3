"""What becomes of a host that is back when its clearing meets a fault that nobody expected."""

import asyncio
from contextlib import suppress

import pytest

from fastlane.clock import SystemClock
from fastlane.directory import CurrentPools
from fastlane.models.host import HostView
from fastlane.models.pool import Pool
from fastlane.scheduler.host_keeper import CLEARING, HostKeeper
from tests.support.instant import InstantExecutor
from tests.support.waiting import until

HOST = "h:1"


class NoRecords:
    """A store in which no host can be noted."""

    async def write_host(self, _record: object) -> bool:
        return False


async def test_a_host_is_cleared_by_the_next_run_when_an_unexpected_fault_ends_one(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = InstantExecutor([HOST], SystemClock())
    keeper = HostKeeper(NoRecords(), executor, CurrentPools([Pool("default", "", (HOST,))]), SystemClock(), lambda: None)
    cleared: list[str] = []

    async def clear(host: str) -> None:
        cleared.append(host)
        if len(cleared) == 1:
            raise RuntimeError("a bug")

    def view() -> HostView:
        return keeper.views()[0]

    keeper.clear_with(clear)
    executor.down(HOST)
    assert not view().usable
    executor.up(HOST)
    seen = executor.hosts()
    monkeypatch.setattr(executor, "hosts", lambda: seen)  # nothing changes any more
    assert view().closed == CLEARING
    with pytest.raises(ExceptionGroup):
        await keeper.run()
    again = asyncio.create_task(keeper.run())

    async def is_open() -> bool:
        return view().is_open

    await until(is_open, "the host to be cleared")
    again.cancel()
    with suppress(asyncio.CancelledError):
        await again
    assert cleared == [HOST, HOST]
