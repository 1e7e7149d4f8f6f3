"""Who can ask a host: this worker, another live one, or none any more."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from fastlane.errors import QueueDown
from fastlane.models.host import HostView
from fastlane.models.job import Execution
from fastlane.queue.port import Report
from fastlane.scheduler.host_keeper import HostKeeper
from fastlane.scheduler.known_workers import KnownWorkers
from tests.support.clock import FakeClock
from tests.support.defaults import ports_of
from tests.support.factories import make_execution

PATIENCE = 300.0
HOST, SWARM = "a:2375", "s"


@dataclass
class Scene:
    """A worker ``me``, its hosts, and the reports of live workers."""

    own: list[HostView] = field(default_factory=list)
    reports: dict[str, list[HostView]] = field(default_factory=dict)
    clock: FakeClock = field(default_factory=FakeClock)
    down: bool = False

    def __post_init__(self) -> None:
        self.workers = KnownWorkers(cast(Any, self), self.clock, "me", PATIENCE)
        ports = ports_of(None, None, self.clock, executor=self)
        self.known = HostKeeper(ports, self.workers, cast(Any, None), PATIENCE, lambda: None)

    def hosts(self) -> Sequence[HostView]:
        return list(self.own)

    def subscribe(self, _on_change: object) -> None:
        """Has an executor's verb, and calls nobody."""

    async def current(self) -> Sequence[Report]:
        if self.down:
            raise QueueDown("away")
        return [Report(worker, 0, tuple(hosts)) for worker, hosts in self.reports.items()]

    async def passes(self, seconds: float) -> None:
        """Time passes, and the worker looks every 10 s."""
        while seconds > 0:
            await self.clock.advance(min(10, seconds))
            await self.workers.look()
            seconds -= 10


def view(name: str, swarm: str | None = None) -> HostView:
    return HostView(name, usable=False, reason="is away", swarm_id=swarm)


def placed(**values: Any) -> Execution:
    return make_execution(**{"scheduled_for": 0, "created_at": 0, "host": HOST, "swarm_id": SWARM, "service_id": "service", **values})


@pytest.mark.parametrize(
    ("own", "others", "elsewhere"),
    [
        ([], [], False),
        ([], [view(HOST)], True),
        ([], [view("b:2375", SWARM)], True),
        ([], [view("b:2375", "another")], False),
        ([view(HOST)], [view(HOST)], False),
        ([view("b:2375", SWARM)], [view(HOST)], False),
        ([view("b:2375")], [view(HOST)], True),
    ],
)
async def test_a_host_is_elsewhere_when_only_another_worker_has_it_or_a_manager_of_its_swarm(
    own: list[HostView], others: list[HostView], elsewhere: bool
) -> None:
    scene = Scene(own, {"me": own, "other": others})
    assert await scene.known.is_elsewhere(placed()) is elsewhere


async def test_an_execution_is_left_to_others_once_it_is_placed() -> None:
    scene = Scene([], {"other": [view(HOST)]})
    assert await scene.known.is_elsewhere(placed(service_id=None, swarm_id=None))
    assert not await scene.known.is_elsewhere(placed(service_id=None, swarm_id=None, host=None))


async def test_two_hosts_without_a_known_swarm_are_not_of_one_swarm() -> None:
    scene = Scene([], {"other": [view("b:2375")]})
    assert not await scene.known.is_elsewhere(placed(swarm_id=None))


async def test_a_host_is_forgotten_once_no_worker_has_known_it_for_a_while() -> None:
    scene = Scene()
    await scene.passes(PATIENCE - 1)
    assert not await scene.known.is_forgotten(placed())
    scene.reports = {"other": [view(HOST)]}
    await scene.passes(1)
    assert not await scene.known.is_forgotten(placed())
    scene.reports = {}
    await scene.passes(PATIENCE - 1)
    assert not await scene.known.is_forgotten(placed())
    await scene.passes(1)
    assert await scene.known.is_forgotten(placed())


async def test_a_worker_that_is_away_for_a_moment_now_and_then_is_waited_for_each_time() -> None:
    scene = Scene()
    for _ in range(3):
        scene.reports = {"other": [view(HOST)]}
        await scene.passes(2 * PATIENCE)
        scene.reports = {}
        await scene.passes(2)
        assert not await scene.known.is_forgotten(placed())


async def test_nothing_is_forgotten_while_the_queue_cannot_tell_who_lives() -> None:
    scene = Scene()
    await scene.passes(PATIENCE - 1)
    scene.down = True
    await scene.clock.advance(PATIENCE)
    assert not await scene.known.is_forgotten(placed())
    scene.down = False
    assert not await scene.known.is_forgotten(placed())
