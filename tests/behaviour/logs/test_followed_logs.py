"""``logs?follow=1``: chunked text that ends with the job, and server-sent events that a browser resumes."""

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest

from fastlane.clock import iso
from fastlane.models import transitions
from fastlane.models.job import Ending, Failure
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.models.tick import next_execution
from tests.support.waiting import until

EVENTS = {"Accept": "text/event-stream"}


@asynccontextmanager
async def following(server, url, **options):
    """The answer whose body is not read yet."""
    async with asyncio.timeout(30), server.client.get(url, **options) as answer:
        yield answer


def events_of(body: bytes) -> list[dict[str, str]]:
    """The server-sent events, each with its fields; comments and the word when to come again are left out."""
    blocks = [block.splitlines() for block in body.decode().split("\n\n") if block]
    events = [dict(line.split(": ", 1) for line in block if not line.startswith(":")) for block in blocks]
    return [event for event in events if "event" in event]


@pytest.mark.parametrize("query", ["logs?follow=1", "logs?follow=1&interleaved=1"])
@pytest.mark.parametrize("of", ["jobUrl", "executionUrl"])
async def test_text_comes_as_it_is_written_byte_for_byte_and_ends_with_the_job(server, of, query):
    reply = await server.enqueue()
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"one\n"), (2, b"\xfftwo\n"))
    async with following(server, reply[of] + query) as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
        assert answer.headers["Fastlane-Execution-Id"] == execution.id
        assert await answer.content.readexactly(9) == b"one\n\xfftwo\n"
        await server.append_log(execution, (1, "ä".encode()[:1]))
        assert await answer.content.readexactly(1) == b"\xc3"
        await server.end(execution)
        assert await answer.content.read() == b""


async def test_text_waits_for_a_start_and_goes_through_all_attempts(server):
    reply = await server.enqueue(retries=1)
    first = asyncio.get_running_loop().create_future()

    async def read():
        async with following(server, reply["jobUrl"] + "logs?follow=1") as answer:
            first.set_result(await answer.content.readexactly(6))
            return await answer.content.read()

    reading = asyncio.create_task(read())
    await until(lambda: len(server.followers) == 1, "a follower")
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"first\n"))
    assert await first == b"first\n"
    failed = await server.end(execution, 1)
    following_one = next_execution(failed, due=1, now=server.clock.now())
    assert await server.store.insert(following_one)
    assert await server.store.change(transitions.settle(failed))
    running = await server.run({"executionId": following_one.id})
    await server.append_log(running, (1, b"second\n"))
    await server.end(running)
    assert await reading == b"second\n"


async def test_what_does_not_start_is_waited_for_and_then_a_404_that_says_when_it_is_due(serve):
    async with serve(ws_start_wait=0.4) as server:
        for reply in (await server.enqueue(), await server.enqueue(startAt=4_000_000_000)):
            began = server.clock.now()
            answer = await server.get(reply["jobUrl"] + "logs?follow=1")
            assert server.clock.now() - began >= 390
            assert (answer.status, "nothing of it has started" in answer.json["detail"]) == (404, True)
        assert f"it is due at {iso(4_000_000_000_000)}" in answer.json["detail"]
        assert (await server.get(reply["jobUrl"] + "stdout")).json == answer.json


async def test_what_is_due_later_and_is_run_by_hand_meanwhile_is_followed(server):
    reply = await server.enqueue(startIn="1h")
    reading = asyncio.create_task(server.get(reply["jobUrl"] + "logs?follow=1"))
    await until(lambda: len(server.followers) == 1, "a follower")
    execution = await server.run((await server.post(reply["jobUrl"] + "run")).json)
    await server.append_log(execution, (1, b"by hand"))
    await server.end(execution)
    assert (await reading).body == b"by hand"


@pytest.mark.parametrize("scheduled", [{}, {"cron": "0 0 1 1 *"}])
async def test_what_was_stopped_before_its_start_is_a_404_as_without_following(server, scheduled):
    reply = await server.enqueue(**scheduled)
    assert (await server.post(reply["jobUrl"] + "stop")).status == 200
    for url in [reply["jobUrl"], *([] if scheduled else [reply["executionUrl"]])]:
        answer = await server.get(url + "logs?follow=1")
        assert (answer.status, answer.json) == (404, (await server.get(url + "stdout")).json)


