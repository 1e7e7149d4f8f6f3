"""What ``/pools`` and ``/status`` show of pools, as they fill, wait and are paused."""

from typing import Any

import pytest

from fastlane.models.container import Policy, Resources
from fastlane.models.pool import Pool
from fastlane.queue.port import Lane
from tests.support.credentials import basic, user
from tests.support.fastlane import HOST, Fastlane

MANY = (Pool("fast", "fast-", (HOST, "10.0.0.8:2375"), 2), Pool("default", "", (HOST,)))


@pytest.fixture
async def server(shared_redis, tmp_path):
    """A server with two pools, of which the first has a host that no worker sees."""
    async with Fastlane(tmp_path, shared_redis.url, pools=MANY) as server:
        yield server


async def pools(server: Fastlane) -> dict[str, dict[str, Any]]:
    answer = await server.get("/pools")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    return {pool["name"]: pool for pool in answer.json["items"]}


async def claim(server: Fastlane, limit: int) -> list[str]:
    await server.queue.generation.set_generation("1")
    claim = await server.queue.claim("1", "worker", [Lane("fast", limit)], 10, lease=60_000)
    return [lease.id for lease in claim.leases]


async def test_each_pool_is_listed_in_order_with_its_rule_and_its_hosts(server):
    await server.report_worker()
    shown = await pools(server)
    assert list(shown) == ["fast", "default"]
    assert {key: shown["fast"][key] for key in ("match", "maxRunning", "running", "waiting", "paused", "pull")} == {
        "match": "fast-",
        "maxRunning": 2,
        "running": 0,
        "waiting": 0,
        "paused": False,
        "pull": "missing",
    }
    assert [(host["host"], host["weight"], host["usable"], host["reason"]) for host in shown["fast"]["hosts"]] == [
        (HOST, 1, True, None),
        ("10.0.0.8:2375", 1, False, "no worker is alive that sees it"),
    ]


async def test_what_runs_and_what_waits_is_counted_in_every_place_that_it_can_wait_in(server):
    for _ in range(2):
        await server.enqueue("fast-group", concurrency=1)
    for _ in range(3):
        await server.enqueue("fast-task")
    await server.enqueue("fast-task", startIn="1h")  # no execution of it waits yet
    assert [(await pools(server))["fast"][key] for key in ("running", "waiting")] == [0, 5]
    assert len(await claim(server, 2)) == 2
    assert [(await pools(server))["fast"][key] for key in ("running", "waiting")] == [2, 3]
    assert (await pools(server))["default"]["waiting"] == 0


async def test_a_pause_shows_at_once_and_what_waits_behind_it_too(server):
    await server.post("/pools/fast/pause")
    await server.enqueue("fast-task")
    assert await claim(server, 2) == []
    shown, queues = await pools(server), (await server.get("/status")).json["queues"]
    assert {name: (pool["paused"], pool["waiting"]) for name, pool in shown.items()} == {"fast": (True, 1), "default": (False, 0)}
    assert {name: (queue["paused"], queue["maxRunning"]) for name, queue in queues.items()} == {"fast": (True, 2), "default": (False, 10)}
    await server.post("/pools/fast/resume")
    assert (await pools(server))["fast"]["paused"] is False
    assert (await server.get("/status")).json["queues"]["fast"]["paused"] is False


async def test_who_may_read_sees_what_containers_may_ask_for(shared_redis, tmp_path):
    policy = Policy(user=("app",), stop_grace=90_000, mounts=("/srv/", "volume:cache-*"), networks=("*",))
    mine = (Pool("mine", "", (HOST,), policy=policy, limits=Resources(1.5, 1 << 30)),)
    async with Fastlane(tmp_path, shared_redis.url, pools=mine, users=(user("vera", "veras", "read"),)) as server:
        assert (await server.get("/pools")).status == 401
        (pool,) = (await server.get("/pools", headers=basic("vera", "veras"))).json["items"]
        assert pool["limits"] == {"cpus": 1.5, "memory": 1 << 30, "pids": None}
        allowed = {key: value for key, value in pool["policy"].items() if value}
        assert allowed == {"user": ["app"], "stopGrace": "1m30s", "mounts": ["/srv/", "volume:cache-*"], "networks": ["*"]}


async def test_without_the_queue_it_is_a_503(own_redis, tmp_path):
    async with Fastlane(tmp_path, own_redis.url) as server:
        own_redis.kill()
        assert (await server.get("/pools")).status == 503
