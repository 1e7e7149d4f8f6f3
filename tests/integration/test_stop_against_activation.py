"""A stop and an activation of one service at the same time, again and again; each start tells of itself in a file that no engine knows."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest

from fastlane.errors import HostDown
from fastlane.executors.port import Activation, EngineService, Order, Phase
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.models.container import Container, Mount, MountKind
from fastlane.models.pool import Pull
from tests.support.defaults import default_executor
from tests.support.engine import IMAGE, open_probed, remove_all
from tests.support.waiting import LONG_PATIENCE, until

T = TypeVar("T")

ROUNDS = 40
AT_ONCE = 8
SEED = 20261126


@asynccontextmanager
async def opened(engine: str, installation: str) -> AsyncIterator[SwarmExecutor]:
    executor = default_executor([engine], installation, probe_every=0.5)
    await open_probed(executor)
    try:
        yield executor
    finally:
        await executor.close()


@pytest.fixture
def installation(engine: str) -> Iterator[str]:
    name = f"races-{uuid4().hex[:8]}"
    yield name
    remove_all(engine, name)


def order(witness: Path) -> Order:
    mount = Mount(MountKind.BIND, "/witness", str(witness))
    command = ("sh", "-c", "echo $FASTLANE_EXECUTION_ID >> /witness/starts; exec sleep 600")
    return Order(str(uuid4()), "task", "job", 1, 1, 0, command, {}, container=Container(stop_grace=1000, mounts=(mount,)))


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """What it answers once the engine, which may be busy, has answered it."""
    while True:
        with contextlib.suppress(HostDown):
            return await call()


async def over(executor: SwarmExecutor, host: str, service: str) -> EngineService | None:
    """The service, once nothing of it is to start or runs any more."""
    view = await executor.inspect(host, service)
    return view if (view.tasks[0].phase is Phase.ENDED if view.tasks else not view.activated) else None


async def test_a_stop_that_was_answered_first_lets_nothing_start_and_nothing_starts_twice(
    engine: str, installation: str, tmp_path: Path
) -> None:
    """Two workers, the one with a stop, the other with an activation, which one of them or both may repeat."""
    dice = random.Random(SEED)
    turns = asyncio.Semaphore(AT_ONCE)
    found: dict[str, Activation] = {}
    async with opened(engine, installation) as one, opened(engine, installation) as other:
        image = await one.resolve(engine, IMAGE, Pull.MISSING)

        async def race(head_start: float) -> None:
            """A stop against an activation; the one with the head start (seconds; less than none: the stop) may have its answer first."""
            made = order(tmp_path)
            service = await one.park(engine, made, image)

            async def activate() -> Activation:
                await asyncio.sleep(max(0.0, -head_start))
                first = await insist(lambda: other.activate(engine, service))
                await insist(lambda: other.activate(engine, service))
                return first

            async def stop() -> None:
                await asyncio.sleep(max(0.0, head_start))
                await insist(lambda: one.stop(engine, service, "a race"))

            async with turns:
                activation, _ = await asyncio.gather(activate(), stop())
                assert await insist(lambda: one.activate(engine, service)) is not Activation.STARTED
                view = await until(lambda: over(one, engine, service), "an end of the race", LONG_PATIENCE)
            assert view.stopping
            assert view.activated is (activation is not Activation.STOPPED)
            found[made.execution_id] = activation

        async with asyncio.timeout(110):
            await asyncio.gather(*(race(dice.choice((0.0, dice.uniform(-0.02, 0.02), dice.uniform(0, 1.5)))) for _ in range(ROUNDS)))
    starts = Counter((tmp_path / "starts").read_text().split() if (tmp_path / "starts").exists() else [])
    assert len(found) == ROUNDS
    for execution_id, activation in found.items():
        assert starts[execution_id] <= int(activation is not Activation.STOPPED)
    ways = Counter(found.values())
    assert ways[Activation.STARTED] > 0, ways
    assert ways[Activation.STOPPED] > 0, ways
    assert starts
