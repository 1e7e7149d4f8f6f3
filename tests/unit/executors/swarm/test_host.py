"""What a host's probes tell of its clock, and when that counts as set back. How the probes of many hosts are spread."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fastlane.executors.swarm import hosts as module
from fastlane.executors.swarm.client import Breaker, EngineClient
from fastlane.executors.swarm.clocks import SetBack, set_back
from fastlane.executors.swarm.hosts import SwarmHost
from fastlane.executors.swarm.probe import EngineFacts, Pace
from fastlane.executors.swarm.registries import Registries
from fastlane.models.host import Endpoint
from tests.support.clock import ShiftedClock
from tests.support.waiting import until

NOW, HOUR, MINUTE = 1_795_611_459_000, 3_600_000, 60_000
PROBE_EVERY = 0.01
ROUNDING = 2


class Probes:
    """A host that is probed all the time. Its clock is ``ahead`` of this machine's; so may the worker's ``clock`` be."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = ShiftedClock(0)
        self.ahead = 0
        self.made = 0
        self._registries = Registries()
        self.host = SwarmHost(
            Endpoint("unix:///none"), self.clock, Breaker(5, 1000), Pace(PROBE_EVERY, lambda: 1, lambda: 0), self._registries, lambda: None
        )
        monkeypatch.setattr(module, "probe", self._probe)

    async def _probe(self, client: EngineClient, *_: object, info_too: bool) -> EngineFacts:
        self.made += info_too
        client.version = "1.44"
        return EngineFacts("swarm", "node", 5, {"node": "ready"}, skew=self.ahead - self.clock.ahead, names={"node": "node3"})

    async def seen(self) -> SetBack | None:
        """What the host says of its clock after some more probes."""
        made = self.made
        await until(lambda: self.made > made + 2, "three more probes that ask for the time")
        return self.host.set_back

    async def close(self) -> None:
        await self.host.close()
        await self._registries.close()


@pytest.fixture
async def probes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Probes]:
    probes = Probes(monkeypatch)
    await probes.host.open()
    assert await probes.seen() is None
    yield probes
    await probes.close()


async def test_its_transport_knows_the_node_that_answered_last_so_that_a_lost_filter_is_told_with_it(probes: Probes) -> None:
    assert probes.host.transport.node == "node3"


async def test_what_a_clock_showed_twice_is_known_once_it_was_set_back(probes: Probes) -> None:
    began = probes.clock.now()
    probes.ahead = -MINUTE
    first = await probes.seen()
    assert first is not None
    assert first.earliest <= began - MINUTE + ROUNDING
    assert began - ROUNDING <= first.latest <= probes.clock.now() + ROUNDING
    assert await probes.seen() == first
    probes.ahead = -HOUR
    both = await probes.seen()
    assert both is not None
    assert both.earliest < first.earliest
    assert both.latest == first.latest


async def test_questions_about_images_use_the_version_that_the_probe_agreed_on(probes: Probes, monkeypatch: pytest.MonkeyPatch) -> None:
    versions: list[str] = []

    async def remove(client: EngineClient, _reference: str) -> None:
        versions.append(client.version)

    monkeypatch.setattr(module, "remove_image", remove)
    await probes.host.remove_image("busybox:1")
    assert versions == ["1.44"]


async def test_a_worker_whose_own_clock_is_set_forward_takes_no_hosts_clock_for_set_back(probes: Probes) -> None:
    probes.clock.ahead = HOUR
    assert await probes.seen() is None


async def test_a_clock_that_the_worker_shares_is_seen_being_set_back(probes: Probes) -> None:
    probes.clock.ahead = probes.ahead = -MINUTE
    assert await probes.seen() is not None


async def test_a_parked_service_does_not_count_as_running_once_the_clock_was_set_back(probes: Probes) -> None:
    probes.host.parked("service")
    assert probes.host.view().running == 1
    probes.clock.ahead = probes.ahead = -MINUTE
    assert probes.host.view().running == 0


async def test_hosts_that_come_up_together_are_not_asked_together_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[object, list[float]] = {}

    async def probe(client: object, *_: object, info_too: bool) -> EngineFacts:
        if info_too:
            asked.setdefault(client, []).append(asyncio.get_running_loop().time())
        return EngineFacts("swarm", "node", 5, {"node": "ready"})

    monkeypatch.setattr(module, "probe", probe)
    registries, pace = Registries(), Pace(PROBE_EVERY, lambda: 20, lambda: 0)
    hosts = [SwarmHost(Endpoint(f"unix:///{one}"), ShiftedClock(0), Breaker(5, 1000), pace, registries, lambda: None) for one in range(30)]
    for host in hosts:
        await host.open()
    await until(lambda: all(len(times) > 1 for times in asked.values()), "all to be asked twice")
    pauses = [times[1] - times[0] for times in asked.values()]
    assert min(pauses) < max(pauses) / 2
    for host in hosts:
        await host.close()
    await registries.close()


class StillClock(ShiftedClock):
    """A clock on which every sleep lasts forever."""

    def __init__(self) -> None:
        super().__init__(0)
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.Event().wait()


async def test_hosts_that_are_opened_together_are_probed_at_moments_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async def probe(*_: object, info_too: bool) -> EngineFacts:
        return EngineFacts("swarm", "node", 5, {"node": "ready"})

    monkeypatch.setattr(module, "probe", probe)
    registries, clock, pace = Registries(), StillClock(), Pace(PROBE_EVERY, lambda: 20, lambda: 0)
    hosts = [SwarmHost(Endpoint(f"unix:///{one}"), clock, Breaker(5, 1000), pace, registries, lambda: None) for one in range(30)]
    for host in hosts:
        await host.open()
    await until(lambda: len(clock.slept) == len(hosts), "all to wait for their second probe")
    whole = pace.pause(well=True)
    assert max(clock.slept) <= whole
    assert max(clock.slept) - min(clock.slept) > whole / 4
    for host in hosts:
        await host.close()
    await registries.close()


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NOW + 2_000, None),
        (NOW + 1_001, None),
        (NOW + 1_000, SetBack(NOW - 1_000, NOW + 2_000)),
        (NOW - MINUTE, SetBack(NOW - MINUTE - 2_000, NOW + 2_000)),
        (NOW + MINUTE, None),
        (500, SetBack(0, NOW + 2_000)),
    ],
    ids=["right", "a bit slow", "a second back", "a minute back", "forward", "back to the beginning of time"],
)
def test_a_clock_was_set_back_when_it_shows_less_than_a_steady_one_would(now: int, expected: SetBack | None) -> None:
    assert set_back(NOW, now, elapsed=2_000) == expected
