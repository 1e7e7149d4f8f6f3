"""A mail server: a real one (aiosmtpd) on loopback that keeps what it gets, and answers as the test says."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as POLICY
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from tests.support.waiting import until

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Received:
    """A mail that came in."""

    sender: str
    to: str
    mail: EmailMessage
    was_encrypted: bool

    @property
    def text(self) -> str:
        return self._part("plain")

    @property
    def html(self) -> str:
        return self._part("html")

    def _part(self, kind: str) -> str:
        part = self.mail.get_body((kind,))
        assert part is not None
        content: str = part.get_content()
        return content


@dataclass
class Server:
    """The mails so far. ``answers``: what it says to commands in place of its own answer, one after another, the last one for ever."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)
    logins: list[tuple[str, str]] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of a fastlane that sends its mail here."""
        where = {"smtp_host": "localhost", "smtp_port": self.port, "smtp_tls": "none"}
        return {**where, "smtp_from": "fastlane@example.org", "notify_allow": ("example.com",)}

    def answer(self, command: str, *answers: str) -> None:
        """Answers RCPT or DATA with these; an empty one is its own."""
        self.answers[command] = list(answers)

    async def got(self, count: int = 1) -> list[Received]:
        """The mails, once there are so many."""
        await until(lambda: len(self.received) >= count, f"{count} mails; there were {len(self.received)}")
        return self.received

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        envelope.rcpt_tos.append(address)
        return self._next("RCPT") or "250 OK"

    async def handle_DATA(self, smtp: Any, _session: Any, envelope: Any) -> str:
        if answer := self._next("DATA"):
            return answer
        mail = message_from_bytes(envelope.original_content, policy=POLICY)
        assert isinstance(mail, EmailMessage)
        self.received.append(
            Received(envelope.mail_from, ",".join(envelope.rcpt_tos), mail, smtp.transport.get_extra_info("sslcontext") is not None)
        )
        return "250 kept as 17"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=self.logins[-1] == LOGIN, handled=False)

    def _next(self, command: str) -> str:
        left = self.answers.get(command, [""])
        return left.pop(0) if len(left) > 1 else left[0]


LOGIN = ("fastlane", "the-very-password")


@asynccontextmanager
async def mail_server(tls: str = "none", certificate: tuple[Path, Path] | None = None, *, login: bool = False) -> AsyncIterator[Server]:
    """A server that listens until the block ends; with a certificate it speaks ``tls`` or ``starttls``.
    ``login``: it takes mail only after a login, with ``starttls``."""
    server = Server()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    options: Mapping[str, Any] = {
        "tls_context": context if tls == "starttls" else None,
        "require_starttls": tls == "starttls",
        "authenticator": server.authenticate,
        "auth_required": login,
    }
    loop = asyncio.get_running_loop()
    met: list[SMTP] = []

    def meet() -> SMTP:
        met.append(SMTP(server, hostname="localhost", loop=loop, **options))
        return met[-1]

    listener = await loop.create_server(meet, "127.0.0.1", 0, ssl=context if tls == "tls" else None)
    try:
        server.port = listener.sockets[0].getsockname()[1]
        yield server
    finally:
        listener.close()
        for one in met:
            if one.transport is not None and not one.transport.is_closing():
                one.transport.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[int]:
    """The port of a server that does with each connection what ``talk`` does."""
    conversations: set[asyncio.Task[None]] = set()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations.add(task)
        try:
            with suppress(OSError, EOFError):
                await talk(reader, writer)
        finally:
            writer.transport.abort()

    listener = await asyncio.start_server(meet, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in conversations:
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
        await asyncio.sleep(0)
