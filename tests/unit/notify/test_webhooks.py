"""The sender alone: names that change their meaning, addresses that are not allowed, and words without the URL."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fastlane.models.notify import read_secret
from fastlane.notify.port import WebhookMessage
from fastlane.notify.webhooks import WebhookSender
from tests.support.receiver import Receiver, receiving

REAL = socket.getaddrinfo


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


def message(url: str) -> WebhookMessage:
    return WebhookMessage("an-id", url, {}, b"{}", (), 1_700_000_000_000)


async def sent(url: str, *allowed: str) -> Any:
    sender = WebhookSender(allowed, 5.0, "9.9")
    try:
        return await sender.send(message(url))
    finally:
        await sender.close()


def naming(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """A name server that gives one answer after another; what it was asked."""
    left, asked = list(answers), []

    def getaddrinfo(host: str, port: int, *more: Any, **named: Any) -> Any:
        if host != "rebinding.example.com":
            return REAL(host, port, *more, **named)
        asked.append(host)
        address = left.pop(0) if len(left) > 1 else left[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("answers", [("127.0.0.1",), ("::1",), ("::ffff:127.0.0.1",), ("192.0.2.7", "127.0.0.1")])
async def test_a_name_that_comes_to_mean_an_internal_address_reaches_nothing(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver, answers: tuple[str, ...]
) -> None:
    naming(monkeypatch, *answers)
    url = f"http://rebinding.example.com:{receiver.port}/x"
    for _ in answers:
        reply = await sent(url)
        assert not reply.is_success
        assert "is not a public address" in reply.error
    assert receiver.received == []


async def test_what_was_checked_is_what_is_connected_to(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    asked = naming(monkeypatch, "127.0.0.1", "127.0.0.2")
    reply = await sent(f"http://rebinding.example.com:{receiver.port}/x", "127.0.0.1")
    assert (reply.status, reply.error) == (200, None)
    assert len(asked) == 1
    assert receiver.received[0].headers["host"] == f"rebinding.example.com:{receiver.port}"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "[::1]", "[::ffff:7f00:1]", "localhost"])
async def test_no_way_to_write_an_internal_address_reaches_it(receiver: Receiver, host: str) -> None:
    reply = await sent(f"http://{host}:{receiver.port}/x")
    assert not reply.is_success
    assert receiver.received == []


async def test_why_there_was_no_answer_does_not_tell_the_url(receiver: Receiver) -> None:
    urls = [
        "http://no-such-name.invalid/secret-path",
        f"https://127.0.0.1:{receiver.port}/secret-path",
        "http://127.0.0.1:1/secret-path",
    ]
    for url in urls:
        reply = await sent(url, "127.0.0.1")
        assert (reply.status, reply.is_success) == (None, False)
        assert reply.error
        assert "secret-path" not in reply.error


async def test_a_receiver_that_ends_the_connection_has_not_answered() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        reply = await sent(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x", "127.0.0.1")
    assert (reply.status, reply.error) == (None, "it closed the connection without an answer")


@pytest.mark.parametrize(
    "text",
    ["", "whsec_", "whsec_short", base64.b64encode(b"x" * 32).decode(), f"whsec_{base64.b64encode(b'x' * 65).decode()}", "whsec_…"],
)
def test_what_is_not_a_secret_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="is not a webhook secret") as refused:
        read_secret(text)
    assert len(text) < 8 or text not in str(refused.value)
