"""What is said of the health of the parts: to load balancers, to people and alarms, and to those who have not logged in."""

import asyncio
import sqlite3
import time
from contextlib import closing

import pytest

from fastlane.models.pool import REQUESTED, RESTORED
from tests.support.credentials import basic, bearer, token, user
from tests.support.fastlane import HOST, Fastlane
from tests.support.intercept import Call, intercept
from tests.support.stored_data import checks_of
from tests.support.stores import ON_MONGO
from tests.support.waiting import until

WHO = {"users": (user("anna", "annas", "admin"), user("vera", "veras", "read", "team-")), "tokens": (token("ci", "fl_right", "run"),)}
WORDS = "refused the connection"
MONGO = {"mongo": True} if ON_MONGO else {}
"""What is said only of MongoDB."""


@pytest.fixture
async def alone(own_redis, tmp_path):
    """A server whose Redis the test may break."""
    async with Fastlane(tmp_path, own_redis.url) as server:
        yield server


async def test_health_is_well_when_everything_is_there(server):
    await server.report_worker()
    for path in ("/healthcheck", "/healthcheck/", "/"):
        answer = await server.get(path)
        assert answer.status == 200
        well = {"redis": True, "store": True, **MONGO, "docker": True, "workers": True, "errors": [], "dispatch": True}
        assert answer.json == well


async def test_health_says_what_is_missing(server):
    answer = await server.get("/healthcheck")
    assert answer.status == 503
    assert (answer.json["workers"], answer.json["docker"], answer.json["redis"]) == (False, False, True)
    await server.report_worker(usable=False)

    async def seen():
        answer = await server.get("/healthcheck")
        return answer if answer.json["workers"] else None

    answer = await until(seen, "the worker's report was not seen")
    assert (answer.status, answer.json["docker"]) == (503, False)
    messages = [error["message"] for error in answer.json["errors"] if error["source"] == "docker"]
    assert any(HOST in message and "refused the connection" in message for message in messages)


@pytest.mark.parametrize(("name", "words"), [(REQUESTED, "all dispatch was paused"), (RESTORED, "went back to an earlier state")])
async def test_health_names_paused_dispatch_and_how_it_goes_on(server, name, words):
    await server.report_worker()
    await server.store.pause_pool(name, True)
    answer = await server.get("/healthcheck")
    assert (answer.status, answer.json["dispatch"], answer.json["workers"], answer.json["docker"]) == (200, False, True, True)
    (error,) = answer.json["errors"]
    assert error["source"] == "dispatch"
    assert words in error["message"]
    assert "POST /dispatch/resume" in error["message"]
    assert (await server.get("/readyz")).status == 200
    await server.post("/dispatch/resume")

    async def well():
        return (await server.get("/healthcheck")).json["errors"] == []

    await until(well, "it is well again")


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_health_answers_within_two_seconds_whatever_hangs(alone, own_redis, how):
    getattr(own_redis, how)()

    async def hang(_call: Call) -> None:
        await asyncio.Event().wait()

    intercept(alone.store, "check", hang)
    before = time.monotonic()
    answer = await alone.get("/healthcheck")
    own_redis.go_on()
    assert time.monotonic() - before < 2
    assert (answer.status, answer.json["redis"], answer.json["store"]) == (503, False, False)
    assert [error["source"] for error in answer.json["errors"]] == ["store", "redis", "workers", "docker"]
    assert {error["message"] for error in answer.json["errors"][2:]} == {
        "not known, since workers report through Redis, which fails; see to Redis first"
    }


@pytest.mark.parametrize("path", ["/healthcheck", "/readyz", "/"])
async def test_a_verdict_counts_for_a_second_however_many_ask(server, path):
    checks, check = [], server.queue.check

    async def counted():
        checks.append(time.monotonic())
        await check()

    server.queue.check = counted
    before, committed = time.monotonic(), checks_of(server.settings.store_url)
    for _ in range(5):
        await asyncio.gather(*(server.get(path) for _ in range(20)))
    seconds = 1 + int(time.monotonic() - before)
    assert 1 <= checks_of(server.settings.store_url) - committed <= seconds
    assert len(checks) <= seconds


async def test_a_server_is_ready_without_redis_without_workers_and_without_hosts(alone, own_redis):
    assert (await alone.get("/readyz")).json == {"ready": True}
    await alone.report_worker(usable=False)
    own_redis.kill()
    for path in ("/readyz", "/readyz/", "/readyz"):
        assert (await alone.get(path)).status == 200
    assert (await alone.get("/healthcheck")).status == 503


@pytest.mark.sqlite
async def test_a_server_whose_store_cannot_be_written_is_not_ready_until_it_can(server):
    with closing(sqlite3.connect(server.settings.store_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = await server.get("/readyz")
        other.execute("ROLLBACK")
    assert (answer.status, answer.headers["Content-Type"]) == (503, "application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0
    assert "locked" not in answer.json["detail"]

    async def ready():
        return (await server.get("/readyz")).status == 200

    await until(ready, "it is ready again")


async def test_a_server_whose_store_hangs_says_so_in_bounded_time(server):
    async def hang(_call: Call) -> None:
        await asyncio.Event().wait()

    intercept(server.store, "check", hang)
    before = time.monotonic()
    answers = await asyncio.gather(*(server.get("/readyz") for _ in range(20)))
    assert {answer.status for answer in answers} == {503}
    assert time.monotonic() - before < 2


@pytest.mark.parametrize("path", ["/healthcheck", "/"])
async def test_only_who_logs_in_is_told_why_something_is_down(shared_redis, tmp_path, path):
    async with Fastlane(tmp_path, shared_redis.url, **WHO) as server:
        await server.report_worker(usable=False)
        for credential in (basic("anna", "annas"), basic("vera", "veras"), bearer("fl_right")):
            answer = await server.get(path, headers=credential)
            assert (answer.status, HOST in answer.body.decode(), WORDS in answer.body.decode()) == (503, True, True)
        for credential in ({}, basic("anna", "wrong"), basic("nobody", "annas"), bearer("fl_wrong"), {"Authorization": "x"}):
            answer = await server.get(path, headers=credential)
            assert answer.status == 503
            assert answer.json == {
                "redis": True,
                "store": True,
                **MONGO,
                "docker": False,
                "workers": True,
                "dispatch": True,
                "errors": [{"source": "docker", "message": "log in to see what is wrong"}],
            }


async def test_guessing_passwords_at_the_healthcheck_is_slowed_down_too(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, **WHO) as server:
        for number in range(12):
            assert (await server.get("/healthcheck", headers=basic("anna", f"guess {number}"))).status == 503
        assert (await server.get("/status", headers=basic("anna", "another guess"))).status == 429
