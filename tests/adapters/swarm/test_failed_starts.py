"""A host whose engine cannot start containers gets no more for a while, and then one that decides."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlane.executors.port import EngineTask, Order, TaskEnd
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.models.pool import Pull
from tests.support.clock import FakeClock
from tests.support.defaults import default_executor
from tests.support.engine import open_probed
from tests.support.simulated_engine import NO_ENDPOINT, Simulation
from tests.support.waiting import until

ENGINE, GOOD = ("end", "engine"), ("exit", "0")
RESET = 60


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    async with Simulation(tmp_path, 1) as made:
        yield made


class Bench:
    """An executor with one host, whose breaker opens after three faults, by a clock that the test moves."""

    def __init__(self, executor: SwarmExecutor, clock: FakeClock) -> None:
        self.executor = executor
        self.clock = clock
        self.host = executor.hosts()[0].name
        self.started = 0

    @property
    def closed(self) -> str | None:
        view = self.executor.hosts()[0]
        assert view.usable, "what runs there is still looked at, and can be stopped"
        return view.closed

    @property
    def skew(self) -> int:
        """How far the engine's clock is known to be ahead, milliseconds."""
        return self.executor.hosts()[0].clock_skew or 0

    async def start(self, *command: str) -> EngineTask:
        """Starts a container. Returns its task as the looks show it, twice."""
        self.started += 1
        image = await self.executor.resolve(self.host, "sha256:" + "1f" * 32, Pull.MISSING)
        order = Order(f"execution-{self.started}", "task", "job", 1, 1, 0, command, {})
        service = await self.executor.park(self.host, order, image)
        await self.executor.activate(self.host, service)
        for _ in range(2):
            await self.clock.advance(1)
            (task,) = (await self.executor.snapshot()).tasks[self.host][service]
        assert (await self.executor.inspect(self.host, service)).tasks[0].end is task.end
        return task


@pytest.fixture
async def bench(simulation: Simulation) -> AsyncIterator[Bench]:
    clock = FakeClock()
    executor = default_executor([f"unix://{simulation.names[0]}"], "starts", max_fails=3, reset=RESET, clock=clock)
    await open_probed(executor)
    yield Bench(executor, clock)
    await executor.close()


async def test_a_host_whose_engine_fails_to_start_containers_gets_no_work_until_it_may_try_again(bench: Bench) -> None:
    for _ in range(2):
        task = await bench.start(*ENGINE)
        assert (task.end, task.exit_code, task.started_at) == (TaskEnd.ENGINE, None, None)
        assert bench.closed is None
    await bench.start(*ENGINE)
    assert bench.closed == f"failed to start 3 containers in a row: {NO_ENDPOINT}"
    await bench.clock.advance(RESET)
    assert bench.closed is None
    await bench.start(*ENGINE)
    assert bench.closed is not None
    await bench.clock.advance(RESET)
    await bench.start(*GOOD)
    for _ in range(2):
        await bench.start(*ENGINE)
        assert bench.closed is None


async def test_starts_that_succeed_in_between_keep_a_host_in_use(bench: Bench) -> None:
    for _ in range(4):
        await bench.start(*ENGINE)
        await bench.start(*ENGINE)
        await bench.start(*GOOD)
    assert bench.closed is None


async def test_a_failure_counts_once_although_the_engine_s_clock_is_ahead(bench: Bench) -> None:
    """It is seen in each look until its service is removed."""
    bench.clock.set_back(3_600)
    for _ in range(2):
        await bench.start(*ENGINE)
        await bench.start(*GOOD)
        assert bench.closed is None
    await bench.start(*ENGINE)
    await bench.start(*ENGINE)
    assert bench.closed is None


async def test_a_success_after_a_failure_counts_although_the_engine_s_clock_was_measured_anew_in_between(bench: Bench) -> None:
    await bench.start(*ENGINE)
    await bench.start(*ENGINE)
    known = bench.skew
    bench.clock.set_back(36_000)

    async def measured() -> bool:
        await bench.clock.advance(1)
        return bench.skew > known + 18_000_000

    await until(measured, "a new measurement of the engine's clock")
    await bench.start(*GOOD)
    await bench.start(*ENGINE)
    assert bench.closed is None
