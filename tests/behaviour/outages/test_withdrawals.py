"""What must leave the queue while the queue is away: it goes when the queue is back, without waiting for the reconciler."""

from contextlib import asynccontextmanager

import pytest

from fastlane.errors import QueueDown
from fastlane.queue.port import TICKS, Lane, Renewal
from tests.support.fastlane import Fastlane
from tests.support.relay import Relay


@pytest.fixture
async def relay(own_redis):
    """The way to a Redis that keeps its data while the way is cut."""
    async with Relay(f"{own_redis.url}-relay", own_redis.url) as relay:
        yield relay


@pytest.fixture
async def server(relay, tmp_path):
    """A server that reaches its Redis through the relay. No worker and no reconciler runs."""
    async with Fastlane(tmp_path, relay.place) as server:
        await server.queue.generation.set_generation("1")
        yield server


@asynccontextmanager
async def outage(relay):
    await relay.stop()
    yield
    await relay.start()


async def waiting(server: Fastlane) -> int | None:
    """How many entries wait for their time; None while the queue does not answer."""
    try:
        return (await server.queue.counts([TICKS]))[TICKS].timed
    except QueueDown:
        return None


async def test_what_a_stop_a_pause_and_a_deletion_withdraw_leaves_the_queue_when_it_is_back(server, relay):
    stopped, paused, kept, deleted = [await server.enqueue("task", startIn="1h") for _ in range(4)]
    assert await waiting(server) == 4
    async with outage(relay):
        assert (await server.post(stopped["jobUrl"] + "stop")).json["status"] == "stopped"
        assert (await server.post(paused["jobUrl"] + "pause")).json["status"] == "paused"
        assert (await server.ask("DELETE", deleted["jobUrl"] + "?stop=1")).status == 200

    async def withdrawn():
        return await waiting(server) == 1

    await server.until(withdrawn, "the entries to leave the queue")
    assert (await server.get(kept["jobUrl"])).json["job"]["status"] == "scheduled"


async def test_a_resume_right_after_the_outage_wins_over_the_pause_that_is_still_to_be_passed_on(server, relay):
    job = await server.enqueue("task", cron="0 0 1 1 *")
    async with outage(relay):
        await server.post(job["jobUrl"] + "pause")

    async def resumed():
        return (await server.post(job["jobUrl"] + "resume")).status == 200

    await server.until(resumed, "the queue to answer")
    await server.services.outbox.caught_up()
    assert await waiting(server) == 1


async def test_the_worker_of_a_stopped_execution_hears_of_the_stop_when_the_queue_is_back(server, relay):
    reply = await server.enqueue()
    (lease,) = (await server.queue.claim("1", "worker", [Lane("default", 10)], 10, lease=600_000)).leases
    await server.run(reply)
    async with outage(relay):
        assert (await server.post(reply["jobUrl"] + "stop")).json["status"] == "running"

    async def told():
        try:
            return (await server.queue.renew("1", "worker", [lease.id], lease=600_000))[lease.id] is Renewal.STOP
        except QueueDown:
            return False

    await server.until(told, "the worker to hear of the stop")
