"""Converts webhooks and mailboxes to stored values and back."""

import orjson

from fastlane.models.delivery import Target
from fastlane.models.notify import Mailbox
from fastlane.models.stored import MAILBOX, WEBHOOK

MAIL = "mail"
"""What a stored mailbox begins with, where a webhook has its trigger."""


def target_to_json(target: Target) -> str:
    """A webhook or a mailbox as JSON text."""
    if isinstance(target, Mailbox):
        return orjson.dumps([MAIL, *MAILBOX.write(target)]).decode()
    return orjson.dumps(WEBHOOK.write(target)).decode()


def target_from_json(text: str) -> Target:
    """What ``target_to_json`` wrote."""
    kind, *values = stored = orjson.loads(text)
    return MAILBOX.read(values) if kind == MAIL else WEBHOOK.read(stored)
