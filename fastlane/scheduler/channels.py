"""What carries deliveries to their targets: webhooks by HTTP, mails by SMTP. The deliverer knows when; a carrier knows how.

A carrier is called for one attempt, by the worker that has the delivery's lease. It may be called again for the same one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from fastlane.models.delivery import FORGOTTEN_AFTER, Delivery, Kind, MailQuota, Reply, Subject, quota_id
from fastlane.models.execution import Execution
from fastlane.models.notify import FAILURES, Mailbox, Webhook, may_mail
from fastlane.models.pool import Pool, pool_for
from fastlane.notify.port import Mail, MailParts, Notifier, WebhookMessage
from fastlane.storage.base import DeliveryStore, LogStore
from fastlane.streams.reader import last_lines

LINES, LINES_BYTES = 20, 8 * 1024
"""Lines of a log that a mail quotes, and bytes of them at most: the last ones."""
NO_SERVER = "no smtp_host is set where this worker runs"
NOT_ALLOWED = "notify_allow has no such address"
NO_SERVER_TAKES = 1.0


class CarrierStore(DeliveryStore, LogStore, Protocol):
    """What carriers need of the store."""


class Carrier(Protocol):
    """Makes attempts of one kind of delivery."""

    @property
    def deadline(self) -> float:
        """Seconds that the sending takes at most."""

    async def carry(self, subject: Subject, delivery: Delivery, now: int) -> Reply:
        """What an attempt came to that began now. Raises StoreDown."""

    async def close(self) -> None:
        """Ends its connections."""


class WebhookCarrier:
    """Posts to webhooks. ``pools`` have the secrets that the messages are signed with."""

    def __init__(self, notifier: Notifier, pools: Sequence[Pool]) -> None:
        self._notifier = notifier
        self._pools = pools

    @property
    def deadline(self) -> float:
        return self._notifier.sender.deadline

    async def carry(self, subject: Subject, delivery: Delivery, now: int) -> Reply:
        """What the receiver answered."""
        webhook = delivery.target
        if not isinstance(webhook, Webhook):
            raise TypeError(f"delivery {delivery.id} goes to no webhook")
        pool = pool_for(self._pools, delivery.task_id)
        secrets = () if pool is None else pool.webhook_secrets
        body = self._notifier.make_body(subject, delivery)
        return await self._notifier.sender.send(WebhookMessage(delivery.id, webhook.url, webhook.headers, body, secrets, now))

    async def close(self) -> None:
        await self._notifier.sender.close()


class MailCarrier:
    """Sends mails, few about the failures of one job: one that comes too soon is held back, and the next mail says so. ``mail``: None
    where no mail server is named."""

    def __init__(self, mail: Mail | None, store: CarrierStore) -> None:
        self._mail = mail
        self._store = store

    @property
    def deadline(self) -> float:
        return NO_SERVER_TAKES if self._mail is None else self._mail.sender.deadline

    async def carry(self, subject: Subject, delivery: Delivery, now: int) -> Reply:
        """What the mail server answered, or that the mail is held back."""
        mailbox, mail = delivery.target, self._mail
        if not isinstance(mailbox, Mailbox):
            raise TypeError(f"delivery {delivery.id} goes to no mailbox")
        if mail is None:
            return Reply(None, NO_SERVER)
        if not may_mail(mailbox.address, mail.allowed):
            return Reply(None, NOT_ALLOWED, is_final=True)
        id = quota_id(delivery.job_id, mailbox.key)
        quota = await self._store.mail_quota(id) if mail.interval else None
        if mail.interval and isinstance(subject, Execution) and subject.status in FAILURES and not delivery.by_hand:
            quota = await self._reserved(id, quota, subject.id, now, mail.interval)
            if quota is None:
                return Reply(None, is_held=True)
        latest = subject if isinstance(subject, Execution) else subject.latest
        parts = MailParts("" if latest is None else await self._end_of_log(latest), quota)
        reply = await mail.sender.send(mail.write(subject, delivery, parts))
        if reply.is_success and quota is not None and quota.held:
            await self._said(quota)
        return reply

    async def close(self) -> None:
        """Has no connection between two mails."""

    async def _reserved(self, id: str, quota: MailQuota | None, execution_id: str, now: int, interval: int) -> MailQuota | None:
        """The quota, with this execution as the one that is told; None when its mail is held back, which the quota has noted then. Of
        several workers with mails of one job, one gets the quota."""
        while True:
            if quota is None:
                after = MailQuota(id, execution_id, now)
            elif quota.admits(execution_id, now, interval):
                after = quota if execution_id == quota.execution_id else quota.telling(execution_id, now)
            else:
                after = quota.holding(execution_id)
            is_told = after.execution_id == execution_id
            if after is quota or await self._store.write_mail_quota(after):
                await self._store.prune_receivers(now - FORGOTTEN_AFTER)
                return after if is_told else None
            quota = await self._store.mail_quota(id)

    async def _said(self, said: MailQuota) -> None:
        """Notes that a mail has told of what was held back as of ``said``."""
        quota: MailQuota | None = said
        while quota is not None and quota.held and not await self._store.write_mail_quota(quota.without(said)):
            quota = await self._store.mail_quota(said.id)

    async def _end_of_log(self, execution: Execution) -> str:
        """The last lines of both streams, in order of arrival."""
        head = await self._store.log_head(execution.id)
        start = max(head.offset - LINES_BYTES, await last_lines(self._store, execution.id, LINES))
        data = b""
        while start + len(data) < head.offset:
            part = await self._store.read_log(execution.id, start + len(data), LINES_BYTES)
            if not part.pieces:
                break
            data += b"".join(piece.data for piece in part.pieces)
        return data[:LINES_BYTES].decode(errors="replace").strip("\r\n")


def carriers_of(notifier: Notifier, store: CarrierStore, pools: Sequence[Pool]) -> Mapping[Kind, Carrier]:
    """The carriers of a worker, by kind."""
    return {Kind.WEBHOOK: WebhookCarrier(notifier, pools), Kind.MAIL: MailCarrier(notifier.mail, store)}


Count = Callable[[str, str], None]
"""Counts an attempt: its kind, and what it came to."""


class CountedCarrier:
    """A carrier whose attempts are counted."""

    def __init__(self, carrier: Carrier, kind: Kind, count: Count) -> None:
        self._carrier = carrier
        self._kind = kind
        self._count = count

    @property
    def deadline(self) -> float:
        return self._carrier.deadline

    async def carry(self, *arguments: Any) -> Reply:
        """What the carrier's attempt came to."""
        reply = await self._carrier.carry(*arguments)
        self._count(self._kind.value, "held" if reply.is_held else "delivered" if reply.is_success else "failed")
        return reply

    async def close(self) -> None:
        await self._carrier.close()


def counted(carriers: Mapping[Kind, Carrier], count: Count) -> Mapping[Kind, Carrier]:
    """The carriers, with their attempts counted."""
    return {kind: CountedCarrier(carrier, kind, count) for kind, carrier in carriers.items()}
