"""Writes mails about executions and jobs, and sends them by SMTP, over TLS whose certificate is verified.

The server is the operator's own, but it may be slow, or gone, and its answers are not fastlane's words: the time of an attempt is bounded
as a whole, and only a part of an answer is kept. Each mail has a connection of its own and one address, so no mail waits for another.
"""

import asyncio
import html
import ssl
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from email.utils import format_datetime
from pathlib import Path
from typing import Any

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
from fastlane.models.delivery import PAUSED, STARTED_EVENT, Delivery, JobState, MailQuota, Reply, Subject
from fastlane.models.notify import Mailbox, NotificationTrigger
from fastlane.models.schedule import show_duration
from fastlane.notify.port import MailMessage, MailParts, WebhookPayload

EXCERPT = 1024
"""Characters of an answer that are kept."""
FAREWELL = 1.0
"""Seconds for which the end of a connection is waited for, once the mail is sent."""
PERMANENT = range(500, 600)
"""SMTP's replies with which a server refuses a mail for good."""


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

    async def send(self, message: MailMessage) -> Reply:
        """The server's answer. Its answer to the mail counts, even when the connection then ends badly."""
        connections: list[SMTP] = []
        try:
            async with asyncio.timeout(self._deadline):
                connections.append(await self._connected())
                return await self._sent(connections[0], message)
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

    async def _sent(self, client: SMTP, message: MailMessage) -> Reply:
        mail = _as_email(message, self._server.sender)
        _refused, words = await client.send_message(mail, sender=self._server.sender, recipients=[message.to])
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
        """The reason for a missing answer, in words."""
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
    """The TLS context that verifies the server's certificate and its name. The file is read each time, so it may change."""
    return ssl.create_default_context(cafile=ca)


def _as_email(message: MailMessage, sender: str) -> EmailMessage:
    """The message as a mail in ASCII. A header cannot have a line end: the library refuses it."""
    domain = sender.rpartition("@")[2]
    mail = EmailMessage(policy=POLICY)
    mail["From"] = sender
    mail["To"] = message.to
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(message.at / 1000, UTC))
    mail["Message-ID"] = f"<{message.id}@{domain}>"
    mail["References"] = f"<{message.thread}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text.encode(errors="replace").decode(), cte="quoted-printable")
    mail.add_alternative(message.html.encode(errors="replace").decode(), subtype="html", cte="quoted-printable")
    return mail


async def _close(client: SMTP) -> None:
    """Ends a connection, with QUIT if the server listens: its earlier answer counts."""
    with suppress(SMTPException, OSError, TimeoutError):
        async with asyncio.timeout(FAREWELL):
            await client.quit()
    client.close()


MAX_SUBJECT = 150
MAX_VALUE = 2_000
"""Characters of one value in a mail."""
HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
"""Unicode's categories of characters that have no sign of their own, or change how others are shown."""

FIXED = NotificationTrigger.FIXED
FURTHER = {f"execution.{FIXED}": ", for the first time after a failure"}
"""What a mail about an execution says beside its status."""
OWN_URLS = ("Execution", "Log", "Job's page")
"""The headings of fastlane's own URLs. Everything else may come from a job's author."""


@dataclass(frozen=True, slots=True)
class Row:
    """A fact with its heading. ``is_link``: it is one of fastlane's own URLs, or a path if there is no ``public_url``."""

    heading: str
    value: str
    is_link: bool = False


Redact = Callable[[str, Mapping[str, str]], str]
MakePayload = Callable[[Subject, Delivery], WebhookPayload]
"""Makes the payload of an execution or a job that webhooks get; mails are written from it too."""

