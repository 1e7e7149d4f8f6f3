"""The leader of three managers is lost, or two managers and so the quorum, while a worker dies, or freezes, at a step of a job's way:
another worker finds both as they are."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.crash.ground import Ground, Process, World
from tests.crash.scenarios import ended, ready, stopped
from tests.integration.struck_nodes import strike, undo
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
    Trip("before engine.stop", "KILL"),
    Trip("after engine.stop", "KILL"),
    Trip("before engine.park", "STOP"),
    Trip("before store.bind", "STOP"),
    Trip("before engine.activate", "STOP"),
    Trip("after engine.activate", "STOP"),
    Trip("before engine.stop", "STOP"),
)
LOST = ("leader", "quorum")
IN_CI = {("leader", "after engine.park", "cut"), ("quorum", "before engine.stop", "cut")}
WITHOUT_QUORUM = 6.0
"""Seconds: the lease of a worker that is gone runs out, and another one finds no manager that can be asked."""


def cases() -> Iterator[Any]:
    """Each fault at each step; all but one of each kind are further cases."""
    for lost, trip, fault in itertools.product(LOST, STEPS, ("kill", "pause", "cut")):
        again = () if (lost, trip.seam, fault) in IN_CI and trip.signal == "KILL" else (pytest.mark.repeated,)
        yield pytest.param(lost, trip, fault, id=f"{lost}-{fault}-{trip.signal}-{trip.seam.replace(' ', '-')}", marks=again)


@pytest.fixture
def image(three_managers: Swarms) -> Iterator[str]:
    with image_of(three_managers) as reference:
        yield reference


@contextlib.asynccontextmanager
async def ground_on(bed: Swarms, seen_from: Node) -> AsyncIterator[Ground]:
    """A fastlane whose hosts are all nodes, and which is looked at through this one."""
    hosts = tuple(node.tcp for node in bed.nodes)
    with RealRedis() as redis, contextlib.closing(seen_from.client()) as client, ForkServer() as fork_server:
        async with Ground(World(seen_from.url, redis, client, fork_server), hosts) as ground:
            yield ground


@pytest.mark.thorough
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("lost", "trip", "fault"), [*cases()])
async def test_a_job_starts_once_and_ends_right_though_managers_and_its_worker_are_lost(
    three_managers: Swarms, image: str, lost: str, trip: Trip, fault: str
) -> None:
    """Its container is on a node that nothing happens to."""
    lead = await asyncio.to_thread(agreed, three_managers)
    others = [node for node in three_managers.nodes if node is not lead]
    struck = [lead] if lost == "leader" else [lead, others.pop(0)]
    async with ground_on(three_managers, others[0]) as ground:
        for node in struck:
            await asyncio.to_thread(docker_command, lead, "node", "update", "--availability", "drain", node.name)
        await ground.enqueue(image)
        fallen = await fall(ground, trip)
        for node in struck:
            await asyncio.to_thread(strike, node, fault)
        await ground.start("worker")
        if lost == "quorum":
            await asyncio.sleep(WITHOUT_QUORUM)  # what must not happen meanwhile cannot be waited for
        else:
            await over(ground, trip)
        for node in struck:
            await asyncio.to_thread(undo, node, fault)
        await over(ground, trip)
        if fallen.frozen:
            await ground.wake(fallen)
            await over(ground, trip)
        await asyncio.to_thread(wait_until, lambda: not any(map(containers, others)), f"containers to go: {list(map(containers, others))}")


async def fall(ground: Ground, trip: Trip) -> Process:
    """Brings a worker to the seam. If that is a step of a stop, the job is stopped when its container runs."""
    ground.ends_by_itself = not is_stop(trip)
    process = await ground.start("worker", trip)
    if is_stop(trip):
        await ready(ground)
        await ground.stop()
    await ground.trips(process)
    return process


def is_stop(trip: Trip) -> bool:
    return trip.seam.endswith("engine.stop")


async def over(ground: Ground, trip: Trip) -> None:
    """Returns when everything has ended right; a swarm may take a minute to find its next leader."""
    for _ in range(3):
        with contextlib.suppress(AssertionError):
            await ground.over()
            break
    else:
        await ground.over()
    await (stopped if is_stop(trip) else ended)(ground)


def containers(node: Node) -> list[str]:
    """The names of fastlane's containers there."""
    with contextlib.closing(node.client()) as client:
        return [name for row in client.containers(all=True, filters={"name": "fastlane-"}) for name in row["Names"]]
