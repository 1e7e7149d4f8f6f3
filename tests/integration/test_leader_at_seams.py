"""The leader of three managers is lost while a worker dies, or freezes, at a step of a job's way: another worker finds both as they are."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.crash.ground import Ground, World
from tests.crash.scenarios import ended
from tests.support.fork_server import ForkServer
from tests.support.nodes import agreed, docker_command, image_of
from tests.support.redis import RealRedis
from tests.support.seams import Trip
from tests.support.swarms import Node, Swarms
from tests.support.waiting import wait_until

STEPS = (
    Trip("before engine.park", "KILL"),
    Trip("after engine.park", "KILL"),
    Trip("after store.bind", "KILL"),
    Trip("after engine.activate", "KILL"),
    Trip("after store.run", "KILL"),
    Trip("before engine.park", "STOP"),
    Trip("before engine.activate", "STOP"),
    Trip("after engine.activate", "STOP"),
)
UNDO = {"kill": "start", "pause": "resume", "cut": "mend"}


@pytest.fixture
def image(three_managers: Swarms) -> Iterator[str]:
    with image_of(three_managers) as reference:
        yield reference


@contextlib.asynccontextmanager
async def ground_on(bed: Swarms, seen_from: Node) -> AsyncIterator[Ground]:
    """A fastlane whose hosts are all nodes, and which is looked at through this one."""
    hosts = tuple(node.tcp for node in bed.nodes)
    with RealRedis() as redis, contextlib.closing(seen_from.client()) as client:
        async with ForkServer() as fork_server, Ground(World(seen_from.url, redis, client, fork_server), hosts) as ground:
            yield ground


@pytest.mark.thorough
@pytest.mark.repeated
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", UNDO)
@pytest.mark.parametrize("trip", STEPS, ids=lambda trip: f"{trip.signal}-{trip.seam.replace(' ', '-')}")
async def test_a_job_starts_once_and_ends_right_though_the_leader_and_its_worker_are_lost(
    three_managers: Swarms, image: str, trip: Trip, fault: str
) -> None:
    lead = await asyncio.to_thread(agreed, three_managers)
    other = next(node for node in three_managers.nodes if node is not lead)
    async with ground_on(three_managers, other) as ground:
        await asyncio.to_thread(docker_command, lead, "node", "update", "--availability", "drain", lead.name)
        await ground.enqueue(image)
        fallen = await ground.start("worker", trip)
        await ground.trips(fallen)
        await asyncio.to_thread(getattr(lead, fault))
        await ground.start("worker")
        await over(ground)
        await ended(ground)
        await asyncio.to_thread(getattr(lead, UNDO[fault]))
        if fallen.frozen:
            await ground.wake(fallen)
            await over(ground)
            await ended(ground)
        nodes = [node for node in three_managers.nodes if node is not lead]
        await asyncio.to_thread(wait_until, lambda: not any(map(containers, nodes)), f"containers to go: {list(map(containers, nodes))}")


async def over(ground: Ground) -> None:
    """Returns when everything is over; a swarm may take a minute to find its next leader."""
    for _ in range(3):
        with contextlib.suppress(AssertionError):
            await ground.over()
            return
    await ground.over()


def containers(node: Node) -> list[str]:
    """The names of fastlane's containers there."""
    with contextlib.closing(node.client()) as client:
        return [name for row in client.containers(all=True, filters={"name": "fastlane-"}) for name in row["Names"]]
