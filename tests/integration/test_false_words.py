"""A leader that was cut off answers from what it knew for some seconds: that a service is gone which it has never heard of."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from fastlane.errors import HostDown
from fastlane.executors.port import Image
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.models import transitions
from fastlane.models.event import Obstacle
from fastlane.models.job import Execution
from fastlane.models.pool import Pull
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.queue.port import EntryKind, Lease
from fastlane.scheduler.launcher import order_of
from fastlane.scheduler.leases import Assignment
from fastlane.scheduler.watcher import Watcher
from tests.support.defaults import Views, default_executor, default_worker, ports_of
from tests.support.engine import open_probed
from tests.support.fastlane import Fastlane
from tests.support.nodes import agreed, image_of
from tests.support.redis import RealRedis
from tests.support.swarms import Node, Swarms
from tests.support.waiting import until

PATIENCE = 120.0


@contextlib.asynccontextmanager
async def on(node: Node) -> AsyncIterator[SwarmExecutor]:
    """An executor whose only host is this manager, by its socket, which no cut of its network concerns."""
    executor = default_executor([node.url], "alone", reset=0.5, probe_every=0.2)
    await open_probed(executor)
    try:
        yield executor
    finally:
        await executor.close()


async def placed(crew: Fastlane, lead: Node) -> Execution:
    """An execution that the leader's host has, without a service so far."""
    row = await crew.latest_execution(await crew.submit("sh", "-c", "echo said; sleep 3; exit 7"))
    assert row is not None
    claimed = await crew.store.change(transitions.claim(row, host=lead.url, pool="default", now=crew.clock.now()))
    assert claimed is not None
    return claimed


async def start_through(executor: SwarmExecutor, other: Node, crew: Fastlane, row: Execution, image: Image) -> Execution:
    """Its service, made and activated through another manager as soon as there is a leader again."""

    async def started() -> str | None:
        with suppress(HostDown):
            service = await executor.park(other.url, order_of(row, crew.pools[0]), image)
            await executor.activate(other.url, service)
            return service
        return None

    service = await until(started, "the swarm to have a leader again", PATIENCE)
    swarm_id = executor.hosts()[0].swarm_id or ""
    bind = transitions.bind(row, service_id=service, swarm_id=swarm_id, image_digest=image.digest, now=crew.clock.now())
    made = await crew.store.change(bind)
    assert made is not None
    return made


@pytest.mark.thorough
@pytest.mark.timeout(400)
async def test_what_a_cut_off_leader_says_of_a_service_that_it_never_heard_of_is_not_believed(
    three_managers: Swarms, tmp_path: Path
) -> None:
    """As a rule it says nothing any more; now and then it says for some seconds that there is no such service."""
    with RealRedis() as redis, image_of(three_managers) as image:
        lead = await asyncio.to_thread(agreed, three_managers)
        other = next(node for node in three_managers.nodes if node is not lead)
        async with Fastlane(tmp_path, redis.url) as crew, on(lead) as alone, on(other) as knowing:
            row, resolved = await placed(crew, lead), await knowing.resolve(other.url, image, Pull.MISSING)
            lead.cut()
            row = await start_through(knowing, other, crew, row, resolved)
            await check_not_believed(crew, alone, lead, row)


async def check_not_believed(crew: Fastlane, alone: SwarmExecutor, lead: Node, row: Execution) -> None:
    """The watcher, which hears nothing but this leader, waits for better knowledge, and has it in the end."""
    ports = ports_of(crew.store, crew.queue, crew.clock, executor=alone)
    watcher = Watcher(ports, default_worker(log_cap=1_000_000), Views(), Never())
    assignment = Assignment(Lease(row.id, EntryKind.EXECUTION, "default", 0))
    looking, following = asyncio.create_task(watcher.run()), asyncio.create_task(watcher.watch(assignment, row))

    def waits() -> bool:
        assert not following.done(), following.result()
        return assignment.note is not None and assignment.note.obstacle is Obstacle.HOST_AWAY

    await until(waits, "a note that the host is away", PATIENCE)
    lead.mend()
    ended = await asyncio.wait_for(following, PATIENCE)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    assert ended is not None
    assert (ended.status, ended.exit_code, ended.failure and ended.failure.reason) == (Status.FAILED, 7, FailureReason.EXIT)
    assert await crew.stored_log(ended) == b"said\n"


class Never:
    """Activates nothing."""

    async def activate(self, _assignment: Assignment, _execution: Execution) -> bool:
        raise AssertionError("a service that runs was to be activated")
