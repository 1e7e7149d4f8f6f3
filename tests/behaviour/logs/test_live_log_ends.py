"""Why the server closes the WebSocket of a live log: the job's end, or a time to come again."""

import asyncio

import pytest

from fastlane.models import transitions
from fastlane.models.job import Execution
from fastlane.models.tick import next_execution
from tests.support.fastlane import Fastlane
from tests.support.followers import socket
from tests.support.intercept import answering, intercept
from tests.support.waiting import until

DONE, RETRY = (1000, "done"), (1000, "retry")
SHORT = {"ws_start_wait": 0.4}


async def test_nothing_that_starts_soon_is_retry_at_once(server):
    later = await server.enqueue(startIn="1h")
    async with socket(server, later["jobUrl"] + "ws") as client:
        assert (await client.closed()).end == RETRY


@pytest.mark.parametrize("of", ["jobUrl", "executionUrl"])
async def test_what_is_due_and_does_not_start_is_retry_after_the_wait(serve, of):
    async with serve(**SHORT) as server:
        for stage in (server.execution, server.pull):
            reply = await server.enqueue()
            await stage(reply)
            began = server.clock.now()
            async with socket(server, reply[of] + "ws") as client:
                assert (await client.closed()).end == RETRY
            assert server.clock.now() - began >= 390


@pytest.mark.parametrize("of", ["jobUrl", "executionUrl"])
async def test_a_socket_that_waits_misses_nothing_of_what_starts(server, of):
    reply = await server.enqueue()
    async with socket(server, reply[of] + "ws") as client:
        execution = await server.run(reply)
        await server.append_log(execution, (1, b"first\n"))
        await client.until(lambda got: got.text == "first\n")
        await server.end(execution)
        assert (await client.closed()).end == DONE


@pytest.mark.parametrize("fields", [{}, {"startIn": "1h"}, {"cron": "0 0 1 1 *"}])
async def test_stopped_before_its_start_is_done(server, fields):
    reply = await server.enqueue(**fields)
    assert (await server.post(reply["jobUrl"] + "stop")).status == 200
    async with socket(server, reply["jobUrl"] + "ws?format=json") as client:
        got = await client.closed()
    assert (got.events, got.end) == ([{"event": "end", "status": "stopped", "exitCode": None}], DONE)


async def test_stopped_while_a_socket_waits_is_done(server):
    reply = await server.enqueue()
    async with socket(server, reply["jobUrl"] + "ws") as client:
        await until(lambda: len(server.followers) == 1, "a follower")
        assert (await server.post(reply["jobUrl"] + "stop")).status == 200
        assert (await client.closed()).end == DONE


async def test_a_job_that_is_deleted_is_done(server):
    reply = await server.enqueue()
    async with socket(server, reply["jobUrl"] + "ws") as client:
        await until(lambda: len(server.followers) == 1, "a follower")
        intercept(server.store, "job", answering(None))
        assert (await client.closed()).end == DONE


async def _fail_and_insert_next(server: Fastlane, reply: dict[str, str], *, settle: bool = True) -> tuple[Execution, Execution]:
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"attempt 1\n"))
    failed = await server.end(execution, 1)
    following = next_execution(failed, due=server.clock.now(), now=server.clock.now())
    assert await server.store.insert(following)
    if settle:
        assert await server.store.change(transitions.settle(failed))
    return failed, following


async def test_one_socket_goes_through_all_attempts(server):
    reply = await server.enqueue(retries=1)
    async with socket(server, reply["jobUrl"] + "ws") as plain, socket(server, reply["jobUrl"] + "ws?format=json") as client:
        _, following = await _fail_and_insert_next(server, reply)
        await client.until(lambda got: got.log == "attempt 1\n")
        running = await server.run({"executionId": following.id})
        await server.append_log(running, (2, b"attempt 2\n"))
        await server.end(running)
        got = await client.closed()
        assert (await plain.closed()).text == "attempt 1\nattempt 2\n"
    assert [event.get("event") or event["text"] for event in got.events] == ["attempt 1\n", "attempt", "attempt 2\n", "end"]
    assert got.events[1] == {"event": "attempt", "executionId": following.id, "attempt": 2}
    assert got.events[3] == {"event": "end", "status": "done", "exitCode": 0}
    assert got.end == DONE
    async with socket(server, f"{reply['jobUrl']}ws?from={got.events[0]['cursor']}") as resumed:
        assert (await resumed.closed()).text == "attempt 2\n"
    async with socket(server, reply["executionUrl"] + "ws") as first:
        assert (await first.closed()).text == "attempt 1\n"


async def test_a_failure_that_may_be_retried_is_not_the_end_until_it_is_settled(server):
    reply = await server.enqueue(retries=1)
    execution = await server.run(reply)
    attempt = socket(server, reply["executionUrl"] + "ws")
    async with socket(server, reply["jobUrl"] + "ws") as client:
        await server.append_log(execution, (1, b"x"))
        async with attempt:
            failed = await server.end(execution, 1)
            await client.until(lambda got: got.text == "x")
            assert (await attempt.closed()).text == "x"  # of the attempt it is the end, and of the job it is not
        assert client.received.code is None
        assert await server.store.change(transitions.settle(failed))
        assert (await client.closed()).end == DONE


async def test_a_retry_that_is_stopped_while_it_waits_ends_the_socket(server):
    reply = await server.enqueue(retries=1)
    async with socket(server, reply["jobUrl"] + "ws?format=json") as client:
        _, following = await _fail_and_insert_next(server, reply)
        await client.until(lambda got: got.log == "attempt 1\n")
        assert await server.store.change(transitions.cancel(following, now=server.clock.now()))
        got = await client.closed()
    assert (got.events[-1], got.end) == ({"event": "end", "status": "stopped", "exitCode": None}, DONE)


async def test_a_server_that_ends_takes_no_further_followers(server):
    reply = await server.run_to_end("task", (1, b"x"))
    server.followers.close()
    for path in ("ws", "logs?follow=1"):
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x" * 22 + "=="}
        answer = await server.get(reply["jobUrl"] + path, headers=headers if path == "ws" else {})
        assert (answer.status, "this server ends" in answer.json["detail"]) == (503, True)


async def test_a_server_that_ends_says_retry(serve):
    async with serve() as server:
        reply = await server.enqueue()
        execution = await server.run(reply)
        await server.append_log(execution, (1, b"so far"))
        waiting = await server.enqueue()
        async with socket(server, reply["jobUrl"] + "ws") as client, socket(server, waiting["jobUrl"] + "ws") as other:
            await client.until(lambda got: got.text == "so far")
            await until(lambda: len(server.followers) == 2, "two followers")
            async with asyncio.timeout(4):
                await server.close_server(5)
                assert (await client.closed()).end == RETRY
                assert (await other.closed()).end == RETRY
