"""Live logs by WebSocket: replay and follow without a joint, each reason to close, slow and many followers."""

import asyncio
import random
import socket as sockets
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

import aiohttp
import psutil
import pytest

from fastlane.models import transitions
from fastlane.models.execution import Ending, Execution, Failure, FailureReason
from fastlane.models.schedule.tick import next_execution
from fastlane.models.status import Status
from fastlane.services import assembly
from fastlane.streams.followers import Followers
from fastlane.web.routes import websocket
from tests.support.fastlane import Fastlane
from tests.support.followers import Lossy, Socket, socket
from tests.support.intercept import Call, answering, intercept, keeping
from tests.support.waiting import until

DONE, RETRY = (1000, "done"), (1000, "retry")
SHORT = {"ws_start_wait": 0.4}


@pytest.fixture
def serve(shared_redis, tmp_path):
    return partial(Fastlane, tmp_path, shared_redis.url)


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
    async with socket(server, reply["jobUrl"] + "ws?format=json") as client:
        ending = Ending(Status.FAILED, server.clock.now(), failure=Failure(FailureReason.IMAGE, "No such image: x"))
        assert await server.store.change(transitions.give_up(pulling, ending))
        got = await client.closed()
    assert (got.events, got.end) == ([{"event": "end", "status": "failed", "exitCode": None}], DONE)


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
            for start in range(0, 4_000, 5):
                await server.append_log(execution, (dice.choice([1, 2]), lines(start, start + 5)))
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


# why a socket is closed


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


# refusals at the handshake


async def test_what_is_not_there_is_a_404_at_the_handshake(server):
    reply = await server.run_to_end("task")
    gone = "00000000-0000-4000-8000-000000000000"
    job = f"/tasks/task/jobs/{reply['jobId']}"
    for path in (f"/tasks/task/jobs/{gone}/ws", f"/tasks/other/jobs/{reply['jobId']}/ws", f"{job}/executions/{gone}/ws"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await socket(server, path).__aenter__()
        assert refused.value.status == 404


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("format=xml", "format"),
        ("stream=both", "stream"),
        ("tail=-1", "tail"),
        ("from=x", "from"),
        ("from={id}:99", "from"),
        ("from=00000000-0000-4000-8000-000000000000:0", "from"),
        ("from={id}:1&tail=1", "tail"),
        ("follow=1", "follow"),
    ],
)
async def test_a_bad_query_is_a_400_that_names_it(server, query, field):
    reply = await server.run_to_end("task", (1, b"12"))
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x" * 22 + "=="}
    answer = await server.get(f"{reply['jobUrl']}ws?{query.format(id=reply['executionId'])}", headers=headers)
    assert (answer.status, [fault["field"] for fault in answer.json["errors"]]) == (400, [field])


async def test_plain_http_is_told_to_upgrade(server):
    reply = await server.run_to_end("task")
    answer = await server.get(reply["jobUrl"] + "ws")
    assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")
    assert "logs?follow=1" in answer.json["detail"]
    assert (await server.post(reply["jobUrl"] + "ws")).status == 405


async def test_a_page_of_another_site_may_not_follow_a_server_on_loopback(server):
    reply = await server.run_to_end("task", (1, b"x"))
    for origin, welcome in (("https://evil.example", False), (f"http://localhost:{server.port}", True), ("http://127.0.0.1:1", True)):
        client = socket(server, reply["jobUrl"] + "ws", origin=origin)
        if welcome:
            async with client:
                assert (await client.closed()).text == "x"
        else:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.__aenter__()
            assert refused.value.status == 403


async def test_beyond_loopback_any_page_may_follow(serve):
    async with serve(listen="0.0.0.0") as server:
        reply = await server.run_to_end("task", (1, b"x"))
        async with socket(server, reply["jobUrl"] + "ws", origin="https://any.example") as client:
            assert (await client.closed()).text == "x"


async def test_too_many_followers_are_told_to_come_later(serve, monkeypatch):
    monkeypatch.setattr(assembly, "Followers", partial(Followers, most=1))
    async with serve() as server:
        reply = await server.enqueue()
        await server.run(reply)
        async with socket(server, reply["jobUrl"] + "ws"):
            await until(lambda: len(server.followers) == 1, "a follower")
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await socket(server, reply["jobUrl"] + "ws").__aenter__()
            assert refused.value.status == 503


# clients that misbehave


async def test_what_a_client_says_is_let_by_and_what_is_too_large_ends_it(server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    async with socket(server, reply["jobUrl"] + "ws") as client:
        for _ in range(100):
            await client.ws.send_str("hello")
        await server.append_log(execution, (1, b"still here"))
        await client.until(lambda got: got.text == "still here")
        await client.ws.send_bytes(b"x" * 100_000)
        got = await client.closed()
    assert got.code in (1009, 1006)
    await until(lambda: len(server.followers) == 0, "it is not forgotten")


async def test_who_goes_away_is_forgotten(server):
    reply = await server.enqueue()
    await server.run(reply)
    for path in ("ws", "logs?follow=1"):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA==\r\n"
        url = f"/tasks/task/jobs/{reply['jobId']}/{path}"
        writer.write(f"GET {url} HTTP/1.1\r\nHost: localhost\r\n{head if path == 'ws' else ''}\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await until(lambda: len(server.followers) == 1, "a follower")
        writer.transport.abort()
        await until(lambda: len(server.followers) == 0, "it is not forgotten")


async def test_a_peer_that_answers_no_ping_is_dropped(server, monkeypatch):
    monkeypatch.setattr(websocket, "PING_EVERY", 0.1)
    reply = await server.enqueue()
    await server.run(reply)
    dead = _hang(server, reply)
    try:
        await until(lambda: len(server.followers) == 1, "a follower")
        await until(lambda: len(server.followers) == 0, "it is not dropped")
    finally:
        dead.close()


def _hang(server: Fastlane, reply: dict[str, str]) -> sockets.socket:
    """A follower that takes nothing."""
    hanging = sockets.socket()
    hanging.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
    hanging.connect(("127.0.0.1", server.port))
    head = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA==\r\n"
    hanging.sendall(f"GET /tasks/task/jobs/{reply['jobId']}/ws HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode())
    return hanging


async def test_a_slow_follower_is_cut_and_costs_others_and_memory_nothing(serve, monkeypatch):
    monkeypatch.setattr(assembly, "Followers", partial(Followers, slow_after=1.0))
    async with serve() as server:
        reply = await server.enqueue()
        execution = await server.run(reply)
        slow = [_hang(server, reply) for _ in range(20)]
        try:
            async with socket(server, reply["jobUrl"] + "ws") as client:
                await until(lambda: len(server.followers) == 21, "the followers")
                before = psutil.Process().memory_info().rss
                for _ in range(200):
                    await server.append_log(execution, (1, b"x" * 99_999 + b"\n"))
                await server.end(execution)
                got = await client.closed()
            assert (len(got.text), got.end) == (20_000_000, DONE)
            del got
            await until(lambda: len(server.followers) == 0, "the slow ones are not cut")
            assert psutil.Process().memory_info().rss - before < 150 * 1024 * 1024, "20 times the log would be 400 MB"
        finally:
            for hanging in slow:
                hanging.close()
