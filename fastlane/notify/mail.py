"""Sends mails by SMTP, over TLS whose certificate is verified.

The server is the operator's own, but it may be slow, or gone, and its answers are someone else's words: the time of an attempt is bounded
as a whole, and so is what is kept of an answer. Each mail has a connection of its own and one address, so no mail waits for another.
"""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from email.utils import format_datetime
from pathlib import Path

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from fastlane.log import MASK, one_line
from fastlane.models.notify.delivery import Reply
from fastlane.notify.base import Letter

EXCERPT = 1024
"""Characters that are kept of an answer."""
FAREWELL = 1.0
"""Seconds for which the end of a connection is waited for, once the mail is sent."""
PERMANENT = range(500, 600)
"""SMTP's replies by which a server says that a mail will never be taken."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """A mail server and how to log in to it. ``tls``: ``tls`` from the start, ``starttls``, or ``none``; ``ca``: the file of the
    authorities that its certificate must be signed by, None for the system's."""

    host: str
    port: int
    tls: str
    sender: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: Path | None = None


class SmtpSender:
    """A ``MailSender``. ``deadline``: seconds that an attempt may take."""

    def __init__(self, server: MailServer, deadline: float) -> None:
        self._server = server
        self._deadline = deadline

    @property
    def deadline(self) -> float:
        return self._deadline + FAREWELL

    async def send(self, letter: Letter) -> Reply:
        """What the server answered. What it said of the mail counts, even when the connection then ends badly."""
        connections: list[SMTP] = []
        try:
            async with asyncio.timeout(self._deadline):
                connections.append(await self._connected())
                return await self._sent(connections[0], letter)
        except TimeoutError:
            return Reply(None, f"the mail server did not answer within {self._deadline:g} s")
        except (SMTPException, OSError, ValueError) as error:
            return self._refusal(error)
        finally:
            for client in connections:
                await _close(client)

    async def _connected(self) -> SMTP:
        server = self._server
        client = SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.tls == "tls",
            start_tls=server.tls == "starttls",
            tls_context=None if server.tls == "none" else await asyncio.to_thread(_context, server.ca),
            username=server.user,
            password=server.password,
            local_hostname=server.sender.rpartition("@")[2],
            timeout=self._deadline,
        )
        try:
            await client.connect()
        except BaseException:
            client.close()
            raise
        return client

    async def _sent(self, client: SMTP, letter: Letter) -> Reply:
        message = _message(letter, self._server.sender)
        _refused, words = await client.send_message(message, sender=self._server.sender, recipients=[letter.to])
        return Reply(250, None, self._excerpt(words))

    def _refusal(self, error: Exception) -> Reply:
        if isinstance(error, SMTPRecipientsRefused) and error.recipients:
            error = error.recipients[0]
        if isinstance(error, SMTPResponseException):
            is_final = error.code in PERMANENT and not isinstance(error, SMTPAuthenticationError | SMTPConnectError)
            words = "the mail server refused the login" if isinstance(error, SMTPAuthenticationError) else "the mail server refused it"
            if isinstance(error, SMTPRecipientRefused):
                words = "the mail server refused the address"
            return Reply(error.code, f"{words} ({error.code})", self._excerpt(error.message), is_final=is_final)
        return Reply(None, self._words(error))

    def _words(self, error: Exception) -> str:
        """Why there was no answer."""
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLError):
            cause = cause.__cause__ or cause.__context__
        if isinstance(cause, ssl.SSLError):
            return f"TLS with the mail server failed: {one_line(str(cause))[:200]}"
        if isinstance(error, SMTPServerDisconnected):
            return "the mail server closed the connection without an answer"
        if isinstance(error, ValueError):
            return "it cannot be sent as a mail"
        if isinstance(error, SMTPConnectError) and error.__cause__ is not None:
            error = Exception(getattr(error.__cause__, "strerror", None) or str(error.__cause__))  # without host and port, which repeat
        return f"the mail could not be sent: {self._excerpt(str(error))[:200] or type(error).__name__}"

    def _excerpt(self, words: str) -> str:
        line = one_line(words.encode(errors="replace").decode())
        if self._server.password:
            line = line.replace(self._server.password, MASK)
        return line[:EXCERPT]


def _context(ca: Path | None) -> ssl.SSLContext:
    """What verifies the server's certificate and its name. The file is read each time, so it may change."""
    return ssl.create_default_context(cafile=ca)


def _message(letter: Letter, sender: str) -> EmailMessage:
    """The letter as a mail in ASCII. A header cannot have a line end: the library refuses it."""
    domain = sender.rpartition("@")[2]
    mail = EmailMessage(policy=POLICY)
    mail["From"] = sender
    mail["To"] = letter.to
    mail["Subject"] = letter.subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(letter.at / 1000, UTC))
    mail["Message-ID"] = f"<{letter.id}@{domain}>"
    mail["References"] = f"<{letter.thread}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(letter.text.encode(errors="replace").decode(), cte="quoted-printable")
    mail.add_alternative(letter.html.encode(errors="replace").decode(), subtype="html", cte="quoted-printable")
    return mail


async def _close(client: SMTP) -> None:
    """Ends a connection, and says so if the server listens: what it answered before counts."""
    with suppress(SMTPException, OSError, TimeoutError):
        async with asyncio.timeout(FAREWELL):
            await client.quit()
    client.close()
