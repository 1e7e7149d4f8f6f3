"""Engines that answer and cannot be used: a worker node, a manager of a swarm that keeps too few old tasks, or of one without a leader.
They are told by their words, get no work, and are used again once that has changed."""

from collections.abc import AsyncIterator, Callable, Iterator
from uuid import uuid4

import pytest

from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.models.host import Endpoint
from tests.support.defaults import default_executor
from tests.support.engine import open_probed
from tests.support.nodes import docker_command, leader
from tests.support.swarms import Node, Swarms
from tests.support.waiting import LONG_PATIENCE, until, wait_until

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(300)]

ELECTION = 2 * LONG_PATIENCE
WORDS = "{{.ManagerStatus}}"


@pytest.fixture
async def executor(three_managers: Swarms) -> AsyncIterator[SwarmExecutor]:
    """It knows all three, and all three are well."""
    made = default_executor([Endpoint(node.url) for node in three_managers.nodes], f"unfit-{uuid4().hex[:8]}", probe_every=0.2)
    await open_probed(made)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def follower(three_managers: Swarms) -> Iterator[Node]:
    """A manager that does not lead. It is one again afterwards, and reachable."""
    lead = leader(three_managers)
    node = next(node for node in three_managers.nodes if node is not lead)
    yield node
    docker_command(lead, "node", "promote", node.name)
    wait_until(lambda: docker_command(lead, "node", "ls", "--format", WORDS).count("Reachable") == 2, "all to be managers again", ELECTION)


def reasons(executor: SwarmExecutor) -> dict[str, str]:
    """Why hosts cannot be used, by name; those that can are not in it."""
    return {view.name: view.reason or "" for view in executor.hosts() if not view.usable}


async def becomes(executor: SwarmExecutor, condition: Callable[[dict[str, str]], bool], what: str) -> None:
    async def holds() -> bool:
        return condition(reasons(executor))

    await until(holds, f"{what}: {reasons(executor)}", ELECTION)


async def test_a_manager_that_is_made_a_worker_is_told_and_is_used_again_once_it_manages(
    executor: SwarmExecutor, three_managers: Swarms, follower: Node
) -> None:
    lead = leader(three_managers)
    docker_command(lead, "node", "demote", follower.name)
    words = "is a worker of its swarm: register a manager, or run docker node promote"
    await becomes(executor, lambda found: found == {follower.url: words}, "the worker to be told")
    docker_command(lead, "node", "promote", follower.name)
    await becomes(executor, lambda found: not found, "it to be used again")


async def test_a_swarm_that_keeps_one_old_task_is_told_and_is_used_again_once_it_keeps_more(
    executor: SwarmExecutor, three_managers: Swarms
) -> None:
    lead = leader(three_managers)
    docker_command(lead, "swarm", "update", "--task-history-limit", "1")
    try:
        words = "its swarm keeps 1 old tasks, and a stop would lose its result: run docker swarm update --task-history-limit 5"
        await becomes(executor, lambda found: found == dict.fromkeys((node.url for node in three_managers.nodes), words), "it to be told")
    finally:
        docker_command(lead, "swarm", "update", "--task-history-limit", "5")
    await becomes(executor, lambda found: not found, "its hosts to be used again")


@pytest.mark.repeated
async def test_a_manager_of_a_swarm_without_a_leader_is_told_and_is_used_again_once_there_is_one(
    executor: SwarmExecutor, three_managers: Swarms
) -> None:
    left, *others = three_managers.nodes
    for node in others:
        node.pause()
    try:
        await becomes(executor, lambda found: "is a manager of a swarm without a leader" in found.get(left.url, ""), "it to be told")
    finally:
        for node in others:
            node.resume()
    await becomes(executor, lambda found: not found, "all to be used again")
