"""What is said while work cannot go on: each reason once, however often it is tried."""

import asyncio
from typing import Any, cast

from structlog.testing import capture_logs

from fastlane.errors import StoreDown, Unreadable
from fastlane.queue.port import EntryKind, Lease
from fastlane.scheduler.leases import Assignment
from fastlane.scheduler.runner import Runner
from tests.support.clock import FakeClock
from tests.support.defaults import ports_of
from tests.support.intercept import Call, intercept, keeping


class Away:
    """A launcher whose store says in turn why it does not answer; then that there is no such row."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = list(reasons)
        self.asked = 0

    async def claim(self, _assignment: Assignment) -> None:
        self.asked += 1
        if self.reasons:
            raise StoreDown(self.reasons.pop(0))


class Deaf:
    """A queue that takes whatever is finished."""

    async def finish(self, _ids: object) -> None:
        return None

    async def requeue(self, _owner: str, _id: str, _due: int, *, strict: bool) -> None:
        return None


class Damaged:
    """A launcher whose store has no row that can be read."""

    async def claim(self, assignment: Assignment) -> None:
        raise Unreadable(f"{assignment.id} cannot be read")


class Owner:
    """The leases of a worker."""

    owner = "me"


async def test_a_reason_for_waiting_is_logged_once_until_it_is_another() -> None:
    clock = FakeClock()
    launcher = Away(*["full"] * 50, "locked", *["full"] * 50)
    parts = cast(Any, [ports_of(None, Deaf(), clock), None, None, None, launcher, None, None])
    runner = Runner(*parts)
    with capture_logs() as logs:
        work = asyncio.create_task(runner.run(Assignment(Lease("id", EntryKind.EXECUTION, "default", 0, False, False)), clock.now()))
        await clock.advance(1000)
        await work
    assert launcher.asked == 102
    assert [event["error"] for event in logs if event["event"] == "assignment.waiting"] == ["full", "locked", "full"]


async def test_an_unreadable_row_is_logged_once_however_often_it_is_claimed_and_put_back() -> None:
    clock, queue, calls = FakeClock(), Deaf(), list[Call]()
    intercept(queue, "requeue", keeping(calls))
    parts = cast(Any, [ports_of(None, queue, clock), None, Owner(), None, Damaged(), None, None])
    runner = Runner(*parts)
    with capture_logs() as logs:
        for id in ("a", "b", "a"):
            await runner.run(Assignment(Lease(id, EntryKind.EXECUTION, "default", 0)), clock.now())
    assert [(call.arguments[1], call.arguments[2] - clock.now(), call.named["strict"]) for call in calls] == [
        ("a", 60_000, True),
        ("b", 60_000, True),
        ("a", 60_000, True),
    ]
    assert [event["id"] for event in logs] == ["a", "b"]
