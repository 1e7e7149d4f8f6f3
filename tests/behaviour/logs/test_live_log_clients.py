"""Live logs by WebSocket: handshakes that are refused, and clients that misbehave."""

import asyncio
import gc
import socket as sockets
from functools import partial

import aiohttp
import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.frames import Close

from fastlane.services import assembly
from fastlane.streams.followers import Followers
from fastlane.web.routes.logs import SocketHandler
from tests.support.fastlane import Fastlane
from tests.support.followers import socket
from tests.support.waiting import until

DONE = (1000, "done")


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


async def test_a_cursor_of_another_log_shows_nothing_of_it(server):
    """Its task may be one that the client may not see."""
    own, other = await server.run_to_end("task", (1, b"own")), await server.run_to_end("secret", (1, b"secret"))
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x" * 22 + "=="}
    events = {"Accept": "text/event-stream"}
    for url in (own["jobUrl"], own["executionUrl"]):
        for path, headers in (("ws?", upgrade), ("logs?follow=1&", {}), ("logs?follow=1&", events), ("logs?", events)):
            answer = await server.get(f"{url}{path}from={other['executionId']}:0", headers=headers)
            assert (answer.status, [fault["field"] for fault in answer.json["errors"]]) == (400, ["from"]), path
            assert b"secret" not in answer.body


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


async def test_nothing_is_read_any_more_for_a_client_that_waited_for_a_start_and_went_away(server):
    def polls() -> int:
        return sum(task.get_name() == "shared poll" for task in asyncio.all_tasks())

    reply = await server.enqueue(startIn="5s")
    async with socket(server, reply["jobUrl"] + "ws"), socket(server, reply["jobUrl"] + "ws"):
        await until(lambda: len(server.followers) == 2, "the followers")
        await until(lambda: polls() == 1, "one poll for both")
    await until(lambda: polls() == 0, "the end of the poll")


async def test_nothing_of_a_request_is_kept_while_its_socket_is_open(server):
    """A thousand clients that only listen take the memory of their connections, not that of their requests."""
    reply = await server.enqueue()
    await server.run(reply)
    async with socket(server, reply["jobUrl"] + "ws"):
        await until(lambda: len(server.followers) == 1, "a follower")
        await until(lambda: gc.collect() >= 0 and not handlers(), "the handler has gone")
        assert len(server.context.traffic.active_requests) == 1, "the server waits for it when it ends"
    await until(lambda: len(server.context.traffic.active_requests) == 0, "it is not forgotten")


def handlers() -> list[object]:
    return [one for one in gc.get_objects() if isinstance(one, SocketHandler)]


async def test_a_ping_is_answered_and_a_close_confirmed(server):
    reply = await server.enqueue()
    await server.run(reply)
    url = f"ws://localhost:{server.port}/tasks/task/jobs/{reply['jobId']}/ws"
    async with asyncio.timeout(30), connect(url, proxy=None) as client:
        for _ in range(100):
            await (await client.ping())
        await client.close(4000, "enough")
    assert client.protocol.close_rcvd == Close(4000, "")
    await until(lambda: len(server.followers) == 0, "it is not forgotten")


async def test_a_message_ping_is_answered_in_json_and_ignored_in_text(server):
    """A script in a browser sees no pings of the protocol."""
    reply = await server.enqueue()
    execution = await server.run(reply)
    url = f"ws://localhost:{server.port}/tasks/task/jobs/{reply['jobId']}/ws"
    async with asyncio.timeout(30), connect(f"{url}?format=json", proxy=None) as json, connect(url, proxy=None) as text:
        for client in (json, text):
            await client.send("pong")
            await client.send("ping")
            await (await client.ping())  # the server has read the messages before it answers this
        assert await json.recv() == '{"event":"pong"}'
        await server.append_log(execution, (1, b"later\n"))
        await server.end(execution)
        assert [message async for message in text] == ["later\n"]
        assert ["text" in message async for message in json] == [True, False]  # the log, and its end


async def test_a_peer_may_send_pongs_that_answer_nothing(server):
    """As RFC 6455 lets clients do, to show that they are alive."""
    reply = await server.enqueue()
    execution = await server.run(reply)
    url = f"ws://localhost:{server.port}/tasks/task/jobs/{reply['jobId']}/ws"
    async with asyncio.timeout(30), connect(url, proxy=None) as client:
        await client.pong(b"alive")
        await (await client.ping())  # the server has read the pong before it answers this
        await server.append_log(execution, (1, b"later\n"))
        await server.end(execution)
        assert [message async for message in client] == ["later\n"]
    assert (client.close_code, client.close_reason) == (1000, "done")


async def test_a_peer_that_answers_no_ping_is_dropped(server, monkeypatch):
    monkeypatch.setattr(server.context.traffic.heartbeats, "every", 0.1)
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