@pytest.mark.parametrize("of", ["jobUrl", "executionUrl"])
async def test_what_failed_and_wrote_nothing_ends_with_the_words_of_its_failure(server, of):
    """Without the values of secrets, which an engine may quote."""
    never = await server.enqueue(envs={"A_TOKEN": "hush-hush"})
    ending = Ending(Status.FAILED, server.clock.now(), failure=Failure(FailureReason.IMAGE, "no such image: hush-hush"))
    assert await server.store.change(transitions.give_up(await server.pull(never), ending))
    mute = await server.run_to_end("task", code=3)
    for reply, reason, words in ((never, "image", "no such image: ********"), (mute, "exit", "exit code 3")):
        url = reply[of] + "logs?follow=1"
        text = await server.get(url)
        assert (text.status, text.body, text.headers["Fastlane-Execution-Id"]) == (200, words.encode() + b"\n", reply["executionId"])
        failure, end = events_of((await server.get(url, headers=EVENTS)).body)
        assert (failure["event"], json.loads(failure["data"])) == ("failure", {"event": "failure", "reason": reason, "message": words})
        assert end["event"] == "end"


async def test_a_text_that_has_a_log_stays_byte_for_byte(server):
    """The last of two attempts wrote nothing, and failed: that is an event, and no part of the text."""
    reply = await server.run_to_end("task", (1, b"x"), code=1)
    following_one = next_execution(await server.execution(reply), due=1, now=server.clock.now())
    assert await server.store.insert(following_one)
    await server.end(await server.run({"executionId": following_one.id}), 2)
    url = f"{reply['jobUrl']}logs?follow=1&from={reply['executionId']}:0"
    assert (await server.get(url)).body == b"x"
    events = events_of((await server.get(url, headers=EVENTS)).body)
    assert [event["event"] for event in events] == ["log", "attempt", "failure", "end"]
    assert (await server.get(reply["executionUrl"] + "logs?follow=1")).body == b"x"


async def test_what_starts_just_when_the_wait_for_it_is_over_is_followed(serve):
    async with serve(ws_start_wait=0.2) as server:
        reply = await server.enqueue()
        logs = server.services.logs
        of_job = logs.of_job

        async def started_meanwhile(*names: str):
            logs.of_job = of_job
            execution = await server.run(reply)
            await server.append_log(execution, (1, b"late"))
            await server.end(execution)
            return await of_job(*names)

        logs.of_job = started_meanwhile
        answer = await server.get(reply["jobUrl"] + "logs?follow=1")
        assert (answer.status, answer.body) == (200, b"late")
        assert logs.of_job == of_job


async def test_a_server_that_ends_cuts_text_so_that_it_is_not_taken_for_the_end(serve):
    async with serve() as server:
        reply = await server.enqueue()
        execution = await server.run(reply)
        await server.append_log(execution, (1, b"so far"))
        async with following(server, reply["jobUrl"] + "logs?follow=1") as answer:
            assert await answer.content.readexactly(6) == b"so far"
            await server.close_server(5)
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.content.read()


@pytest.mark.parametrize(
    "query", ["logs?tail=x", "logs?from=x", "logs?stream=stdout&follow=0", "logs?follow=yes", "logs?follow=1&stream=x"]
)
async def test_a_query_that_means_nothing_is_refused(server, query):
    reply = await server.run_to_end("task", (1, b"x"))
    assert (await server.get(reply["jobUrl"] + query)).status == 400


async def test_part_of_a_log_is_followed_as_text(server):
    reply = await server.run_to_end("task", (1, b"a\n"), (2, b"b\n"), (1, b"c\n"))
    assert (await server.get(reply["jobUrl"] + "logs?follow=1&stream=stdout")).body == b"a\nc\n"
    assert (await server.get(reply["jobUrl"] + "logs?follow=1&tail=2")).body == b"b\nc\n"
    assert (await server.get(f"{reply['jobUrl']}logs?follow=1&from={reply['executionId']}:2")).body == b"b\nc\n"


async def test_head_of_a_followed_log_does_not_wait(server):
    reply = await server.enqueue()
    answer = await server.ask("HEAD", reply["jobUrl"] + "logs?follow=1", headers=EVENTS)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
    assert "Content-Length" not in answer.headers


