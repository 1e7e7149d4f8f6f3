"""The client when connections are lost: a log has each byte once, and a request that is sent again has one effect."""

import asyncio
import contextlib
import random

import pytest

from fastlane.client import AsyncClient, Ended, LogQuery, NotFound, Output, Unreachable
from fastlane.client.asynchronous import following
from fastlane.client.errors import ClientError
from tests.support.fastlane import IMAGE
from tests.support.relay import Relay
from tests.support.waiting import until

STREAMS = {"stdout": 1, "stderr": 2}


def cutting(chance: random.Random):
    """Filters that cut each connection after some thousand bytes of its answer, within an event."""

    def filters():
        left = chance.randrange(600, 6_000)

        def got(data: bytes) -> bytes | None:
            nonlocal left
            if left <= 0:
                return None
            passed, left = data[:left], left - len(data)
            return passed

        return bytes, got

    return filters


@pytest.mark.parametrize("seed", range(3))
async def test_a_log_has_each_byte_once_however_often_the_connection_is_cut(server, seed, monkeypatch):
    monkeypatch.setattr("fastlane.client.exchange.FIRST", 0.001)
    monkeypatch.setattr("fastlane.client.exchange.LARGEST", 0.01)
    chance = random.Random(seed)
    parts = [(chance.choice((1, 2)), chance.randbytes(chance.randrange(1, 400))) for _ in range(120)]
    reply = await server.enqueue("task")
    execution = await server.run(reply)

    async def write():
        for part in parts:
            await server.append_log(execution, part)
            await asyncio.sleep(0.001)  # so that the reader comes between
        await server.end(execution, 4)

    lost: list[ClientError] = []
    async with Relay(0, server.port, cutting(chance)) as relay, AsyncClient(f"http://127.0.0.1:{relay.place}") as client:
        writing = asyncio.create_task(write())
        wanted = LogQuery("task", reply["jobId"], reply["executionId"])
        events = [event async for event in client.events(wanted, on_lost=lost.append)]
        await writing
    got = [event for event in events if isinstance(event, Output)]
    for name, number in STREAMS.items():
        expected = b"".join(data for stream, data in parts if stream == number)
        assert b"".join(event.data for event in got if event.stream == name) == expected
    assert events[-1] == Ended("failed", 4)
    assert len(lost) > 3


async def test_a_submission_whose_answer_is_lost_is_sent_again_and_runs_once(server):
    lost = []

    def filters():
        def got(data: bytes) -> bytes | None:
            if b"POST" not in seen or lost:
                return data
            lost.append(data)
            return None

        seen: list[bytes] = []

        def sent(data: bytes) -> bytes:
            seen.append(data[:4])
            return data

        return sent, got

    async with Relay(0, server.port, filters) as relay, AsyncClient(f"http://127.0.0.1:{relay.place}") as client:
        await client.server.pools()
        reply = await client.submit("task", image=IMAGE)
    assert lost
    assert [row["id"] for row in (await server.get("/tasks/task/jobs")).json["items"]] == [reply["jobId"]]


async def test_a_deletion_whose_answer_is_lost_has_been_done(server):
    reply = await server.enqueue("task", cron="0 0 1 1 *")
    answers = 0

    def filters():
        def got(data: bytes) -> bytes | None:
            nonlocal answers
            answers += 1
            return None if answers == 2 else data

        return bytes, got

    async with Relay(0, server.port, filters) as relay, AsyncClient(f"http://127.0.0.1:{relay.place}") as client:
        await client.server.pools()
        assert (await client.jobs.delete("task", reply["jobId"], stop=True))["deleted"]
        assert answers == 3
        with pytest.raises(NotFound):
            await client.jobs.delete("task", reply["jobId"])


async def test_a_server_that_stays_away_is_given_up_after_the_patience(server):
    async with Relay(0, server.port) as relay, AsyncClient(f"http://127.0.0.1:{relay.place}", patience=0.5) as client:
        await client.server.pools()
        await relay.stop()
        with pytest.raises(Unreachable):
            await client.server.pools()


async def test_a_server_that_comes_back_is_found_again(server):
    async with Relay(0, server.port) as relay, AsyncClient(f"http://127.0.0.1:{relay.place}") as client:
        await client.server.pools()
        await relay.stop()
        asking = asyncio.create_task(client.server.pools())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asking), 0.3)
        assert not asking.done()
        await relay.start()
        assert await asking


async def test_a_silent_connection_is_given_up_and_made_again(server, monkeypatch):
    monkeypatch.setattr(following, "SILENT_FOR", 0.2)
    reply = await server.enqueue("task")
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"one"))
    lost: list[ClientError] = []
    async with Relay(0, server.port) as relay, AsyncClient(f"http://127.0.0.1:{relay.place}") as client:
        events = client.events(LogQuery("task", reply["jobId"]), on_lost=lost.append)
        first = await anext(events)
        relay.hang()
        rest = asyncio.create_task(_all(events))
        await until(lambda: lost, "the silent connection to be given up")
        relay.flow()
        await server.append_log(execution, (1, b"two"))
        await server.end(execution)
        data = [event.data for event in [first, *await rest] if isinstance(event, Output)]
    assert b"".join(data) == b"onetwo"


async def _all(events):
    return [event async for event in events]


async def test_the_log_so_far_does_not_wait(server, client):
    reply = await server.enqueue("task")
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"one\n"), (2, b"two\n"))
    assert [output.data async for output in client.logs("task", reply["jobId"], follow=False)] == [b"one\n", b"two\n"]
    assert [output.data async for output in client.logs("task", reply["jobId"], follow=False, tail=1)] == [b"two\n"]


async def test_a_log_of_a_job_that_was_deleted_is_not_waited_for(server, client):
    reply = await server.enqueue("task", cron="0 0 1 1 *")
    await client.jobs.delete("task", reply["jobId"], stop=True)
    with pytest.raises(NotFound):
        await _all(client.logs("task", reply["jobId"]))
