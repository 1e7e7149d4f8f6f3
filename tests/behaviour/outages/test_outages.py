"""The store or the queue is away: what is refused, what is accepted all the same, and how fast either is said."""

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest

from fastlane import __version__
from fastlane.clock import iso
from fastlane.errors import QueueDown, StoreDown
from fastlane.models import transitions
from fastlane.queue.port import Lane
from tests.support.fastlane import Fastlane
from tests.support.intercept import Call, failing, intercept
from tests.support.stored_data import damage
from tests.support.waiting import PATIENCE

BODY = {"image": "ubuntu:latest"}


@pytest.fixture
async def alone(own_redis, tmp_path):
    """A server whose Redis the test may break."""
    async with Fastlane(tmp_path, own_redis.url, queue_deadline=1.0) as server:
        yield server


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_without_a_queue_a_job_is_refused_and_nothing_is_written(alone, own_redis, how):
    getattr(own_redis, how)()
    before = time.monotonic()
    answer = await alone.post("/tasks/task", BODY)
    own_redis.go_on()
    assert answer.status == 503
    assert time.monotonic() - before < 5
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (await alone.get("/tasks/task")).status == 404


async def test_many_at_once_are_refused_together_while_the_queue_hangs(alone, own_redis):
    own_redis.pause()
    before = time.monotonic()
    answers = await asyncio.gather(*(alone.post("/tasks/task", BODY) for _ in range(50)))
    own_redis.go_on()
    assert {answer.status for answer in answers} == {503}
    assert time.monotonic() - before < 6


async def test_reads_go_on_without_a_queue(alone, own_redis):
    reply = await alone.enqueue()
    own_redis.kill()
    assert (await alone.get(reply["jobUrl"])).status == 200
    assert (await alone.get("/livez")).status == 200
    assert (await alone.get("/status")).status == 503


async def test_a_put_that_failed_after_the_store_had_the_job_is_made_up_for(alone, own_redis):
    await alone.enqueue()
    own_redis.kill()
    reply = await alone.enqueue("late")  # within the second in which the queue's last answer counts
    assert (await alone.get(reply["jobUrl"])).json["job"]["status"] == "enqueued"
    own_redis.start()

    claimed: list[str] = []
    give_up = time.monotonic() + PATIENCE
    while reply["executionId"] not in claimed:
        assert time.monotonic() < give_up, "the entry never came"
        with suppress(QueueDown):
            await alone.queue.generation.set_generation("1")
            claim = await alone.queue.claim("1", "worker", [Lane("default", 10)], 10, lease=10_000)
            claimed += [lease.id for lease in claim.leases]


async def test_a_stop_holds_without_a_queue(alone, own_redis):
    reply = await alone.enqueue()
    later = await alone.enqueue(startIn="1h")
    own_redis.kill()
    for one in (reply, later):
        answer = await alone.post(one["jobUrl"] + "stop")
        assert (answer.status, answer.json["status"]) == (200, "stopped")


async def test_a_server_ends_while_entries_still_wait_for_the_queue(own_redis, tmp_path):
    async with Fastlane(tmp_path, own_redis.url) as server:
        await server.enqueue()
        own_redis.kill()
        await server.enqueue()


async def test_without_a_store_the_answer_is_503(server):
    reply = await server.enqueue()
    for verb in ("create", "job", "task"):
        intercept(server.store, verb, failing(StoreDown("the disk is full")))
    for answer in (await server.post("/tasks/task", BODY), await server.get(reply["jobUrl"]), await server.get("/tasks/task")):
        assert answer.status == 503
        assert "disk is full" in answer.json["detail"]
        assert answer.headers["Retry-After"]


async def test_a_log_whose_store_goes_away_is_cut_rather_than_ended_well(server):
    reply = await server.run_to_end("task", (1, b"x" * 300_000), (1, b"y" * 300_000))

    async def once(call: Call) -> Any:
        _execution_id, offset, *_ = call.arguments
        if offset:
            raise StoreDown("gone")
        return await call.carry()

    intercept(server.store, "read_log", once)
    path = f"/tasks/task/jobs/{reply['jobId']}/stdout"
    answer = await server.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head, body = answer.split(b"\r\n\r\n", 1)
    assert b"Content-Length: 600000" in head
    assert len(body) < 600_000


