"""Which swarms a snapshot lists, and what it shows of the others."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlane.executors.base import Phase
from fastlane.executors.swarm import observe
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.models.placement.pool import Pull
from tests.contract.test_executor import order
from tests.support.defaults import default_executor
from tests.support.engine import IMAGE, open_probed
from tests.support.simulated_engine import Simulation

COUNT = 4
SNAPSHOTS = 5


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    async with Simulation(tmp_path, COUNT) as made:
        yield made


@pytest.fixture
async def executor(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SwarmExecutor]:
    """One that lists idle swarms once only, and busy ones in each snapshot."""
    monkeypatch.setattr(observe, "IDLE_EVERY", 1_000_000)
    monkeypatch.setattr(observe, "LISTS_A_SECOND", 1e9)
    made = default_executor([f"unix://{name}" for name in simulation.names], "many")
    await open_probed(made)
    yield made
    await made.close()


async def start(executor: SwarmExecutor, host: str) -> str:
    service = await executor.park(host, order(("hold",)), await executor.resolve(host, IMAGE, Pull.MISSING))
    await executor.activate(host, service)
    return service


async def phase(executor: SwarmExecutor, host: str, service: str) -> Phase:
    return (await executor.snapshot()).tasks[host][service][0].phase


async def test_a_swarm_on_which_nothing_runs_is_listed_rarely(executor: SwarmExecutor, simulation: Simulation) -> None:
    assert len((await executor.snapshot()).tasks) == COUNT
    busy = f"unix://{simulation.names[1]}"
    service = await start(executor, busy)
    for _ in range(SNAPSHOTS):
        assert await phase(executor, busy, service) is Phase.RUNNING
    assert len((await executor.snapshot()).tasks) == COUNT, "a snapshot shows what was seen last"
    assert simulation.calls["tasks"] == COUNT + SNAPSHOTS + 1
    await executor.stop(busy, service)
    assert await phase(executor, busy, service) is Phase.ENDED
    before = simulation.calls["tasks"]
    await executor.snapshot()
    assert simulation.calls["tasks"] == before


async def test_each_of_many_swarms_is_listed_less_often(
    executor: SwarmExecutor, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = [f"unix://{name}" for name in simulation.names]
    services = [await start(executor, host) for host in hosts]
    await executor.snapshot()
    listed = simulation.calls["tasks"]
    monkeypatch.setattr(observe, "LISTS_A_SECOND", 1e-3)
    for _ in range(SNAPSHOTS):
        assert [await phase(executor, host, service) for host, service in zip(hosts, services, strict=True)] == [Phase.RUNNING] * COUNT
    assert simulation.calls["tasks"] == listed


async def test_a_host_that_does_not_answer_is_missing(executor: SwarmExecutor, simulation: Simulation) -> None:
    hosts = [f"unix://{name}" for name in simulation.names]
    await start(executor, hosts[0])
    assert hosts[0] in (await executor.snapshot()).tasks
    await simulation.kill(simulation.names[0])
    assert hosts[0] not in (await executor.snapshot()).tasks
