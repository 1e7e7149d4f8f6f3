"""Converts webhooks and mailboxes to stored values and back."""

from collections.abc import Sequence
from typing import Any

import orjson

from fastlane.models.delivery import Target
from fastlane.models.notify import Mailbox, NotificationTrigger, Webhook

MAIL = "mail"
"""What a stored mailbox begins with, where a webhook has its trigger."""


def webhook_values(webhook: Webhook) -> list[Any]:
    """The values of a webhook's fields."""
    values = [webhook.trigger, webhook.url, dict(webhook.headers), webhook.retries]
    return values if webhook.body is None else [*values, webhook.body]


def webhook_from(values: Sequence[Any]) -> Webhook:
    """The webhook with these values. Raises TypeError or ValueError."""
    trigger, url, headers, retries, *more = values
    body = more[0] if more else None
    texts = all(isinstance(text, str) for text in (url, *headers.values()))
    if not texts or not isinstance(retries, int) or not isinstance(body, dict | None):
        raise TypeError("a webhook of it has a value of the wrong type")
    return Webhook(NotificationTrigger(trigger), url, headers, retries, body)


def mailbox_from(trigger: str, address: str) -> Mailbox:
    """The mailbox with these values. Raises TypeError or ValueError."""
    if not isinstance(address, str):
        raise TypeError("a mailbox of it has a value of the wrong type")
    return Mailbox(NotificationTrigger(trigger), address)


def target_to_json(target: Target) -> str:
    """A webhook or a mailbox as JSON text."""
    if isinstance(target, Mailbox):
        return orjson.dumps([MAIL, target.trigger, target.address]).decode()
    return orjson.dumps(webhook_values(target)).decode()


def target_from_json(text: str) -> Target:
    """What ``target_to_json`` wrote."""
    kind, *values = stored = orjson.loads(text)
    return mailbox_from(*values) if kind == MAIL else webhook_from(stored)
