"""A client that keeps a connection and sends nothing, or only a part, is hung up on; one that waits for its answer is not."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from fastlane.web import handler, server as http_server
from fastlane.web.http import connection
from tests.support.intercept import Call, intercept
from tests.support.waiting import PATIENCE, until

HEAD = b"POST /tasks/task HTTP/1.1\r\nHost: localhost\r\nContent-Length: 26\r\n\r\n"
BODY = b'{"image": "ubuntu:latest"}'


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Looks after its deadlines all the time."""
    monkeypatch.setattr(connection, "SWEEP_EVERY", 0.02)


async def rest(server, sent: bytes) -> bytes:
    """All that comes until the server hangs up; a reset, when it had not read all, is an end too."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent)
    answer = b""
    with suppress(ConnectionResetError):
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
    await end(writer)
    return answer


async def end(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionResetError):
        await writer.wait_closed()


@pytest.mark.parametrize("sent", [b"", b"GET /livez HTT"])
async def test_a_connection_without_a_request_is_closed(server, monkeypatch, sent):
    monkeypatch.setattr(http_server, "HEADER_DEADLINE", 0.05)
    assert await rest(server, sent) == b""


async def test_a_connection_is_closed_after_its_last_request(server, monkeypatch):
    monkeypatch.setattr(http_server, "HEADER_DEADLINE", 1.0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(HEAD + BODY)
    assert (await reader.readuntil(b"}\n")).startswith(b"HTTP/1.1 200 OK")
    writer.write(HEAD + BODY)
    async with asyncio.timeout(PATIENCE):
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
    await end(writer)


async def test_a_body_that_does_not_come_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(handler, "BODY_DEADLINE", 0.05)
    assert await rest(server, HEAD + BODY[:-1]) == b""


async def test_who_waits_for_an_answer_is_not_hung_up_on(server, monkeypatch):
    monkeypatch.setattr(http_server, "HEADER_DEADLINE", 1.0)
    monkeypatch.setattr(handler, "BODY_DEADLINE", 1.0)
    working, go = asyncio.Event(), asyncio.Event()

    async def slow(call: Call) -> Any:
        working.set()
        await go.wait()
        return await call.carry()

    intercept(server.store, "create", slow)
    waiting = asyncio.create_task(rest(server, HEAD + BODY))
    await asyncio.wait_for(working.wait(), PATIENCE)
    assert await rest(server, b"") == b""  # came later, had as long, and is gone
    go.set()
    assert (await waiting).startswith(b"HTTP/1.1 200 OK")


async def test_nothing_is_kept_of_connections_that_are_gone(server):
    kept = server.context.traffic.deadlines
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await until(lambda: len(kept) == 1, "the connection was not seen")
    await end(writer)
    await until(lambda: len(kept) == 0, "the connection was not forgotten")
