"""A client that keeps a connection and sends nothing, or only a part, is hung up on; one that waits for its answer is not."""

import asyncio

import pytest

from fastlane.web import deadlines, handler
from tests.support.redis import until

PATIENCE = 20.0
HEAD = b"POST /tasks/task HTTP/1.1\r\nHost: localhost\r\nContent-Length: 26\r\n\r\n"
BODY = b'{"image": "ubuntu:latest"}'


@pytest.fixture
def hasty(monkeypatch):
    """Deadlines that are over at once, looked after all the time."""
    monkeypatch.setattr(deadlines, "LOOK", 0.02)
    monkeypatch.setattr(deadlines, "IDLE", 0.05)
    monkeypatch.setattr(handler, "BODY_DEADLINE", 0.05)


async def rest(server, *parts: bytes) -> bytes:
    """All that comes until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"".join(parts))
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("sent", [b"", b"GET /livez HTT"])
async def test_a_connection_without_a_request_is_closed(server, hasty, sent):
    assert await rest(server, sent) == b""


async def test_a_connection_is_closed_after_its_last_request(server, hasty):
    answers = await rest(server, HEAD + BODY, HEAD + BODY)
    assert answers.count(b"HTTP/1.1 200 OK") == 2


async def test_a_body_that_does_not_come_is_not_waited_for(server, hasty, monkeypatch):
    monkeypatch.setattr(deadlines, "IDLE", 300.0)
    assert await rest(server, HEAD + BODY[:-1]) == b""


async def test_who_waits_for_an_answer_is_not_hung_up_on(server, hasty):
    looks = 0
    look, create = server.app.settings["context"].deadlines._look, server.store.create
    go = asyncio.Event()

    def counted() -> None:
        nonlocal looks
        looks += 1
        look()

    async def slow(*args):
        await go.wait()
        return await create(*args)

    server.app.settings["context"].deadlines._look = counted
    server.store.create = slow
    waiting = asyncio.create_task(rest(server, HEAD + BODY))
    silent = asyncio.create_task(rest(server))
    await until(lambda: silent.done() and looks > 2, "the one that sent nothing was never closed")
    go.set()
    assert (await waiting).startswith(b"HTTP/1.1 200 OK")


async def test_nothing_is_kept_of_connections_that_are_gone(server):
    kept = server.app.settings["context"].deadlines
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await until(lambda: len(kept) == 1, "the connection was not seen")
    writer.close()
    await writer.wait_closed()
    await until(lambda: len(kept) == 0, "the connection was not forgotten")
