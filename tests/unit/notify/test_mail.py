"""The sender of mail alone, against a real server over TLS, and against servers that stall, drip, refuse and lie."""

import asyncio
import time
from pathlib import Path

import pytest

from fastlane.models.delivery import Reply
from fastlane.notify.mail import MailServer, SmtpSender
from fastlane.notify.port import MailMessage
from tests.support.certificates import make_certificate
from tests.support.mail_server import LOGIN, mail_server, talking

MESSAGE = MailMessage(
    "00000000-0000-8000-8000-000000000001",
    "00000000-0000-7000-8000-000000000002",
    "Team@example.com",
    "[fastlane] größe: failed",
    "größe\n.\n..\nend\n",
    "<p>größe</p>",
    1_700_000_000_000,
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("mail"), "localhost")


async def sent(port: int, tls: str = "none", *, message: MailMessage = MESSAGE, deadline: float = 10.0, **server: object) -> Reply:
    return await SmtpSender(MailServer("localhost", port, tls, "fastlane@example.org", **server), deadline).send(message)  # type: ignore[arg-type]


@pytest.mark.parametrize("tls", ["starttls", "tls", "none"])
async def test_a_mail_arrives_whole_by_each_kind_of_connection(certificate: tuple[Path, Path], tls: str) -> None:
    login = {"user": LOGIN[0], "password": LOGIN[1]} if tls == "starttls" else {}
    async with mail_server(tls, None if tls == "none" else certificate, login=bool(login)) as server:
        reply = await sent(server.port, tls, ca=certificate[0], **login)
        assert reply == Reply(250, None, "kept as 17"), reply
        (received,) = await server.got()
    assert (received.sender, received.to, received.was_encrypted) == ("fastlane@example.org", "Team@example.com", tls != "none")
    assert server.logins == ([LOGIN] if login else [])
    assert received.text.replace("\r\n", "\n") == MESSAGE.text
    assert received.html.strip() == MESSAGE.html
    headers = {name: str(received.mail[name]) for name in ("From", "To", "Subject", "Message-ID", "References", "Auto-Submitted", "Date")}
    assert headers == {
        "From": "fastlane@example.org",
        "To": "Team@example.com",
        "Subject": MESSAGE.subject,
        "Message-ID": f"<{MESSAGE.id}@example.org>",
        "References": f"<{MESSAGE.thread}@example.org>",
        "Auto-Submitted": "auto-generated",
        "Date": "Tue, 14 Nov 2023 22:13:20 +0000",
    }


async def test_a_certificate_that_nobody_vouches_for_or_of_another_name_gets_no_mail(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    other = make_certificate(tmp_path, "elsewhere.example.com")
    for tls in ("starttls", "tls"):
        for shown, ca in ((certificate, None), (certificate, other[0]), (other, other[0])):
            async with mail_server(tls, shown) as server:
                reply = await sent(server.port, tls, ca=ca, user="u", password="hidden-word")
                assert "TLS with the mail server failed" in (reply.error or "")
                assert not reply.is_final
                assert "hidden-word" not in repr(reply)
                assert server.received == server.logins == []


async def test_a_server_that_does_not_offer_tls_gets_no_mail_and_no_password(certificate: tuple[Path, Path]) -> None:
    async with mail_server() as server:
        reply = await sent(server.port, "starttls", user="u", password="hidden-word", ca=certificate[0])
    assert reply.error == "the mail could not be sent: SMTP STARTTLS extension not supported by server."
    assert server.received == server.logins == []


async def test_a_refused_login_may_be_mended_and_is_tried_again(certificate: tuple[Path, Path]) -> None:
    async with mail_server("starttls", certificate, login=True) as server:
        reply = await sent(server.port, "starttls", user=LOGIN[0], password="not-this-one", ca=certificate[0])
    assert (reply.status, reply.is_final) == (535, False)
    assert "the mail server refused the login (535)" in (reply.error or "")
    assert "not-this-one" not in repr(reply)


@pytest.mark.parametrize(
    ("command", "answer", "status", "is_final", "words"),
    [
        ("RCPT", "550 no such user", 550, True, "refused the address"),
        ("RCPT", "450 greylisted", 450, False, "refused the address"),
        ("DATA", "554 it is spam", 554, True, "refused it"),
        ("DATA", "451 disk is full", 451, False, "refused it"),
    ],
)
async def test_a_5xx_is_final_and_a_4xx_is_not(command: str, answer: str, status: int, is_final: bool, words: str) -> None:
    async with mail_server() as server:
        server.answer(command, answer)
        reply = await sent(server.port)
    assert (reply.status, reply.is_final, reply.excerpt) == (status, is_final, answer[4:])
    assert words in (reply.error or "")


@pytest.mark.parametrize(
    ("greeting", "status", "words"),
    [
        (b"554 go away\r\n", 554, "refused it (554)"),
        (b"421 too busy\r\n", 421, "refused it (421)"),
        (b"220 hello\r\n", None, "closed the connection"),
        (b"", None, "Unexpected EOF"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", -1, "refused it"),
        (b"220-" + b"x" * 100_000 + b"\r\n", None, ""),
    ],
)
async def test_a_server_that_says_anything_else_is_tried_again(greeting: bytes, status: int | None, words: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()

    async with talking(talk) as port:
        reply = await sent(port)
    assert not reply.is_success
    assert not reply.is_final
    assert words in (reply.error or "")
    assert len(reply.error or "") + len(reply.excerpt) < 2_000
    if words and status != -1:
        assert reply.status == status


async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"220-x\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("talk", [stalls, drips])
async def test_a_server_that_stalls_or_drips_is_left_after_the_deadline(talk: object) -> None:
    async with talking(talk) as port:  # type: ignore[arg-type]
        began = time.monotonic()
        reply = await sent(port, deadline=0.5)
        assert time.monotonic() - began < 10
    assert (reply.status, reply.is_final) == (None, False)
    assert "did not answer within 0.5 s" in (reply.error or "")


async def test_a_server_that_takes_the_mail_and_then_stalls_has_taken_it() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x\r\n")
        while line := await reader.readline():
            if line == b"DATA\r\n":
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 kept\r\n")
                await reader.read()
            else:
                writer.write(b"250 x\r\n")

    async with talking(talk) as port:
        assert await sent(port) == Reply(250, None, "kept")


async def test_no_server_is_a_failure_without_an_answer() -> None:
    async with talking(stalls) as port:
        pass
    reply = await sent(port)
    assert (reply.status, reply.is_final) == (None, False)
    assert "the mail could not be sent: " in (reply.error or "")
    assert "localhost" not in (reply.error or "")


@pytest.mark.parametrize("value", ["a\r\nBcc: other@example.com", "a\nb", "a\rb"])
async def test_no_header_can_be_added(value: str) -> None:
    async with mail_server() as server:
        for message in (
            MailMessage(MESSAGE.id, MESSAGE.thread, "a@example.com", value, "", "", 0),
            MailMessage(MESSAGE.id, MESSAGE.thread, f"a@example.com{value}", "x", "", "", 0),
        ):
            reply = await sent(server.port, message=message)
            assert not reply.is_success
            assert "it cannot be sent as a mail" in (reply.error or "")
        assert server.received == []
