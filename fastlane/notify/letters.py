"""Writes mails: a subject, a text and an HTML part, from the event that webhooks get. Pure.

Everything in an event may come from strangers: names, labels, an engine's words, a command's output. So a subject is one line of printable
characters, and all that stands in the HTML part is escaped.
"""

import html
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fastlane.log import one_line
from fastlane.models.notify.delivery import Delivery
from fastlane.models.notify.lateness import JobState, Subject
from fastlane.models.notify.mailbox import Mailbox
from fastlane.models.notify.quota import MailQuota
from fastlane.models.schedule.schedule import show_duration
from fastlane.notify.base import Event, Letter, LetterParts

MAX_SUBJECT = 150
MAX_VALUE = 2_000
"""Characters of one value in a mail."""
HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
"""Unicode's categories of characters that have no sign of their own, or change how others are shown."""

Row = tuple[str, str]
Redact = Callable[[str, Mapping[str, str]], str]

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


def letter_writer(
    make_event: Callable[[Subject, Delivery], Event], redact: Redact, interval: float
) -> Callable[[Subject, Delivery, LetterParts], Letter]:
    """Writes the mail of a delivery. ``redact`` makes the end of a log into one without the secrets among the execution's variables;
    ``interval`` is the setting mail_interval, which the mail quotes (seconds)."""

    def write(subject: Subject, delivery: Delivery, parts: LetterParts) -> Letter:
        event = make_event(subject, delivery)
        latest = subject.latest if isinstance(subject, JobState) else subject
        lines = _printable(redact(parts.lines, {} if latest is None else latest.spec.envs))
        address = delivery.target.address if isinstance(delivery.target, Mailbox) else ""
        heading = _subject(event)
        rows = list(_job_rows(event) if isinstance(subject, JobState) else _rows(event))
        held = _held(parts.quota, event, interval)
        footer = f"You get this mail because notify.{delivery.target.occasion} of the job lists {address}."
        return Letter(
            id=delivery.id,
            thread=delivery.job_id,
            to=address,
            subject=heading,
            text=_text(rows, lines, held, footer),
            html=_html(heading, rows, lines, held, footer),
            at=delivery.created_at,
        )

    return write


def _subject(event: Event) -> str:
    code = "" if event.get("exitCode") in (None, 0) else f", exit code {event['exitCode']}"
    name = f" ({event['name']})" if event.get("name") else ""
    words = f"[fastlane] {event['taskId']}{name}: {event['status']}{code}"
    line = one_line("".join(sign for sign in words if unicodedata.category(sign) not in HIDDEN))
    return line if len(line) <= MAX_SUBJECT else f"{line[: MAX_SUBJECT - 1]}…"


def _rows(event: Event) -> Iterator[Row]:
    """What a mail tells, each with its heading."""
    failure, again = event.get("failure"), "another attempt follows" if event["willRetry"] else ""
    duration = event.get("durationMs")
    found: tuple[tuple[str, Any], ...] = (
        ("Task", event["taskId"]),
        ("Job", event.get("name")),
        ("Status", event["status"]),
        ("Why", failure and failure["message"]),
        ("Exit code", event.get("exitCode")),
        ("Image", event["image"]),
        ("Command", event.get("command")),
        ("Due", event["scheduledFor"]),
        ("Started", event.get("startedAt")),
        ("Ended", event.get("finishedAt")),
        ("Ran for", None if duration is None else show_duration(duration / 1000)),
        ("Attempt", "; ".join(filter(None, (str(event["attempt"]), again)))),
        ("Host", event.get("host")),
        ("Execution", event["url"]),
        ("Log", f"{event['url']}logs/"),
    )
    for heading, value in found:
        if value is not None and value != "":
            yield heading, _printable(str(value))[:MAX_VALUE]


def _job_rows(event: Event) -> Iterator[Row]:
    """What a mail about a job tells."""
    last = event["lastExecution"] or {}
    words = {"late": f"late: it has not succeeded for {event['expectEvery']}", "recovered": "recovered: it has succeeded again"}
    found: tuple[tuple[str, Any], ...] = (
        ("Task", event["taskId"]),
        ("Job", event.get("name")),
        ("Status", words[event["status"]]),
        ("Since" if event["status"] == "late" else "At", event["timestamp"]),
        ("Next run", event.get("nextRunAt")),
        ("Last run", last.get("status", "never")),
        ("Started", last.get("startedAt")),
        ("Ended", last.get("finishedAt")),
        ("Why", last.get("failure") and last["failure"]["message"]),
        ("Execution", last.get("url")),
        ("Job's page", event["url"]),
    )
    for heading, value in found:
        if value is not None and value != "":
            yield heading, _printable(str(value))[:MAX_VALUE]


def _held(quota: MailQuota | None, event: Event, interval: float) -> list[str]:
    """What was held back since the last mail."""
    if quota is None or not quota.held:
        return []
    executions = f"{event['url'].partition('/executions/')[0].rstrip('/')}/executions"
    count = "1 failure" if quota.held == 1 else f"{quota.held} failures"
    words = f"{count} of this job got no mail of their own since the last one (mail_interval is {show_duration(interval)}):"
    urls = [f"{executions}/{id}/" for id in quota.held_ids]
    return [words, *urls, *(["and earlier ones"] if quota.held > len(urls) else [])]


def _text(rows: list[Row], lines: str, held: list[str], footer: str) -> str:
    parts = ["\n".join(f"{heading + ':':<11}{value}" for heading, value in rows)]
    if lines:
        parts.append("The end of its log:\n\n" + "\n".join(f"    {line}" for line in lines.split("\n")))
    if held:
        parts.append("\n".join(held))
    return "\n\n".join([*parts, f"-- \n{footer}"]) + "\n"


def _html(subject: str, rows: list[Row], lines: str, held: list[str], footer: str) -> str:
    cells = "\n".join(CELL.format(html.escape(heading), _linked(value)) for heading, value in rows)
    more = []
    if lines:
        more.append(
            f'<p>The end of its log:</p>\n<pre style="background:#f4f4f4;padding:8px;white-space:pre-wrap">{html.escape(lines)}</pre>'
        )
    if held:
        more.append(f"<p>{'<br>'.join(map(_linked, held))}</p>")
    return HTML.format(subject=html.escape(subject), rows=cells, more="\n".join(more), footer=html.escape(footer))


def _linked(value: str) -> str:
    """A value in HTML: as a link if it is a URL of fastlane's own, which ends in a slash and has no blanks."""
    shown = html.escape(value)
    is_url = value.startswith(("https://", "http://")) and value.endswith("/") and not any(sign.isspace() for sign in value)
    return f'<a href="{shown}">{shown}</a>' if is_url else shown


def _printable(text: str) -> str:
    """A text of several lines without characters that cannot be printed, such as a terminal's colours, or that hide others."""
    return "".join(sign for sign in text if sign in "\n\t" or unicodedata.category(sign) not in HIDDEN)