# server-sent events


async def test_events_carry_the_cursor_and_the_last_one_the_exit_code(server):
    reply = await server.run_to_end("task", (1, b"out\nput\n"), (2, b"err\n"), code=2)
    answer = await server.get(reply["jobUrl"] + "logs?follow=1", headers=EVENTS)
    id = reply["executionId"]
    first, second, last = events_of(answer.body)
    assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == ("text/event-stream", "no-store")
    assert (first["event"], first["id"]) == ("log", f"{id}:8")
    expected = {"cursor": f"{id}:8", "stream": "stdout", "time": "2023-11-14T22:13:20.000Z", "text": "out\nput\n"}
    assert json.loads(first["data"]) == expected
    assert json.loads(second["data"])["text"] == "err\n"
    assert (last["event"], json.loads(last["data"])) == ("end", {"event": "end", "status": "failed", "exitCode": 2})


async def test_a_reconnection_resumes_after_the_last_event_and_after_the_end_is_a_204(server):
    reply = await server.run_to_end("task", (1, b"one\n"), (1, b"two\n"), (1, b"three\n"))
    url = reply["jobUrl"] + "logs?follow=1"
    events = events_of((await server.get(url, headers=EVENTS)).body)
    for place, event in enumerate(events[:-1], 1):
        again = await server.get(url, headers=EVENTS | {"Last-Event-ID": event["id"]})
        assert events_of(again.body) == events[place:]
    ended = await server.get(url, headers=EVENTS | {"Last-Event-ID": events[-1]["id"]})
    assert (ended.status, ended.body) == (204, b"")
    assert (await server.get(url, headers=EVENTS | {"Last-Event-ID": "nonsense"})).status == 400


async def test_a_job_that_never_ran_ends_its_event_stream_once_and_for_all(server):
    reply = await server.enqueue(startIn="1h")
    await server.post(reply["jobUrl"] + "stop")
    url = reply["jobUrl"] + "logs?follow=1"
    (event,) = events_of((await server.get(url, headers=EVENTS)).body)
    assert json.loads(event["data"]) == {"event": "end", "status": "stopped", "exitCode": None}
    assert (await server.get(url, headers=EVENTS | {"Last-Event-ID": event["id"]})).status == 204


async def test_an_event_stream_tells_of_the_next_attempt(server):
    reply = await server.run_to_end("task", (1, b"x"), code=1)
    following_one = next_execution(await server.execution(reply), due=1, now=server.clock.now())
    assert await server.store.insert(following_one)
    await server.end(await server.run({"executionId": following_one.id}))
    url = f"{reply['jobUrl']}logs?follow=1&from={reply['executionId']}:0"
    events = events_of((await server.get(url, headers=EVENTS)).body)
    assert [event["event"] for event in events] == ["log", "attempt", "end"]
    assert json.loads(events[1]["data"]) == {"event": "attempt", "executionId": following_one.id, "attempt": 2}


async def test_an_event_stream_that_cannot_go_on_ends_without_its_last_event(serve):
    async with serve(ws_start_wait=0.2) as server:
        later = await server.enqueue(startIn="1h")
        answer = await server.get(later["jobUrl"] + "logs?follow=1", headers=EVENTS)
        assert (answer.status, answer.body) == (200, b"retry: 5000\n\n")
        running = await server.enqueue()
        execution = await server.run(running)
        await server.append_log(execution, (1, b"so far"))
        async with following(server, running["jobUrl"] + "logs?follow=1", headers=EVENTS) as answer:
            assert b"so far" in await answer.content.readuntil(b"}\n\n")
            await server.close_server(5)
            assert await answer.content.read() == b""


async def test_a_quiet_event_stream_has_comments(server, monkeypatch):
    monkeypatch.setattr(server.context.traffic.heartbeats, "every", 0.05)
    reply = await server.enqueue()
    await server.run(reply)
    async with following(server, reply["jobUrl"] + "logs?follow=1", headers=EVENTS) as answer:
        await answer.content.readuntil(b"retry: 5000\n\n")
        assert await answer.content.readuntil(b":\n\n") == b":\n\n"
