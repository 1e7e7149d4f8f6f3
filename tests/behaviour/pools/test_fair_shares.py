"""Pools whose tasks take turns: ``fairShare``."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlane.models.pool import Pool
from fastlane.queue.port import Lane, execution_entry
from tests.support.fastlane import HOST, Fastlane
from tests.support.redis import RealRedis

POOLS = (Pool("plain", "plain", (HOST,), max_running=1), Pool("fair", "", (HOST,), max_running=1, fair_share=True))
LANES = [Lane("fair", 1, fair=True), Lane("@ticks", None)]


@pytest.fixture
async def server(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    async with Fastlane(tmp_path, shared_redis.url, pools=POOLS) as server:
        yield server


async def test_ten_jobs_of_a_task_do_not_wait_behind_the_thousand_of_another(server: Fastlane) -> None:
    for task, count in (("many", 1_000), ("few", 10)):
        for _ in range(count):
            await server.submit("exit", "0", task=task)
    await server.hire()
    started: list[str] = []

    async def few_started() -> bool:
        for id in server.executor.starts[len(started) :]:
            execution = await server.store.execution(id)
            assert execution is not None
            started.append(execution.task_id)
        return started.count("few") == 10

    await server.until(few_started, "the start of all ten")
    # A claim brings a page of entries into line; and a start that a worker gives back, as on a slow machine, has had its turn.
    assert started.count("many") < 100


async def test_why_says_what_comes_before_a_job(server: Fastlane) -> None:
    jobs = [await server.enqueue("many") for _ in range(3)]
    other = await server.enqueue("few")
    await server.report_worker()
    await server.queue.generation.set_generation("1")
    claimed = await server.queue.claim("1", "worker", LANES, 10, lease=60_000)
    assert [lease.id for lease in claimed.leases] == [jobs[0]["executionId"]]
    (wait,) = (await server.get(f"{jobs[2]['jobUrl']}why")).json["waitingFor"]
    assert (wait["reason"], wait["ownBefore"], wait["otherTasks"], wait["nextTasks"]) == ("pool-full", 1, 1, ["few"])
    turns = "tasks take turns (fairShare): executions of its own task before it: 1; other tasks in line: 1 (few)"
    assert wait["message"] == f"pool 'fair' is full: 1 of 1 run, and 3 wait for a slot; {turns}"
    (wait,) = (await server.get(f"{other['jobUrl']}why")).json["waitingFor"]
    assert (wait["ownBefore"], wait["otherTasks"]) == (0, 1)
    (hidden,) = (await server.services.why.job("many", jobs[2]["jobId"], visible="many$")).waits
    assert hidden.message.endswith("other tasks in line: 1")


async def test_why_of_a_pool_without_turns_says_nothing_of_them(server: Fastlane) -> None:
    jobs = [await server.enqueue("plain") for _ in range(2)]
    await server.report_worker()
    await server.queue.generation.set_generation("1")
    await server.queue.claim("1", "worker", [Lane("plain", 1)], 10, lease=60_000)
    (wait,) = (await server.get(f"{jobs[1]['jobUrl']}why")).json["waitingFor"]
    assert wait["message"] == "pool 'plain' is full: 1 of 1 run, and 1 wait for a slot"
    assert "ownBefore" not in wait


async def test_the_list_of_pools_says_whose_tasks_take_turns(server: Fastlane) -> None:
    pools = (await server.get("/pools")).json["items"]
    assert {pool["name"]: pool["fairShare"] for pool in pools} == {"plain": False, "fair": True}


async def test_jobs_with_a_key_are_served_in_the_turn_of_their_task(server: Fastlane) -> None:
    keyed = await server.execution(await server.enqueue("one", concurrency=1, concurrencyKey="db"))
    plain = await server.execution(await server.enqueue("one", concurrency=1))
    assert (execution_entry(keyed, POOLS).task, execution_entry(plain, POOLS).task) == ("one", "")
