"""Live logs by WebSocket: replay and follow without a joint, also under load."""

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

import aiohttp
import pytest

from fastlane.models import transitions
from fastlane.models.job import Ending, Failure
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.models.tick import next_execution
from tests.support.followers import Lossy, Socket, socket
from tests.support.intercept import Call, intercept, keeping
from tests.support.waiting import until

DONE = (1000, "done")


def lines(first: int, last: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(first, last))


# the way through


@pytest.mark.parametrize("path", ["/tasks/task/jobs/{}/ws", "/task/task/jobs/{}/ws/", "//tasks//task/jobs/{}//ws//"])
async def test_a_socket_replays_follows_and_says_done_when_the_end_can_be_read(server, path):
    reply = await server.enqueue()
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"one\n"), (2, b"two\n"))
    async with socket(server, path.format(reply["jobId"])) as client:
        await client.until(lambda got: got.text == "one\ntwo\n")
        await server.append_log(execution, (1, "drei ä\n".encode()))
        await client.until(lambda got: got.text.endswith("ä\n"))
        await server.append_log(execution, (2, b"four"))
        await server.end(execution, 3)
        got = await client.closed()
        answer = await server.get(reply["jobUrl"] + "stdout")
    assert (got.text, got.end) == ("one\ntwo\ndrei ä\nfour", DONE)
    assert answer.headers["Fastlane-Exit-Code"] == "3"


async def test_a_socket_of_an_execution_follows_that_one(server):
    first = await server.run_to_end("task", (1, b"first\n"), code=1)
    again = replace(next_execution(await server.execution(first), due=1, now=1), sequence=9)
    assert await server.store.insert(again)
    running = await server.run({"executionId": again.id})
    await server.append_log(running, (1, b"second\n"))
    await server.end(running)
    for url, text in ((first["executionUrl"], "first\n"), (first["jobUrl"], "second\n")):
        async with socket(server, url + "ws") as client:
            got = await client.closed()
        assert (got.text, got.end) == (text, DONE)


async def test_a_socket_that_comes_after_the_end_gets_all_and_done(server):
    reply = await server.run_to_end("task", (1, lines(0, 50_000)), (2, b"\xff\xfe"))
    async with socket(server, reply["jobUrl"] + "ws") as client:
        got = await client.closed()
    assert got.text == lines(0, 50_000).decode() + "\ufffd\ufffd"
    assert got.end == DONE
    assert max(len(message) for message in got.messages) <= 64 * 1024


async def test_an_image_that_cannot_be_had_is_done(server):
    reply = await server.enqueue()
    pulling = await server.pull(reply)
    async with socket(server, reply["jobUrl"] + "ws?format=json") as client, socket(server, reply["jobUrl"] + "ws") as plain:
        ending = Ending(Status.FAILED, server.clock.now(), failure=Failure(FailureReason.IMAGE, "No such image: x"))
        assert await server.store.change(transitions.give_up(pulling, ending))
        got = await client.closed()
        text = await plain.closed()
    failure = {"event": "failure", "reason": "image", "message": "No such image: x"}
    assert (got.events, got.end) == ([failure, {"event": "end", "status": "failed", "exitCode": None}], DONE)
    assert (text.text, text.end) == ("No such image: x\n", DONE)


# JSON, cursors, streams


async def test_json_tells_stream_time_and_cursor_and_ends_with_the_exit_code(server):
    reply = await server.run_to_end("task", (1, b"out\n"), (2, b"err\n"), code=4)
    async with socket(server, reply["jobUrl"] + "ws?format=json") as client:
        got = await client.closed()
    id = reply["executionId"]
    assert got.events == [
        {"cursor": f"{id}:4", "stream": "stdout", "time": "2023-11-14T22:13:20.000Z", "text": "out\n"},
        {"cursor": f"{id}:8", "stream": "stderr", "time": "2023-11-14T22:13:20.000Z", "text": "err\n"},
        {"event": "end", "status": "failed", "exitCode": 4},
    ]