HTML = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{subject}</title></head>
<body style="font-family:sans-serif;font-size:14px">
<h1 style="font-size:18px">{subject}</h1>
<table style="border-collapse:collapse">
{rows}
</table>
{more}
<p style="color:#666">{footer}</p>
</body></html>
"""
CELL = '<tr><th style="text-align:left;vertical-align:top;padding:2px 16px 2px 0">{}</th><td style="white-space:pre-wrap">{}</td></tr>'


def mail_writer(make_payload: MakePayload, redact: Redact, interval: float) -> Callable[[Subject, Delivery, MailParts], MailMessage]:
    """Makes the function that writes the mail of a delivery. ``redact`` cuts the secrets among the execution's variables out of the end of
    a log; ``interval`` is the setting mail_interval, which the mail quotes (seconds)."""

    def write(subject: Subject, delivery: Delivery, parts: MailParts) -> MailMessage:
        payload = make_payload(subject, delivery)
        latest = subject.latest if isinstance(subject, JobState) else subject
        lines = _printable(redact(parts.lines, {} if latest is None else latest.spec.variables))
        address = delivery.target.address if isinstance(delivery.target, Mailbox) else ""
        heading = _subject(payload)
        rows = list(_job_rows(payload) if isinstance(subject, JobState) else _rows(payload))
        held = _held(parts.quota, payload, interval)
        footer = f"You get this mail because notify.{delivery.target.trigger} of the job lists {address}."
        return MailMessage(
            id=delivery.id,
            thread=delivery.job_id,
            to=address,
            subject=heading,
            text=_text(rows, lines, held, footer),
            html=_html(heading, rows, lines, held, footer),
            at=delivery.created_at,
        )

    return write


def _subject(payload: WebhookPayload) -> str:
    code = "" if payload.get("exitCode") in (None, 0) else f", exit code {payload['exitCode']}"
    name = f" ({payload['name']})" if payload.get("name") else ""
    what = {f"execution.{FIXED}": FIXED, STARTED_EVENT: "started"}.get(payload["type"], payload["status"])
    code = "" if payload["type"] == STARTED_EVENT else code
    words = f"[fastlane] {payload['taskId']}{name}: {what}{code}"
    line = one_line("".join(sign for sign in words if unicodedata.category(sign) not in HIDDEN))
    return line if len(line) <= MAX_SUBJECT else f"{line[: MAX_SUBJECT - 1]}…"


def _rows(payload: WebhookPayload) -> Iterator[Row]:
    """The facts in a mail about an execution, each with its heading."""
    failure, again = payload.get("failure"), "another attempt follows" if payload["willRetry"] else ""
    duration = payload.get("durationMs")
    found: tuple[tuple[str, Any], ...] = (
        ("Task", payload["taskId"]),
        ("Job", payload.get("name")),
        ("Status", payload["status"] + FURTHER.get(payload["type"], "")),
        ("Why", failure and failure["message"]),
        ("Exit code", payload.get("exitCode")),
        ("Service", payload.get("service")),
        ("Image", payload["image"]),
        ("Command", payload.get("command")),
        ("Due", payload["scheduledFor"]),
        ("Started", payload.get("startedAt")),
        ("Ended", payload.get("finishedAt")),
        ("Ran for", None if duration is None else show_duration(duration / 1000)),
        ("Attempt", "; ".join(filter(None, (str(payload["attempt"]), again)))),
        ("Host", payload.get("host")),
        ("Execution", payload["pageUrl"]),
        ("Log", payload["logUrl"]),
        ("Job's page", payload["jobPageUrl"]),
    )
    for heading, value in found:
        if value is not None and value != "":
            yield Row(heading, _printable(str(value)[:MAX_VALUE]), heading in OWN_URLS)


def _job_rows(payload: WebhookPayload) -> Iterator[Row]:
    """The facts in a mail about a job."""
    last = payload["lastExecution"] or {}
    expected = f"by {payload['doneBy']}" if payload["doneBy"] else f"for {payload['expectEvery']}"
    words = {
        "late": f"late: it has not succeeded {expected}",
        "recovered": "recovered: it has succeeded again",
        PAUSED: f"paused: {payload['failuresInRow']} of its ticks in a row failed; it runs again when somebody resumes it",
    }
    found: tuple[tuple[str, Any], ...] = (
        ("Task", payload["taskId"]),
        ("Job", payload.get("name")),
        ("Status", words[payload["status"]]),
        ("Since" if payload["status"] == "late" else "At", payload["timestamp"]),
        ("Next run", payload.get("nextRunAt")),
        ("Last run", last.get("status", "never")),
        ("Started", last.get("startedAt")),
        ("Ended", last.get("finishedAt")),
        ("Why", last.get("failure") and last["failure"]["message"]),
        ("Execution", payload["lastPageUrl"]),
        ("Log", payload["logUrl"]),
        ("Job's page", payload["jobPageUrl"]),
    )
    for heading, value in found:
        if value is not None and value != "":
            yield Row(heading, _printable(str(value)[:MAX_VALUE]), heading in OWN_URLS)


def _held(quota: MailQuota | None, payload: WebhookPayload, interval: float) -> list[str]:
    """The failures whose mails were held back since the last mail."""
    if quota is None or not quota.held:
        return []
    count = "1 failure" if quota.held == 1 else f"{quota.held} failures"
    words = f"{count} of this job got no mail of their own since the last one (mail_interval is {show_duration(interval)}):"
    urls = [f"{payload['jobPageUrl']}/executions/{id}" for id in quota.held_ids]
    return [words, *urls, *(["and earlier ones"] if quota.held > len(urls) else [])]


def _text(rows: list[Row], lines: str, held: list[str], footer: str) -> str:
    parts = ["\n".join(f"{row.heading + ':':<12}{row.value}" for row in rows)]
    if lines:
        parts.append("The end of its log:\n\n" + "\n".join(f"    {line}" for line in lines.split("\n")))
    if held:
        parts.append("\n".join(held))
    return "\n\n".join([*parts, f"-- \n{footer}"]) + "\n"


def _html(subject: str, rows: list[Row], lines: str, held: list[str], footer: str) -> str:
    cells = "\n".join(CELL.format(html.escape(row.heading), _link(row.value) if row.is_link else html.escape(row.value)) for row in rows)
    more = []
    if lines:
        more.append(
            f'<p>The end of its log:</p>\n<pre style="background:#f4f4f4;padding:8px;white-space:pre-wrap">{html.escape(lines)}</pre>'
        )
    if held:
        words, *urls = held
        more.append(f"<p>{'<br>'.join([html.escape(words), *map(_link, urls)])}</p>")
    return HTML.format(subject=html.escape(subject), rows=cells, more="\n".join(more), footer=html.escape(footer))


def _link(url: str) -> str:
    """One of fastlane's own URLs in HTML: a link, unless it is only a path."""
    shown = html.escape(url)
    return f'<a href="{shown}">{shown}</a>' if url.startswith(("https://", "http://")) else shown


def _printable(text: str) -> str:
    """A text of several lines without characters that cannot be printed (a terminal's colours, for example), or that hide others."""
    return "".join(sign for sign in text if sign in "\n\t" or unicodedata.category(sign) not in HIDDEN)
