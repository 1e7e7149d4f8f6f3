"""What becomes of a host that is back when its clearing meets a fault that nobody expected."""

import asyncio
from contextlib import suppress
from typing import Any, cast

import pytest

from fastlane.clock import SystemClock
from fastlane.models.host import HostView
from fastlane.models.pool import Pool
from fastlane.scheduler.host_keeper import CLEARING, HostKeeper
from tests.support.defaults import ports_of
from tests.support.instant import InstantExecutor
from tests.support.waiting import until

HOST = "h:1"


class NoRecords:
    """A store in which no host can be noted."""

    async def write_host(self, _record: object) -> bool:
        return False


class Faulty:
    """Leftovers that cannot be removed at first."""

    def __init__(self) -> None:
        self.cleared: list[str] = []

    async def clear(self, host: str, _hosts: object) -> None:
        self.cleared.append(host)
        if len(self.cleared) == 1:
            raise RuntimeError("a bug")


async def test_a_host_is_cleared_by_the_next_run_when_an_unexpected_fault_ends_one(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = InstantExecutor([HOST], SystemClock())
    leftovers = Faulty()
    ports = ports_of(NoRecords(), None, SystemClock(), executor=executor, pools=[Pool("default", "", (HOST,))])
    keeper = HostKeeper(ports, cast(Any, None), cast(Any, leftovers), 300.0, lambda: None)

    def view() -> HostView:
        return keeper.views()[0]

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
    assert leftovers.cleared == [HOST, HOST]