async def test_an_error_of_our_own_tells_nothing_of_the_inside(server):
    intercept(server.store, "task", failing(RuntimeError("the inside /etc/secret.py")))
    answer = await server.get("/tasks/task")
    assert answer.status == 500
    assert b"inside" not in answer.body.replace(b"of the inside", b"")
    assert answer.json["status"] == 500
    assert answer.headers["X-Request-Id"]


async def test_status_shows_the_whole_picture(server):
    await server.report_worker()
    running = await server.enqueue()
    await server.run(running)
    later = await server.enqueue(startIn="1h")
    await server.run_to_end("task", code=1)
    shown = (await server.get("/status")).json
    assert shown["fastlane"] == {"version": __version__, "executor": "swarm"}
    assert shown["uptime"] >= 0
    assert shown["workers"]["alive"] == 1
    assert {host["pool"] for host in shown["hosts"]} == {"fast", "default"}
    assert shown["hosts"][0] == {
        "id": None,
        "host": "10.0.0.7",
        "port": 2375,
        "pool": "fast",
        "swarm": "swarm",
        "available": True,
        "blacklisted": False,
        "circuit": "closed",
        "error": None,
        "since": None,
        "running": 0,
        "cpus": None,
        "memoryBytes": None,
        "disk": None,
        "nodes": [],
        "clockSkewMs": None,
    }
    (container,) = shown["containers"]["running"]
    assert (container["task"], container["job"], container["execution"]) == ("task", running["jobId"], running["executionId"])
    assert (container["host"], container["port"], container["id"], container["image"]) == ("10.0.0.7", 2375, "container", "ubuntu:latest")
    assert shown["queues"]["fast"] == {"ready": 0, "timed": 0, "running": 0, "blocked": 0, "maxRunning": 10, "paused": False}
    assert shown["queues"]["default"]["ready"] + shown["queues"]["default"]["timed"] == 2
    assert (shown["tasks"]["count"], shown["jobs"]["count"]) == (1, 3)
    assert (shown["executions"]["running"], shown["executions"]["failed"], shown["executions"]["done"]) == (1, 1, 0)
    (scheduled,) = shown["jobs"]["scheduled"]
    assert (scheduled["jobId"], scheduled["stopUrl"]) == (later["jobId"], later["jobUrl"] + "stop/")
    assert (await server.post(scheduled["stopUrl"])).json["status"] == "stopped"


async def test_status_counts_what_is_not_removed_from_its_host_yet(server):
    settled = await server.change(transitions.settle(await server.end(await server.run(await server.enqueue()))))
    (row,) = (await server.get("/status")).json["uncleaned"]
    assert row == {"host": "10.0.0.7", "port": 2375, "count": 1, "since": iso(settled.finished_at)}
    await server.change(transitions.clean(settled))
    assert (await server.get("/status")).json["uncleaned"] == []


async def test_status_counts_what_is_not_removed_without_reading_it(server):
    """Each may have 256 KiB of variables, and there may be a thousand."""
    settled = await server.change(transitions.settle(await server.end(await server.run(await server.enqueue()))))
    damage(server.settings.store_url, "executions", settled.id, value="unreadable")
    (row,) = (await server.get("/status")).json["uncleaned"]
    assert (row["host"], row["count"]) == ("10.0.0.7", 1)


async def test_an_answer_under_way_is_given_before_the_server_closes(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url) as server:
        entered, go_on = asyncio.Event(), asyncio.Event()

        async def slow(call: Call) -> Any:
            entered.set()
            await go_on.wait()
            return await call.carry()

        intercept(server.store, "task", slow)
        await server.enqueue()
        asking = asyncio.create_task(server.get("/tasks/task"))
        await asyncio.wait_for(entered.wait(), PATIENCE)
        asyncio.get_running_loop().call_later(0.2, go_on.set)
        await server.close_server(5)
        assert (await asking).status == 200


async def test_a_client_that_hung_up_keeps_nothing_open(server):
    _reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /tasks/task HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    assert (await server.get("/livez")).status == 200
    writer.close()
    await writer.wait_closed()
    before = time.monotonic()
    await server.close_server(30)
    assert time.monotonic() - before < 10
