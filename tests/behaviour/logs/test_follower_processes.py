"""Followers across real processes: two APIs, two workers, one store; an API and the worker that runs the job are killed meanwhile."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.behaviour.logs.cutting import Unsteady
from tests.support.engine_views import NoDocker
from tests.support.followers import Socket, follow_on
from tests.support.installation import Installation
from tests.support.instant import line
from tests.support.redis import RealRedis
from tests.support.simulated_engine import EngineProcess
from tests.support.waiting import wait_until

LINES, PAUSE = 300, 10
Pair = tuple[Installation, Installation]


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Pair]:
    """Two APIs on one store, and workers on an engine that outlives them."""
    name = f"test-{os.urandom(4).hex()}"
    with RealRedis() as redis, EngineProcess(redis.socket.parent) as engine:
        both = tuple(Installation(tmp_path, NoDocker(engine.host), name, redis.url, {"LISTEN": "127.0.0.1"}) for _ in range(2))
        try:
            for place in both:
                place.serve("api")
            yield both
        finally:
            for place in both:
                place.end()


def whole(attempts: int = 1) -> str:
    return "".join(line(attempt, number) for attempt in range(1, attempts + 1) for number in range(LINES))


@pytest.mark.thorough
async def test_followers_of_both_apis_get_all_while_an_api_and_the_worker_are_killed(places: Pair) -> None:
    dying, living = places
    workers = [living.start("worker"), living.start("worker")]
    reply = living.run("lines", str(LINES), str(PAUSE))
    path = f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}"
    async with aiohttp.ClientSession() as session:
        steady = [Socket(session, f"{living.url}{path}/ws") for _ in range(3)]
        for client in steady:
            await client.__aenter__()
        moving = [asyncio.create_task(follow_on(session, [dying.url, living.url], path)) for _ in range(3)]
        await steady[0].until(lambda got: got.text.count("\n") > 50)
        for worker in workers:  # both, so that whichever has the job is among them
            worker.kill()
        living.start("worker")
        dying.processes[0].kill()
        results = [await client.closed() for client in steady]
        for client in steady:
            await client.__aexit__()
        assert [(got.text, got.end) for got in results] == [(whole(), (1000, "done"))] * 3
        for text, events, cuts in await asyncio.gather(*moving):
            assert text == whole()
            assert events[-1] == {"event": "end", "status": "done", "exitCode": 0}
            assert cuts > 0
    assert living.execution(reply)["status"] == "done"


@pytest.mark.thorough
async def test_clients_that_are_cut_and_moved_get_each_line_once_while_apis_and_workers_die(
    places: Pair,
) -> None:
    dying, living = places
    workers = [living.start("worker"), living.start("worker")]
    reply = living.run("lines", str(LINES), str(PAUSE), "exit", "7,0", retries=1, retryDelay="1s")
    path = f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}"
    clients = [Unsteady([dying.url, living.url], path, seed) for seed in range(8)]
    async with aiohttp.ClientSession() as session, Socket(session, f"{living.url}{path}/ws") as witness, asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.follow())
        await witness.until(lambda got: got.text.count("\n") > 30)
        dying.processes[0].kill()
        workers[0].kill()
        await witness.until(lambda got: got.text.count("\n") > 100)
        await asyncio.to_thread(dying.serve, "api")
        await witness.until(lambda got: "2:50\n" in got.text)
        workers[1].kill()
        living.start("worker")
        dying.processes[-1].kill()
        got = await witness.closed()
    assert (got.text, got.end) == (whole(2), (1000, "done"))
    for client in clients:
        assert client.text == whole(2)
        assert client.messages[-1] == {"event": "end", "status": "done", "exitCode": 0}
        assert {message["attempt"] for message in client.messages if message.get("event") == "attempt"} == {2}
    assert sum(client.cuts for client in clients) > len(clients)


async def test_attempts_and_lines_in_time_over_real_workers_and_a_sigterm_is_retry(places: Pair) -> None:
    one, other = places
    one.start("worker")
    reply = one.run("lines", str(LINES), "2", "exit", "7,0", retries=1, retryDelay="1s")
    path = f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}"
    async with aiohttp.ClientSession() as session, Socket(session, f"{one.url}{path}/ws") as client:
        got = await client.closed()
    assert (got.text, got.end) == (whole(2), (1000, "done"))
    forever = one.run("lines", "100000", "1000")
    async with (
        aiohttp.ClientSession() as session,
        Socket(session, f"{other.url}/tasks/{forever['taskId']}/jobs/{forever['jobId']}/ws") as client,
    ):
        await client.until(lambda got: "1:0\n" in got.text)
        other.processes[0].send_signal(signal.SIGTERM)
        assert (await client.closed()).end == (1000, "retry")
    wait_until(lambda: other.processes[0].poll() is not None, "the API to end")
    assert other.processes[0].returncode == 0
    assert not [row for row in map(json.loads, other.log("api").splitlines()) if row["level"] == "error"]