async def test_reconnecting_after_any_message_loses_nothing_and_repeats_nothing(server):
    """Both streams carry characters that are cut at the ends of pieces, one inside the other."""
    dice = random.Random(7)
    reply = await server.enqueue()
    execution = await server.run(reply)
    text = {stream: "".join(dice.choice("aäß€😀\n") for _ in range(400)) for stream in (1, 2)}
    left = {stream: words.encode() + (b"\xf0\x9f" if stream == 2 else b"") for stream, words in text.items()}
    while any(left.values()):
        stream = dice.choice([stream for stream in left if left[stream]])
        size = dice.randint(1, 5)
        await server.append_log(execution, (stream, left[stream][:size]))
        left[stream] = left[stream][size:]
    await server.end(execution)
    for _ in range(12):
        events: list[dict[str, str]] = []
        query = ""
        while not events or events[-1].get("event") != "end":
            async with socket(server, reply["jobUrl"] + "ws?format=json" + query) as client:
                wanted = dice.randint(1, 200)
                got = await client.until(lambda got, wanted=wanted: len(got.messages) >= wanted or got.reason is not None)
                events += got.events[:wanted]
            query = f"&from={events[-1].get('cursor')}"
        for stream, name in ((1, "stdout"), (2, "stderr")):
            expected = text[stream] + ("\ufffd" if stream == 2 else "")
            assert "".join(event["text"] for event in events if event.get("stream") == name) == expected


async def test_one_stream_alone(server):
    reply = await server.run_to_end("task", (1, b"a\n"), (2, b"b\n"), (1, b"c\n"))
    for stream, text in (("stdout", "a\nc\n"), ("stderr", "b\n")):
        async with socket(server, f"{reply['jobUrl']}ws?stream={stream}") as client:
            got = await client.closed()
        assert (got.text, got.end) == (text, DONE)


@pytest.mark.parametrize(("query", "text"), [("tail=2", "b2\na3"), ("tail=9", "a1\nb1\nb2\na3"), ("tail=1&stream=stderr", "b2\n")])
async def test_the_last_lines_and_what_follows(server, query, text):
    reply = await server.enqueue()
    execution = await server.run(reply)
    for part in ((1, b"a1\n"), (2, b"b1\nb"), (2, b"2\n"), (1, b"a3")):
        await server.append_log(execution, part)
    async with socket(server, f"{reply['jobUrl']}ws?{query}") as client:
        await client.until(lambda got: got.text == text)
        await server.append_log(execution, (2, b"more"))
        await server.end(execution)
        assert (await client.closed()).text == text + "more"


async def test_the_last_lines_of_a_long_log(server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    for start in range(0, 60_000, 5_000):
        await server.append_log(execution, (1, lines(start, start + 5_000)), (2, b"noise"))
    await server.end(execution)
    async with socket(server, reply["jobUrl"] + "ws?tail=40000&stream=stdout") as client:
        assert (await client.closed()).text == lines(20_000, 60_000).decode()


# the joint, under load


@pytest.mark.parametrize("lost", [None, 10, 1], ids=["all hints", "every tenth lost", "no hints"])
async def test_whoever_joins_a_log_that_grows_gets_each_byte_once(serve, lost):
    async with serve(hub=(lambda hub: hub) if lost is None else partial(Lossy, nth=lost)) as server:
        dice = random.Random(lost or 0)
        reply = await server.enqueue()
        execution = await server.run(reply)
        written = 0

        async def write() -> None:
            nonlocal written
            for start in range(0, 4_000, 20):
                await server.append_log(execution, (dice.choice([1, 2]), lines(start, start + 20)))
                written = start
            await server.end(execution)

        async def follow(number: int) -> tuple[str, tuple[int | None, str | None]]:
            await until(lambda: written >= number * 130, "the log to grow")
            async with socket(server, reply["jobUrl"] + "ws") as client:
                got = await client.closed()
            return got.text, got.end

        writing = asyncio.create_task(write())
        results = await asyncio.gather(*map(follow, range(30)))
        await writing
        expected = lines(0, 4_000).decode()
        assert all(result == (expected, DONE) for result in results), [len(text) for text, _ in results]


async def test_two_hundred_followers_get_the_same_and_the_store_is_read_once_for_all(server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    await server.append_log(execution, (1, lines(0, 1_000)))
    reads: list[Call] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session, AsyncExitStack() as stack:
        made = [stack.enter_async_context(Socket(session, reply["jobUrl"] + "ws")) for _ in range(200)]
        clients = [await client for client in made]
        for client in clients:
            await client.until(lambda got: len(got.text) == len(lines(0, 1_000)))
        intercept(server.store, "read_log", keeping(reads))
        for start in range(1_000, 3_000, 100):
            await server.append_log(execution, (1, lines(start, start + 100)))
            await clients[0].until(lambda got, end=start + 100: len(got.text) >= len(lines(0, end)))
        await server.end(execution)
        results = [await client.closed() for client in clients]
    assert {got.text for got in results} == {lines(0, 3_000).decode()}
    assert {got.end for got in results} == {DONE}
    assert len(reads) < 150
    await until(lambda: len(server.followers) == 0, "the followers are not forgotten")
