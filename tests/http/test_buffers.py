"""What connections may hold without a login: heads that never end, bodies that are half sent, and answers that nobody takes."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from tornado.iostream import IOStream

from fastlane.web import server as web_server
from fastlane.web.http import connection
from fastlane.web.http.connection import BodyMemory, Buffers
from tests.http.test_attacks import OK, calm
from tests.http.test_room import Client, limit_sending
from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis
from tests.support.waiting import until

HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: "
MIB = 1024 * 1024


async def opened(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def test_a_head_that_does_not_end_is_hung_up_on_soon_and_an_idle_connection_is_not(
    server: Fastlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SWEEP_EVERY", 0.1)
    monkeypatch.setattr(connection, "HEAD_WITHIN", 0.2)
    idle = Client(server.port)
    assert await asyncio.to_thread(idle.ask)
    reader, writer = await opened(server.port)
    writer.write(HEAD)
    async with asyncio.timeout(60):
        with suppress(ConnectionError):
            assert await reader.read() == b""
    assert await asyncio.to_thread(idle.ask)
    idle.close()
    writer.close()


async def test_heads_that_do_not_end_hold_no_more_memory_than_is_allowed(server: Fastlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_BUFFERED", MIB)
    buffers = server.context.traffic.buffers
    connections = [await opened(server.port) for _ in range(40)]
    for _, writer in connections:
        with suppress(ConnectionError):
            writer.write(HEAD + b"a" * 100_000)
            await writer.drain()
    closed = lambda: sum(reader.at_eof() or reader.exception() is not None for reader, _ in connections)  # noqa: E731
    await until(lambda: closed() >= 40 - 1 - MIB // 100_000, lambda: f"{closed()} connections were closed")
    assert buffers.held <= MIB
    await calm(server)
    for _, writer in connections:
        writer.transport.abort()
    await until(lambda: buffers.held == 0, lambda: f"{buffers.held} bytes of dead connections still count")


async def test_answers_that_nobody_takes_hold_no_more_memory_than_is_allowed(server: Fastlane, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(9):
        await server.enqueue("large", command=["x" * 100_000] * 2)
    path = "/tasks/large/?perPage=1000"
    size = len((await server.get(path, headers={"Accept-Encoding": "identity"})).body)
    assert size > 1_500_000
    monkeypatch.setattr(connection, "MAX_BUFFERED", 2 * size)
    limit_sending(server)
    buffers = server.context.traffic.buffers
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(12):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.connect(("127.0.0.1", server.port))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            clients.append(client)
        await until(lambda: buffers.held > size / 2, "no answer was held")
        await calm(server)
        assert buffers.held <= 2 * size
    await until(lambda: buffers.held == 0, lambda: f"{buffers.held} bytes of dead connections still count")


async def test_the_owner_of_most_of_it_loses_connections_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_BUFFERED", 100_000)
    buffers, ends = Buffers(), []
    streams = []
    for owner in ("greedy", "greedy", "greedy", "modest", None):
        here, there = socket.socketpair()
        ends.append(there)
        stream = IOStream(here)
        buffers.watch(stream, owner)
        streams.append(stream)
    for stream, size in zip(streams, (30_000, 20_000, 20_000, 25_000, 35_000), strict=True):
        buffers.count(stream, size)
    assert [stream.closed() for stream in streams] == [True, False, False, False, False]
    assert buffers.held == 100_000
    for end in ends:
        end.close()
    for stream in streams:
        stream.close()
    assert buffers.held == 0


@pytest.fixture
async def proxied(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    async with Fastlane(tmp_path, shared_redis.url, trusted_proxies=("127.0.0.1",)) as server:
        yield server


async def test_half_sent_bodies_of_one_client_leave_room_for_the_bodies_of_others(
    proxied: Fastlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_MEMORY", 8 * MIB)
    memory = proxied.context.traffic.body_memory
    head = b"POST /tasks/t HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.1.1.1\r\nContent-Length: 1048576\r\n\r\n"
    writers = []
    for _ in range(12):
        _, writer = await opened(proxied.port)
        writer.write(head + b" " * 1_000_000)
        await writer.drain()
        writers.append(writer)
    await until(lambda: memory.used > 3_000_000, "the bodies never came in")
    body = b" " * 900_000 + json.dumps(OK).encode()
    assert (await proxied.post("/tasks/task", body, headers={"X-Forwarded-For": "10.2.2.2"})).status == 200
    assert (await proxied.post("/tasks/task", body, headers={"X-Forwarded-For": "10.1.1.1"})).status == 503
    for writer in writers:
        writer.transport.abort()
    await until(lambda: memory.used == 0, "the memory of dead connections was never released")


def test_an_owner_has_at_most_as_much_as_is_left_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_MEMORY", 100)
    memory = BodyMemory()
    assert memory.reserve(50, "a")
    assert not memory.reserve(1, "a")
    assert memory.reserve(25, "b")
    assert not memory.reserve(1, "b")
    assert memory.reserve(25)
    assert not memory.reserve(1)
    memory.release(50, "a")
    assert memory.reserve(25, "c")


async def test_a_request_with_very_many_headers_is_refused(server: Fastlane) -> None:
    answer = await server.get("/livez", headers={f"X-{number}": "1" for number in range(101)})
    assert (answer.status, "headers" in answer.json["detail"]) == (431, True)
    assert (await server.get("/livez", headers={f"X-{number}": "1" for number in range(60)})).status == 200


async def test_the_port_of_metrics_has_a_limit_of_connections_too(
    shared_redis: RealRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_server, "METRICS_CONNECTIONS", 5)
    async with Fastlane(tmp_path, shared_redis.url, metrics_port=0) as server, AsyncExitStack() as stack:
        port = server.api.metrics_port
        idle = [await opened(port) for _ in range(20)]
        for _, writer in idle:
            stack.callback(writer.transport.abort)
        assert (await server.get(f"http://127.0.0.1:{port}/metrics")).status == 200
        closed = lambda: sum(reader.at_eof() or reader.exception() is not None for reader, _ in idle)  # noqa: E731
        await until(lambda: closed() >= 15, lambda: f"only {closed()} of 20 idle connections were closed")
