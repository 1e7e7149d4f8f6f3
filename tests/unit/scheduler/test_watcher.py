"""How often all watched services are looked at."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import replace

from fastlane.executors.port import Activation, ClusterSnapshot, Order
from fastlane.models.job import Execution
from fastlane.models.pool import Pull
from fastlane.models.status import Status
from fastlane.queue.port import EntryKind, Lease
from fastlane.scheduler.leases import Assignment
from fastlane.scheduler.watcher import AT_MOST, FASTEST, REST, SLOWEST, Watcher
from tests.support.clock import FakeClock
from tests.support.defaults import Views, default_worker, ports_of
from tests.support.factories import make_execution
from tests.support.instant import InstantExecutor
from tests.unit.scheduler.rows import Never, Row

HOST = "unix:///instant"


class Looks(InstantExecutor):
    """Notes when it is looked at. A look lasts for ``takes`` seconds, and costs ``costs`` seconds of processor time."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__((HOST,), clock)
        self.at: list[int] = []
        self.takes = self.costs = 0.0
        self._time = clock

    async def snapshot(self, watched: Collection[str] | None = None) -> ClusterSnapshot:
        self.at.append(self._time.now())
        until = time.thread_time() + self.costs
        while time.thread_time() < until:
            pass
        await self._time.sleep(self.takes)
        return await super().snapshot(watched)

    def apart(self) -> float:
        """Seconds between the last two looks."""
        return (self.at[-1] - self.at[-2]) / 1000


class Place:
    """A watcher on one host, in virtual time."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.executor = Looks(self.clock)
        self._tasks: list[asyncio.Task[object]] = []
        self._watchers: list[Watcher] = []

    async def runs(self, name: str) -> None:
        """Has something run, and watched from now on."""
        now = self.clock.now()
        order = Order(name, "task", "job", 1, 1, now, ("hold",), {})
        service = await self.executor.park(HOST, order, await self.executor.resolve(HOST, "ubuntu", Pull.MISSING))
        assert await self.executor.activate(HOST, service) is Activation.STARTED
        execution = make_execution(id=name, scheduled_for=now, created_at=now, status=Status.PULLING, epoch=1)
        row = Row(replace(execution, host=HOST, swarm_id="s", service_id=service, bound_at=now))
        assignment = Assignment(Lease(name, EntryKind.EXECUTION, "default", 0, now))
        self._tasks.append(asyncio.create_task(self._watch(row, assignment)))
        await self.clock.advance(0)

    async def _watch(self, row: Row, assignment: Assignment) -> Execution | None:
        if not self._watchers:
            ports = ports_of(row, None, self.clock, executor=self.executor)
            self._watchers.append(Watcher(ports, default_worker(log_cap=1000), Views(), Never()))
            self._tasks.append(asyncio.create_task(self._watchers[0].run()))
        return await self._watchers[0].watch(assignment, row.execution_now)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def a_place() -> AsyncIterator[Place]:
    place = Place()
    try:
        yield place
    finally:
        await place.close()


async def test_what_has_just_started_is_looked_at_often() -> None:
    async with a_place() as place:
        await place.runs("one")
        await place.clock.advance(0.5)
        assert place.executor.apart() <= 1.5 * FASTEST


async def test_an_end_is_seen_late_by_a_small_part_of_the_time_that_it_ran() -> None:
    for ran in (2.0, 10.0, 60.0):
        async with a_place() as place:
            await place.runs("one")
            await place.clock.advance(ran)
            ended = place.clock.now()
            place.executor.release("one")
            await place.clock.advance(1.0)
            late = next(at for at in place.executor.at if at >= ended) - ended
            assert late / 1000 <= min(AT_MOST, max(0.01 * ran, FASTEST)) + 0.01


async def test_what_has_run_for_long_is_looked_at_rarely_until_something_starts() -> None:
    async with a_place() as place:
        await place.runs("old")
        await place.clock.advance(60.0)
        assert place.executor.apart() >= 0.9 * AT_MOST
        before = len(place.executor.at)
        await place.runs("new")
        await place.clock.advance(FASTEST)
        assert len(place.executor.at) > before
        await place.clock.advance(0.5)
        assert place.executor.apart() <= 1.5 * FASTEST


async def test_looks_that_cost_much_are_rare_whatever_starts() -> None:
    async with a_place() as place:
        place.executor.takes = place.executor.costs = 0.01
        for number in range(3):
            await place.runs(f"one {number}")
            await place.clock.advance(2.0)
        assert 0.9 * REST * 0.01 <= place.executor.apart() <= SLOWEST + 0.05


async def test_looks_for_which_a_busy_engine_takes_its_time_are_not_rarer_for_that() -> None:
    async with a_place() as place:
        place.executor.takes = 0.1
        await place.runs("one")
        await place.clock.advance(1.0)
        assert place.executor.apart() <= 0.1 + 10 * FASTEST  # what little this thread works may be more than nothing
