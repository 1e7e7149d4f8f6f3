"""Which swarms a snapshot lists, and what it shows of the others."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlane.clock import SystemClock
from fastlane.executors.port import Phase
from fastlane.executors.swarm import observe
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.models.pool import Pull
from fastlane.scheduler import watcher
from tests.contract.test_executor import order
from tests.support.defaults import Views, default_executor, default_worker, ports_of
from tests.support.engine import IMAGE, open_probed
from tests.support.simulated_engine import Simulation
from tests.support.waiting import until
from tests.unit.scheduler.rows import Never

COUNT = 4
SNAPSHOTS = 5


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    async with Simulation(tmp_path, COUNT) as made:
        yield made


@pytest.fixture
async def executor(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SwarmExecutor]:
    """One that lists others' swarms once only, and those that are watched in each snapshot."""
    monkeypatch.setattr(observe, "OTHERS_EVERY", 1_000_000)
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
    return (await executor.snapshot({host})).tasks[host][service][0].phase


async def test_only_the_swarms_that_are_watched_are_listed_often(executor: SwarmExecutor, simulation: Simulation) -> None:
    assert len((await executor.snapshot(())).tasks) == COUNT
    watched, other = (f"unix://{name}" for name in simulation.names[1:3])
    services = {host: await start(executor, host) for host in (watched, other)}
    await executor.snapshot(())
    listed = simulation.calls["look"]
    assert listed == COUNT + 2, "what was just started is looked for"
    for _ in range(SNAPSHOTS):
        assert await phase(executor, watched, services[watched]) is Phase.RUNNING
    assert simulation.calls["look"] == listed + SNAPSHOTS
    await executor.stop(other, services[other])
    shown = (await executor.snapshot({f"swarm-{simulation.names[1]}"})).tasks
    assert len(shown) == COUNT, "a snapshot shows what was seen last"
    assert shown[other][services[other]][0].phase is Phase.RUNNING
    assert await phase(executor, other, services[other]) is Phase.ENDED
    assert simulation.calls["look"] == listed + SNAPSHOTS + 2


async def test_a_task_has_the_name_of_its_node_in_a_snapshot_and_when_it_is_inspected(
    executor: SwarmExecutor, simulation: Simulation
) -> None:
    host = f"unix://{simulation.names[0]}"
    service = await start(executor, host)
    machine = f"machine-{simulation.names[0].rpartition('/')[2]}"
    assert (await executor.snapshot({host})).tasks[host][service][0].node == machine
    assert (await executor.inspect(host, service)).tasks[0].node == machine


async def test_other_swarms_are_listed_a_few_at_a_time(
    executor: SwarmExecutor, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observe, "OTHERS_AT_ONCE", 1)
    for seen in range(1, COUNT + 1):
        assert len((await executor.snapshot(())).tasks) == seen
    assert simulation.calls["look"] == COUNT


async def test_a_host_that_does_not_answer_delays_one_snapshot_and_shows_what_was_seen_last(
    executor: SwarmExecutor, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = [f"unix://{name}" for name in simulation.names]
    services = [await start(executor, host) for host in hosts]
    await executor.snapshot()
    monkeypatch.setattr(observe, "ANSWER_WITHIN", 60.0)
    simulation.silence(simulation.names[0])
    await executor.snapshot()
    monkeypatch.setattr(observe, "WAIT_FOR", 60.0)
    for _ in range(SNAPSHOTS):
        shown = (await executor.snapshot()).tasks
        assert [shown[host][service][0].phase for host, service in zip(hosts, services, strict=True)] == [Phase.RUNNING] * COUNT


async def test_each_of_many_swarms_is_listed_less_often(
    executor: SwarmExecutor, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = [f"unix://{name}" for name in simulation.names]
    services = [await start(executor, host) for host in hosts]
    await executor.snapshot()
    listed = simulation.calls["look"]
    monkeypatch.setattr(observe, "LISTS_A_SECOND", 1e-3)
    for _ in range(SNAPSHOTS):
        shown = (await executor.snapshot()).tasks
        assert [shown[host][service][0].phase for host, service in zip(hosts, services, strict=True)] == [Phase.RUNNING] * COUNT
    assert simulation.calls["look"] == listed


async def test_a_worker_that_watches_nothing_knows_what_others_run_and_when_it_has_gone(
    executor: SwarmExecutor, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observe, "OTHERS_EVERY", 1)
    monkeypatch.setattr(watcher, "IDLE", 0.01)
    host = f"unix://{simulation.names[0]}"
    other = default_executor([f"unix://{name}" for name in simulation.names], "many")
    await open_probed(other)
    ports = ports_of(None, None, SystemClock(), executor=other)
    watching = asyncio.create_task(watcher.Watcher(ports, default_worker(log_cap=1000), Views(), Never()).run())

    def running() -> int:
        return next(view.running for view in other.hosts() if view.name == host)

    try:
        services = [await start(executor, host) for _ in range(2)]
        await until(lambda: running() == 2, "it counts what another worker has started")
        for service in services:
            await executor.stop(host, service)
            await executor.remove(host, service)
        await until(lambda: running() == 0, "nothing is counted when nothing is there")
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await other.close()


async def test_a_host_that_does_not_answer_is_missing(executor: SwarmExecutor, simulation: Simulation) -> None:
    hosts = [f"unix://{name}" for name in simulation.names]
    await start(executor, hosts[0])
    assert hosts[0] in (await executor.snapshot()).tasks
    await simulation.kill(simulation.names[0])
    assert hosts[0] not in (await executor.snapshot()).tasks
