"""When a service counts as gone: its managers say so, all that can be asked, for a minute. Time is virtual, the executor ends at once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest

from fastlane.errors import HostDown, ServiceGone
from fastlane.executors.port import Activation, EngineService, Order
from fastlane.models.host import HostView, reachable_manager, reachable_managers
from fastlane.models.job import Execution, Spec
from fastlane.models.pool import Pull
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.queue.port import EntryKind, Lease
from fastlane.scheduler.leases import Assignment
from fastlane.scheduler.verdict import MAX_PAUSE, MIN_PAUSE
from fastlane.scheduler.watcher import Watcher
from tests.support.clock import FakeClock
from tests.support.defaults import Views, default_worker, ports_of
from tests.support.factories import make_execution
from tests.support.instant import InstantExecutor
from tests.unit.scheduler.rows import Never, Row

OWN, OTHER, THIRD, FOREIGN = "tcp://own:1", "tcp://other:1", "tcp://third:1", "tcp://foreign:1"
SWARM = {OWN: "s", OTHER: "s", THIRD: "s", FOREIGN: "another"}
MINUTE = 60.0


class Managers(InstantExecutor):
    """Managers of one swarm, and one of another. ``blind`` ones say that there is no service, ``deaf`` ones do not answer."""

    def __init__(self, clock: FakeClock) -> None:
        shared: dict[str, Any] = {}
        super().__init__(tuple(SWARM), clock, world={host: {} if host == FOREIGN else shared for host in SWARM})
        self.blind: set[str] = set()
        self.deaf: set[str] = set()
        self.asked: list[str] = []
        self.stopped_at: list[str] = []

    def hosts(self) -> list[HostView]:
        return [replace(view, swarm_id=SWARM[view.name]) for view in super().hosts()]

    async def inspect(self, host: str, service_id: str) -> EngineService:
        self.asked.append(host)
        if host in self.deaf:
            raise HostDown(f"{host} did not answer within 10 s")
        if host in self.blind:
            raise ServiceGone("service not found")
        return await super().inspect(host, service_id)

    async def stop(self, host: str, service_id: str, why: str = "") -> None:
        self.stopped_at.append(host)
        await super().stop(host, service_id, why)


@dataclass
class Scene:
    """A running execution under watch, on its own host."""

    clock: FakeClock
    executor: Managers
    row: Row
    watching: asyncio.Task[Execution | None]
    missed_at: int = 0
    assignment: Assignment = field(kw_only=True)

    async def after(self, seconds: float) -> Execution:
        """The execution when so much time has passed."""
        await self.clock.advance(seconds)
        return self.row.execution_now

    async def miss(self, *blind: str) -> None:
        """From now on these say that it is gone; that is noticed at once."""
        self.executor.blind = set(blind)
        self.missed_at = self.clock.now()
        self.assignment.request_stop()  # a look again
        await self.clock.advance(0)


async def bound(executor: Managers, clock: FakeClock) -> Row:
    """An execution whose service is parked."""
    now = clock.now()
    execution = make_execution(scheduled_for=now, created_at=now, status=Status.PULLING, epoch=1)
    order = Order("e", "task", "job", 1, 1, now, ("hold",), {})
    service = await executor.park(OWN, order, await executor.resolve(OWN, "ubuntu", Pull.MISSING))
    return Row(replace(execution, host=OWN, swarm_id="s", service_id=service, bound_at=now))


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    clock = FakeClock()
    executor = Managers(clock)
    row, now = await bound(executor, clock), clock.now()
    assert await executor.activate(OWN, str(row.execution_now.service_id)) is Activation.STARTED
    assignment = Assignment(Lease("e", EntryKind.EXECUTION, "default", 0, now))
    watcher = Watcher(ports_of(row, None, clock, executor=executor), default_worker(log_cap=1000), Views(), Never())
    watching = asyncio.create_task(watcher.watch(assignment, row.execution_now))
    await clock.advance(1)
    assert row.execution_now.status is Status.RUNNING
    yield Scene(clock, executor, row, watching, assignment=assignment)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_it_is_gone_when_all_say_so_for_a_minute(scene: Scene) -> None:
    await scene.miss(OWN, OTHER, THIRD)
    assert (await scene.after(MINUTE - 1)).status is Status.RUNNING
    assert set(scene.executor.asked) == {OWN, OTHER, THIRD}
    ended = await scene.after(6)
    assert (ended.status, ended.exit_code, ended.truncated) == (Status.FAILED, None, True)
    assert ended.failure is not None
    assert ended.failure.reason is FailureReason.KILLED
    assert ended.finished_at == scene.missed_at
    assert await scene.watching == ended


async def test_one_manager_that_knows_it_is_right_and_is_the_one_that_is_asked_from_then_on(scene: Scene) -> None:
    await scene.miss(OWN, THIRD)
    assert (await scene.after(10 * MINUTE)).status is Status.RUNNING
    assert scene.executor.asked[-1] == OTHER
    scene.executor.asked.clear()
    scene.row.execution_now = replace(scene.row.execution_now, stop_requested_at=scene.clock.now())
    scene.assignment.request_stop()
    assert (await scene.after(1)).status is Status.STOPPED
    assert set(scene.executor.asked) == {OTHER}
    assert scene.executor.stopped_at == [OTHER]


async def test_a_service_that_reappears_must_be_missing_for_another_minute(scene: Scene) -> None:
    await scene.miss(OWN, OTHER, THIRD)
    await scene.after(MINUTE - 10)
    scene.executor.blind = {OWN, OTHER}
    await scene.after(6)
    await scene.miss(OWN, OTHER, THIRD)
    assert (await scene.after(MINUTE - 1)).status is Status.RUNNING
    assert (await scene.after(6)).status is Status.FAILED


async def test_a_start_that_keeps_failing_is_tried_less_and_less_often() -> None:
    clock, tries = FakeClock(), []
    executor = Managers(clock)
    row = await bound(executor, clock)

    class Failing:
        async def activate(self, _assignment: Assignment, _execution: Execution) -> bool:
            tries.append(clock.now())
            raise HostDown(f"{OWN} did not take an update")

    watcher = Watcher(ports_of(row, None, clock, executor=executor), default_worker(log_cap=1000), Views(), Failing())
    assignment = Assignment(Lease("e", EntryKind.EXECUTION, "default", 0, clock.now()))
    watching = asyncio.create_task(watcher.watch(assignment, row.execution_now))
    await clock.advance(2 * MINUTE)
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (1000 * MIN_PAUSE, 1000 * MAX_PAUSE)
    row.execution_now = replace(row.execution_now, stop_requested_at=clock.now())
    assignment.request_stop()
    await clock.advance(MIN_PAUSE)
    assert executor.stopped_at == [OWN]
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_a_service_that_a_host_says_it_removed_and_still_shows_is_not_removed_again_at_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    removals: list[int] = []

    async def refuse(_host: str, _service_id: str, _why: str = "") -> None:
        raise ServiceGone("page not found")

    async def pretend(_host: str, _service_id: str) -> None:
        removals.append(scene.clock.now())

    monkeypatch.setattr(scene.executor, "stop", refuse)
    monkeypatch.setattr(scene.executor, "remove", pretend)
    scene.row.execution_now = replace(scene.row.execution_now, stop_requested_at=scene.clock.now())
    scene.assignment.request_stop()
    await scene.after(MINUTE + 20)
    assert len(removals) > 1
    assert len(set(removals)) == len(removals)


async def test_it_is_not_believed_while_a_usable_manager_does_not_answer(scene: Scene) -> None:
    scene.executor.deaf = {OTHER}
    await scene.miss(OWN, THIRD)
    assert (await scene.after(3 * MINUTE)).status is Status.RUNNING
    scene.executor.down(OTHER)
    assert (await scene.after(6)).status is Status.RUNNING  # missed for long, but only now by all
    assert (await scene.after(MINUTE)).status is Status.FAILED


async def test_a_stop_that_was_asked_for_is_what_it_ends_as(scene: Scene) -> None:
    await scene.miss(OWN, OTHER, THIRD)
    scene.row.execution_now = replace(scene.row.execution_now, stop_requested_at=scene.clock.now())
    assert (await scene.after(MINUTE + 6)).status is Status.STOPPED


async def test_a_timeout_that_passes_in_that_time_does_not_decide_the_end(scene: Scene) -> None:
    scene.row.execution_now = replace(scene.row.execution_now, spec=Spec("ubuntu", timeout=30_000))
    await scene.miss(OWN, OTHER, THIRD)
    assert (await scene.after(MINUTE + 6)).status is Status.FAILED


VIEWS = [HostView(name, usable=True, swarm_id=swarm) for name, swarm in SWARM.items()]


@pytest.mark.parametrize(
    ("unusable", "first", "expected"),
    [
        ((), None, [OWN, OTHER, THIRD]),
        ((), THIRD, [THIRD, OWN, OTHER]),
        ((), FOREIGN, [OWN, OTHER, THIRD]),
        ((OWN,), None, [OTHER, THIRD]),
        ((OWN,), OWN, [OTHER, THIRD]),
        ((OWN, OTHER, THIRD), OTHER, [OWN]),
    ],
)
def test_who_can_be_asked_is_its_host_and_the_managers_of_its_swarm(
    unusable: tuple[str, ...], first: str | None, expected: list[str]
) -> None:
    views = [replace(view, usable=view.name not in unusable) for view in VIEWS]
    assert reachable_managers(views, OWN, "s", first=first) == expected
    assert reachable_manager(views, OWN, "s", first=first) == expected[0]


def test_of_a_host_whose_swarm_is_not_known_only_it_is_asked() -> None:
    assert reachable_managers(VIEWS, OWN, None) == [OWN]
    assert reachable_managers(VIEWS, "tcp://unknown:1", None) == ["tcp://unknown:1"]
    assert reachable_manager(VIEWS, OWN, None, first=OTHER) == OWN


def test_an_address_that_is_another_swarms_here_is_not_asked() -> None:
    assert reachable_manager(VIEWS, OWN, "third") == f"{OWN} of the swarm third"
