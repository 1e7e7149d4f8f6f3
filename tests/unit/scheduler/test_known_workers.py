"""Which workers live, when each was last seen, and what follows for the tasks that only others take."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from fastlane.errors import QueueDown
from fastlane.queue.port import Report
from fastlane.scheduler.known_workers import FRESH, UNBROKEN, KnownPools, KnownWorkers, Share
from tests.support.clock import FakeClock
from tests.support.factories import make_execution

PATIENCE = 300
RULES = (("small", "s-"), ("big", "b-"))


@dataclass
class Scene:
    """A worker ``me``, and the pools of those that live."""

    living: dict[str, tuple[tuple[str, str], ...] | None] = field(default_factory=dict)
    clock: FakeClock = field(default_factory=FakeClock)
    readings: int = 0
    down: bool = False

    def __post_init__(self) -> None:
        self.workers = KnownWorkers(cast(Any, self), self.clock, "me", PATIENCE)
        self.pools = KnownPools(self.workers, PATIENCE)

    async def current(self) -> Sequence[Report]:
        self.readings += 1
        if self.down:
            raise QueueDown("away")
        return [Report(worker, 0, (), pools=pools) for worker, pools in self.living.items()]

    async def passes(self, seconds: int) -> None:
        """Time passes, and the worker looks every 10 s."""
        await self.workers.look()
        for _ in range(seconds // 10):
            await self.clock.advance(10)
            await self.workers.look()

    def waits(self, task_id: str = "b-1", **values: Any) -> float:
        """For how many more seconds an execution of this task is to wait; it was due long ago."""
        execution = make_execution(task_id=task_id, **values)
        return (self.pools.awaited_until(execution) - self.clock.now()) / 1000


async def test_a_task_is_taken_by_the_first_pool_of_another_live_worker_that_matches() -> None:
    scene = Scene({"me": (("mine", ""),), "older": None, "other": RULES})
    assert [await scene.pools.taker(task) for task in ("s-1", "b-1", "x")] == ["small", "big", None]


async def test_the_reports_are_not_read_again_for_a_moment() -> None:
    scene = Scene({"other": RULES})
    assert [await scene.pools.taker("b-1") for _ in range(3)] == ["big"] * 3
    assert scene.readings == 1
    scene.living = {}
    await scene.clock.advance(FRESH / 1000)
    assert await scene.pools.taker("b-1") is None


async def test_a_task_waits_for_a_worker_that_takes_it_from_when_one_was_last_seen() -> None:
    scene = Scene({"other": RULES})
    await scene.passes(2 * PATIENCE)
    assert (scene.waits("b-1"), scene.waits("x")) == (PATIENCE, -PATIENCE)
    scene.living = {"another": (("x", "x"),)}
    await scene.passes(100)
    assert (scene.waits("b-1"), scene.waits("x")) == (PATIENCE - 100, PATIENCE)
    await scene.passes(PATIENCE)
    assert scene.waits("b-1") <= 0


async def test_a_task_waits_after_it_was_due_and_after_it_was_placed() -> None:
    scene = Scene()
    await scene.passes(2 * PATIENCE)
    now = scene.clock.now()
    assert (scene.waits(scheduled_for=now - 7_000), scene.waits(placed_at=now - 3_000, host="h")) == (PATIENCE - 7, PATIENCE - 3)
    assert scene.waits(placed_at=now) == -PATIENCE, "claimed to end, on no host"


async def test_a_worker_begins_to_wait_at_its_first_look_since_its_clock_may_have_been_wrong_before() -> None:
    scene = Scene()
    await scene.clock.advance(30)
    await scene.workers.look()
    assert scene.waits() == PATIENCE


async def test_a_worker_that_starts_or_did_not_see_the_others_for_a_while_waits_for_them() -> None:
    scene = Scene()
    assert scene.waits() == PATIENCE
    await scene.passes(2 * PATIENCE)
    assert scene.waits() == -PATIENCE
    scene.down = True
    with pytest.raises(QueueDown):
        await scene.workers.look()
    scene.down = False
    await scene.clock.advance(UNBROKEN / 1000 + 1)
    await scene.workers.look()
    assert scene.waits() == PATIENCE


async def test_each_worker_has_its_share_by_its_place_among_the_live_ones() -> None:
    scene = Scene()
    assert await scene.workers.share() == Share(0, 1)
    scene.living |= {"a": (), "k": (), "z": ()}
    await scene.clock.advance(FRESH / 1000)
    assert await scene.workers.share() == Share(2, 4)
    ids = [f"job {number}" for number in range(1_000)]
    shares = [[id for id in ids if Share(number, 4).has(id)] for number in range(4)]
    assert sorted(id for some in shares for id in some) == sorted(ids)
    assert min(len(some) for some in shares) > 150
