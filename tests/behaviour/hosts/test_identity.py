"""A host is an engine in a swarm, not an address."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlane.models.host import EngineIdentity
from fastlane.models.pool import Pool
from tests.behaviour.hosts.conftest import POOLS, Administered
from tests.support.fastlane import HOST
from tests.support.instant import InstantExecutor
from tests.support.redis import RealRedis

LOCAL = "unix:///var/run/docker.sock"
FIRST, SECOND = EngineIdentity("engine-1", "swarm-1"), EngineIdentity("engine-2", "swarm-2")


def executor(server: Administered, address: str, engine: EngineIdentity) -> InstantExecutor:
    """The next worker's executor: of a machine on which this engine answers at the address."""
    made = InstantExecutor((address,), server.clock)
    made.engines[address] = engine
    server.executor = made
    return made


@pytest.fixture
async def local(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Administered]:
    """A server whose workers each use the engine of their own machine."""
    async with Administered(tmp_path, shared_redis.url, pools=(*POOLS[:2], Pool("default", "", (LOCAL,)))) as server:
        yield server


async def rows(server: Administered, address: str) -> list[tuple[str, bool]]:
    shown = (await server.call("GET", "/hosts")).json["items"]
    return sorted((row["swarm"], row["available"]) for row in shown if row["address"] == address)


async def test_two_workers_with_other_engines_at_one_local_address_have_two_hosts(local: Administered) -> None:
    first = executor(local, LOCAL, FIRST)
    await local.hire()
    second = executor(local, LOCAL, SECOND)
    await local.hire()

    async def both() -> bool:
        return await rows(local, LOCAL) == [("swarm-1", True), ("swarm-2", True)]

    await local.until(both, "both hosts")
    ambiguous = await local.drain(LOCAL)
    assert ambiguous.status == 409
    ids = {row["swarm"]: row["id"] for row in (await local.call("GET", "/hosts")).json["items"]}
    assert all(id in ambiguous.json["detail"] for id in ids.values())
    assert (await local.drain(ids["swarm-1"])).status == 200

    async def drained() -> bool:
        return await rows(local, LOCAL) == [("swarm-1", False), ("swarm-2", True)]

    await local.until(drained, "the drain of one of them")
    for _ in range(3):
        await local.reaches(await local.submit(task="task"), "done")
    assert (len(first.starts), len(second.starts)) == (0, 3)
    status = [row for row in (await local.call("GET", "/status")).json["hosts"] if row["pool"] == "default"]
    assert sorted((row["swarm"], row["blacklisted"]) for row in status) == [("swarm-1", True), ("swarm-2", False)]


async def test_a_worker_leaves_an_execution_to_the_one_whose_engine_has_it(local: Administered) -> None:
    first = executor(local, LOCAL, FIRST)
    await local.hire()
    job = await local.submit("hold", "exit", "3", task="task")
    running = await local.reaches(job, "running")
    executor(local, LOCAL, SECOND)
    await local.hire()
    await local.dismiss()  # the second worker takes the lease over, and its own engine knows nothing of the service
    local.executor = first
    await local.hire()
    first.release(running.id)
    ended = await local.reaches(job, "failed", "done")
    assert (ended.exit_code, ended.swarm_id) == (3, "swarm-1")


async def test_an_address_that_answers_as_another_engine_is_unusable_and_says_so(server: Administered) -> None:
    executor(server, HOST, FIRST)
    await server.hire()
    await server.seen(HOST, available=True, engine="engine-1")
    await server.reaches(await server.submit(task="task"), "done")  # so the queue is built
    await server.dismiss()
    replaced = executor(server, HOST, SECOND)
    await server.hire()
    row = await server.seen(HOST, available=False, engine="engine-1")
    assert "answers as another engine than before" in row["error"]
    job = await server.submit(task="task")
    assert (await server.call("DELETE", f"/hosts/{HOST}?force=1")).status == 200
    assert (await server.reaches(job, "done")).swarm_id == "swarm-2"
    await server.seen(HOST, available=True, engine="engine-2")
    assert len(replaced.starts) == 1
