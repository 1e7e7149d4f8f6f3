"""How often the hosts of a worker are asked how they are."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fastlane.errors import HostDown
from fastlane.executors.swarm import probe
from fastlane.executors.swarm.executor import SwarmExecutor
from tests.support.defaults import default_executor
from tests.support.engine import open_probed
from tests.support.simulated_engine import Simulation
from tests.support.waiting import until

OFTEN = 0.02


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    async with Simulation(tmp_path, 3) as made:
        yield made


@pytest.fixture
async def executor(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SwarmExecutor]:
    """On hosts that are too many to be probed again while they are well."""
    monkeypatch.setattr(probe, "PROBES_A_SECOND", 1e-6)
    made = default_executor([f"unix://{name}" for name in simulation.names], "many", probe_every=OFTEN)
    await open_probed(made)
    yield made
    await made.close()


async def test_a_host_that_fails_a_call_is_probed_at_once_and_then_often_until_it_is_back(
    executor: SwarmExecutor, simulation: Simulation
) -> None:
    name, probed = simulation.names[0], simulation.calls["nodes"]
    await simulation.kill(name)
    with pytest.raises(HostDown):
        await executor.inspect(f"unix://{name}", "service")
    await until(lambda: not executor.hosts()[0].usable, "the host to be unusable")
    await simulation.serve(name)
    await until(lambda: executor.hosts()[0].usable, "the host to be usable")
    assert simulation.calls["nodes"] == probed + 1, "a host that was well was probed again"


async def test_that_a_breaker_opens_and_closes_is_told_with_the_host_and_why(executor: SwarmExecutor, simulation: Simulation) -> None:
    name = simulation.names[0]
    host = f"unix://{name}"
    with capture_logs() as logs:
        await simulation.kill(name)
        with pytest.raises(HostDown):
            await executor.inspect(host, "service")
        await until(lambda: executor.hosts()[0].circuit == "open", "the breaker to open")
        view = executor.hosts()[0]
        await simulation.serve(name)
        await until(lambda: executor.hosts()[0].usable, "the host to be usable")
    assert view.since is not None
    assert view.reason
    told = [(event["host"], event["circuit"], event["reason"]) for event in logs if event["event"] == "host.circuit"]
    assert told == [(host, "open", view.reason.removeprefix("failed too often: ")), (host, "closed", None)]
