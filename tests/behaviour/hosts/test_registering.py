"""Hosts that are registered while fastlane runs: who may do so, with which addresses, and what comes of it."""

import asyncio

import pytest

from tests.behaviour.hosts.conftest import NEW, OTHER, RUNNER, Administered
from tests.support.fastlane import HOST, Fastlane


async def test_a_registered_host_is_listed_with_the_ones_of_the_settings(server: Administered) -> None:
    made = await server.register(weight=3, maxRunning=2)
    assert made.status == 200
    shown = await server.known()
    assert set(shown) == {HOST, NEW}
    assert shown[NEW] == made.json
    wanted = {"pools": ["grown"], "registered": True, "weight": 3, "maxRunning": 2, "registeredBy": "ann", "blacklisted": False}
    assert wanted.items() <= shown[NEW].items()
    assert {"pools": ["default"], "registered": False, "weight": 1, "maxRunning": None, "registeredBy": None}.items() <= shown[HOST].items()
    pools = (await server.call("GET", "/pools")).json["items"]
    assert [(row["host"], row["weight"], row["maxRunning"]) for row in pools[0]["hosts"]] == [(NEW, 3, 2)]


async def test_jobs_of_a_pool_without_hosts_run_once_one_is_registered(server: Administered) -> None:
    await server.hire()
    job = await server.submit(task="grown-task")
    await server.register()
    execution = await server.reaches(job, "done")
    assert execution.host == NEW


async def test_a_registration_outlives_the_processes(server: Administered, shared_redis, tmp_path) -> None:
    await server.register()
    async with Administered(tmp_path, shared_redis.url, installation=server.installation) as another:
        assert NEW in await another.known()
        await another.hire()
        job = await another.submit(task="grown-task")
        assert (await another.reaches(job, "done")).host == NEW


async def test_another_process_sees_a_registration_within_a_second(server: Administered, shared_redis, tmp_path) -> None:
    async with Administered(tmp_path, shared_redis.url, installation=server.installation) as another:
        await server.register()
        admitted = await another.until(
            lambda: another.call("POST", "/tasks/grown-task?dryRun=1", {"image": "ubuntu"}), "an answer of the other process"
        )
        assert admitted.status == 200
        async with asyncio.timeout(5):
            while [host["host"] for host in admitted.json["hosts"]] != [NEW]:
                admitted = await another.call("POST", "/tasks/grown-task?dryRun=1", {"image": "ubuntu"})


@pytest.mark.parametrize(("method", "path"), [("POST", "/hosts"), ("DELETE", f"/hosts/{NEW}"), ("DELETE", f"/hosts/{NEW}?force=1")])
async def test_a_server_without_users_registers_and_removes_no_host(shared_redis, tmp_path, method, path) -> None:
    async with Fastlane(tmp_path, shared_redis.url) as anyones:
        answer = await anyones.ask(method, path, data=b"{}")
        assert answer.status == 403
        assert "neither users nor tokens" in answer.json["detail"]
        assert (await anyones.get("/hosts")).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/hosts"), ("DELETE", f"/hosts/{NEW}"), *((one, "/docker-executor/blacklist") for one in ("POST", "PUT", "DELETE"))],
)
async def test_only_administrators_change_hosts(server: Administered, method: str, path: str) -> None:
    answer = await server.call(method, path, {}, login=RUNNER)
    assert answer.status == 403
    assert "needs admin" in answer.json["detail"]


@pytest.mark.parametrize(
    ("address", "pool", "status", "words"),
    [
        ("10.0.2.1:2376", "grown", 403, "its patterns are: 10.0.1.*:2376, ssh://*"),
        ("x10.0.1.1:2376", "grown", 403, "does not let this address be registered"),
        ("unix:///var/run/docker.sock", "grown", 403, "does not let this address be registered"),
        (NEW, "default", 403, "its patterns are: none"),
        (NEW, "nowhere", 400, "the pools are: grown, closed, default"),
        ("tls.example.com:2376", "closed", 400, "TCP without TLS"),
        ("ssh://me:hunter2@h", "grown", 400, "has a password"),
        ("10.0.1.1", "grown", 400, "is not the address of a Docker engine"),
    ],
)
async def test_an_address_that_may_not_be_registered_is_refused_with_the_reason(
    server: Administered, address: str, pool: str, status: int, words: str
) -> None:
    answer = await server.register(address, pool)
    assert answer.status == status
    assert words in answer.json["detail"]
    assert "hunter2" not in answer.body.decode()
    assert set(await server.known()) == {HOST}


async def test_every_fault_of_a_registration_is_named_at_once(server: Administered) -> None:
    answer = await server.call("POST", "/hosts", {"address": 7, "weight": 0, "maxRunning": "x", "polo": "grown"})
    assert answer.status == 400
    assert {fault["field"] for fault in answer.json["errors"]} == {"address", "pool", "weight", "maxRunning", "polo"}
    assert any('the nearest is "pool"' in fault["message"] for fault in answer.json["errors"])


async def test_the_same_registration_again_changes_nothing(server: Administered) -> None:
    made = await server.register(weight=2)
    again = await server.register(weight=2)
    assert (again.status, again.json) == (200, made.json)


async def test_another_registration_of_the_same_address_conflicts(server: Administered) -> None:
    await server.register(weight=2)
    answer = await server.register(weight=3)
    assert answer.status == 409
    assert (await server.known())[NEW]["id"] in answer.json["detail"]
    assert (await server.known())[NEW]["weight"] == 2


async def test_a_host_of_the_settings_cannot_be_registered(server: Administered) -> None:
    server.api.services.hosts._pools.replace(settings=[*server.pools[:2], server.pools[2].__class__("default", "", (NEW,))])
    answer = await server.register()
    assert answer.status == 409
    assert "the settings name" in answer.json["detail"]


async def test_of_two_administrators_who_register_differently_at_once_one_succeeds(server: Administered, shared_redis, tmp_path) -> None:
    async with Administered(tmp_path, shared_redis.url, installation=server.installation) as another:
        answers = await asyncio.gather(*((server, another)[number % 2].register(weight=number + 1) for number in range(8)))
        assert sorted(answer.status for answer in answers) == [200, *[409] * 7]
        winner = next(answer for answer in answers if answer.status == 200)
        assert (await another.known())[NEW] == winner.json


async def test_other_hosts_are_registered_beside_each_other(server: Administered) -> None:
    answers = await asyncio.gather(server.register(NEW), server.register(OTHER), server.register("ssh://me@h"))
    assert [answer.status for answer in answers] == [200] * 3
    assert set(await server.known()) == {HOST, NEW, OTHER, "ssh://me@h"}
