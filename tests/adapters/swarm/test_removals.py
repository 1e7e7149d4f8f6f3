"""How removals of services share an engine with starts."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlane.errors import HostDown
from fastlane.executors.swarm import hosts
from fastlane.executors.swarm.client import CONNECTIONS
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.executors.swarm.hosts import REMOVED_AT_ONCE
from tests.support.defaults import default_executor
from tests.support.engine import open_probed
from tests.support.simulated_engine import Simulation
from tests.support.waiting import until


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    async with Simulation(tmp_path, 1) as made:
        yield made


@pytest.fixture
async def executor(simulation: Simulation) -> AsyncIterator[SwarmExecutor]:
    made = default_executor([f"unix://{simulation.names[0]}"], "removals")
    await open_probed(made)
    yield made
    await made.close()


async def test_removals_that_take_long_leave_connections_for_starts(executor: SwarmExecutor, simulation: Simulation) -> None:
    host = f"unix://{simulation.names[0]}"
    simulation.silence(simulation.names[0])
    tasks = [asyncio.create_task(executor.remove(host, f"service{number}")) for number in range(3 * CONNECTIONS)]
    await until(lambda: simulation.calls["remove"] >= REMOVED_AT_ONCE or None, "the first removals")
    tasks.append(asyncio.create_task(executor.activate(host, "parked")))
    await until(lambda: simulation.calls["service"] or None, "the start")
    assert simulation.calls["remove"] == REMOVED_AT_ONCE
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_removal_without_a_turn_is_given_up_and_is_no_fault_of_the_host(
    executor: SwarmExecutor, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = f"unix://{simulation.names[0]}"
    simulation.silence(simulation.names[0])
    first = [asyncio.create_task(executor.remove(host, f"service{number}")) for number in range(REMOVED_AT_ONCE)]
    await until(lambda: simulation.calls["remove"] == REMOVED_AT_ONCE or None, "the first removals")
    monkeypatch.setattr(hosts, "REMOVAL_WITHIN", 0.01)
    with pytest.raises(HostDown, match="other removals"):
        await executor.remove(host, "another")
    for task in first:
        task.cancel()
    await asyncio.gather(*first, return_exceptions=True)
    assert executor.hosts()[0].faults == 0


async def test_all_that_are_removed_at_once_are_removed(executor: SwarmExecutor, simulation: Simulation) -> None:
    host = f"unix://{simulation.names[0]}"
    await asyncio.gather(*(executor.remove(host, f"service{number}") for number in range(3 * CONNECTIONS)))
    assert simulation.calls["remove"] == 3 * CONNECTIONS
