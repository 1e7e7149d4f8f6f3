"""The part of the store's port for notifications."""

from collections.abc import Collection, Sequence
from typing import Protocol

from fastlane.models.delivery import Delivery, MailQuota, Receiver


class DeliveryStore(Protocol):
    """What is to be sent to webhooks and mailboxes and what was, the receivers that fail, and the quotas of mails."""

    async def insert_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Inserts those of the deliveries whose ids no row has yet; safe to repeat."""

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """One delivery."""

    async def deliveries_of(self, execution_id: str) -> Sequence[Delivery]:
        """Those of an execution, by id. They are few."""

    async def deliveries_due(self, now: int, limit: int, without: Collection[str] = ()) -> Sequence[Delivery]:
        """Deliveries that are due at ``now``, soonest first, but for those to receivers with one of these origins."""

    async def write_delivery(self, delivery: Delivery) -> bool:
        """Replaces the delivery of this id whose version is one less. False, and nothing written, when there is none, or one of another
        version."""

    async def drop_delivery(self, delivery_id: str) -> None:
        """Deletes a delivery; safe to repeat. (The deliveries of an execution that is deleted go with it.)"""

    async def receiver(self, receiver_id: str) -> Receiver | None:
        """A receiver that fails; None when it does not."""

    async def failing_receivers(self, limit: int) -> Sequence[Receiver]:
        """The receivers that fail, those that have failed for longest first."""

    async def write_receiver(self, receiver: Receiver) -> bool:
        """Replaces the row of this id whose version is one less, or inserts it when its version is 1 and there is none. False, and nothing
        written, when the stored one has another version."""

    async def drop_receiver(self, receiver: Receiver) -> bool:
        """Deletes the row if it has this version."""

    async def prune_receivers(self, before: int) -> None:
        """Deletes the receivers that have failed last before that moment, and the quotas whose last mail was before it."""

    async def mail_quota(self, quota_id: str) -> MailQuota | None:
        """The quota of a job's mails to an address; None when none was sent for long."""

    async def write_mail_quota(self, quota: MailQuota) -> bool:
        """Replaces the row of this id whose version is one less, or inserts it when its version is 1 and there is none. False, and nothing
        written, when the stored one has another version."""
