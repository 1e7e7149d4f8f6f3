"""The ports of notifications: the messages to webhooks and mail servers, and the senders."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fastlane.models.delivery import Delivery, MailQuota, Reply, Subject

WebhookPayload = Mapping[str, Any]
"""The facts about an execution or a job, as JSON: webhooks get them, and mails are written from them."""


@dataclass(frozen=True, slots=True)
class WebhookMessage:
    """One attempt to post to a webhook. ``id`` is the same in each attempt; ``at`` is when this one began (milliseconds). ``secrets``: the
    keys that sign it."""

    id: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    secrets: Sequence[str] = field(repr=False)
    at: int


class Sender(Protocol):
    """Sends messages. Several may be on their way at once."""

    @property
    def deadline(self) -> float:
        """Seconds after which ``send`` has returned."""

    async def send(self, message: WebhookMessage) -> Reply:
        """The receiver's answer. Raises nothing of its own: a receiver that cannot be reached is a reply, too."""

    async def close(self) -> None:
        """Ends its connections."""


@dataclass(frozen=True, slots=True)
class MailMessage:
    """One attempt to send a mail to one address. ``id`` is the same in each attempt; mails with one ``thread`` belong together. ``at``:
    when its subject happened (milliseconds)."""

    id: str
    thread: str
    to: str = field(repr=False)
    subject: str = field(repr=False)
    text: str = field(repr=False)
    html: str = field(repr=False)
    at: int


class MailSender(Protocol):
    """Sends mails. Several may be on their way at once."""

    @property
    def deadline(self) -> float:
        """Seconds after which ``send`` has returned."""

    async def send(self, message: MailMessage) -> Reply:
        """The mail server's answer. Raises nothing of its own: a server that cannot be reached is a reply, too."""


@dataclass(frozen=True, slots=True)
class MailParts:
    """The parts of a mail in addition to the payload: the end of its execution's log, and the quota with the failures that no mail was
    about."""

    lines: str = field(default="", repr=False)
    quota: MailQuota | None = None


@dataclass(frozen=True, slots=True)
class Mail:
    """How a worker sends mail: ``write`` writes one, ``sender`` sends it. To one address it sends at most one mail about failures of one
    job in ``interval`` milliseconds (0: all). It sends only to ``allowed`` addresses, as ``may_mail`` decides."""

    write: Callable[[Subject, Delivery, MailParts], MailMessage]
    sender: MailSender
    interval: int
    allowed: Sequence[str]


@dataclass(frozen=True, slots=True)
class Notifier:
    """How a worker notifies: ``make_body`` writes the body of a post, ``sender`` posts it. ``mail``: None where no mail server is named."""

    make_body: Callable[[Subject, Delivery], bytes]
    sender: Sender
    mail: Mail | None = None
