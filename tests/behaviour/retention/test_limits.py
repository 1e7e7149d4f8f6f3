"""A store that is filled to its limits: what users see at each, and that nothing goes without a word."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlane.models.pool import Pool
from fastlane.models.retention import Retention
from fastlane.models.status import Status
from tests.support.fastlane import HOST, Answer, Fastlane
from tests.support.redis import RealRedis

KIB = 1024
ONE, ALL = 64 * KIB, 256 * KIB
"""Bytes that one execution may store, and all together."""
POOLS = (Pool("default", "", (HOST,), max_waiting_of_task=3, retention=Retention(max_executions=4)),)


@pytest.fixture
async def server(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    limits = {"max_log_bytes": ONE, "max_total_log_bytes": ALL}
    async with Fastlane(tmp_path, shared_redis.url, workers=1, pools=POOLS, **limits) as server:
        yield server


async def figure(server: Fastlane, name: str) -> float:
    text = (await server.get("/metrics")).body.decode()
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name} ")))


async def done(server: Fastlane, reply: Answer) -> None:
    """Waits until what was accepted has ended well, and is cleaned."""

    async def cleaned() -> bool:
        return (await server.execution(reply.json)).cleaned

    await server.until(cleaned, "the job to end")
    assert (await server.execution(reply.json)).status is Status.DONE


async def written(server: Fastlane, size: int) -> str:
    """The URL of a job that wrote so much and has ended."""
    reply = await server.post("/tasks/chatty", {"image": "ubuntu", "command": ["out", "x" * size, "exit", "0"]})
    assert reply.status == 200, reply.body
    await done(server, reply)
    return str(reply.json["jobUrl"])


async def log_of(server: Fastlane, url: str) -> tuple[int, bool]:
    """How much of a job's log is there, and whether its execution says that some is missing."""
    answer = await server.get(url + "stdout")
    assert answer.status == 200
    (execution,) = (await server.get(url)).json["job"]["executions"]
    assert (answer.headers.get("Fastlane-Truncated") == "true") is execution["logInfo"]["truncated"]
    return len(answer.body), execution["logInfo"]["truncated"]


async def test_logs_beyond_their_limits_go_the_oldest_first_and_every_job_runs(server: Fastlane) -> None:
    assert await log_of(server, await written(server, ONE + 1)) == (ONE, True)
    small = await written(server, KIB)
    assert await log_of(server, small) == (KIB, False)
    jobs = [await written(server, ONE - KIB) for _ in range(6)]

    async def fits() -> bool:
        return await figure(server, "fastlane_stored_log_bytes") <= ALL

    await server.until(fits, "old logs to have gone")
    found = [await log_of(server, url) for url in jobs]
    assert await log_of(server, small) == (0, True)
    assert found[-3:] == [(ONE - KIB, False)] * 3
    assert found[0] == (0, True)
    listed = (await server.get("/tasks/chatty?perPage=100")).json["jobs"]
    assert [job["status"] for job in listed] == ["done"] * 8


async def test_a_job_s_oldest_executions_go_and_its_newest_stay(server: Fastlane) -> None:
    url = await written(server, KIB)
    for _ in range(6):
        again = await server.post(url + "run")
        assert again.status == 200, again.body
        await done(server, again)

    async def bounded() -> bool:
        return (await server.get(url + "executions")).json["total"] <= 4

    await server.until(bounded, "its oldest executions to have gone")
    newest = (await server.get(url + "executions")).json["items"][0]
    assert newest["executionId"] == again.json["executionId"]
    assert (await server.get(url + "stdout")).body == b"x" * KIB
    assert (await server.get(url + "ticks")).json["total"] <= 4


async def test_what_may_not_wait_is_refused_with_a_time_and_what_was_accepted_runs(server: Fastlane) -> None:
    assert (await server.post("/dispatch/pause")).status == 200
    accepted = [await server.post("/tasks/chatty", {"image": "ubuntu"}) for _ in range(3)]
    assert {answer.status for answer in accepted} == {200}
    refused = await server.post("/tasks/chatty", {"image": "ubuntu"})
    assert (refused.status, refused.headers["Retry-After"]) == (429, "2")
    assert "the maxWaitingPerTask of pool 'default' is 3" in refused.json["detail"]
    assert (await server.get("/tasks/chatty")).json["total"] == 3
    assert (await server.post("/dispatch/resume")).status == 200
    for answer in accepted:
        await done(server, answer)
    assert (await server.post("/tasks/chatty", {"image": "ubuntu"})).status == 200
