"""The webhooks in the body that describes a job."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, count
from typing import Any

from marshmallow import ValidationError

from fastlane.errors import Fault
from fastlane.log import MASK
from fastlane.models.notify import (
    HEADER_NAME,
    HEADER_VALUE,
    MAX_HEADER,
    MAX_HEADERS,
    MAX_RETRIES,
    MAX_URL,
    MAX_WEBHOOKS,
    OWN_HEADERS,
    URL,
    NotificationTrigger,
    Webhook,
    literal_address,
    may_post,
    read_body,
    read_headers,
    read_retries,
    read_url,
)
from fastlane.redaction import has_mask
from fastlane.web.api.json_schema import DATA, JsonSchema, integer, nullable
from fastlane.web.api.requests.readers import MASKED
from fastlane.web.http.fields import list_of, read_fields

EXAMPLE = '{"url": "https://example.com/hook"}'


def read_webhooks(value: object) -> tuple[Webhook, ...]:
    """The lists of webhooks of a job, as one."""
    readers = {trigger.value: list_of(partial(_read_webhook, trigger), MAX_WEBHOOKS, EXAMPLE) for trigger in NotificationTrigger}
    return tuple(chain.from_iterable(read_fields(value, readers, "webhooks").values()))


def address_faults(webhooks: Sequence[Webhook], allowed: Sequence[str]) -> list[Fault]:
    """A fault for each URL with an address to which nothing may be sent. Names are checked when something is sent to them."""
    faults, places = [], {trigger: count() for trigger in NotificationTrigger}
    for webhook in webhooks:
        place = next(places[webhook.trigger])
        address = literal_address(webhook.url)
        if address is not None and not may_post(address, allowed):
            words = f"has the address {address}, which is not public; give a public one, or ask for it to be in webhook_allow"
            faults.append(Fault(f"webhooks.{webhook.trigger}.{place}.url", words))
    return faults


def _read_webhook(trigger: NotificationTrigger, value: object) -> Webhook:
    readers: dict[str, Callable[[object], Any]] = {
        "url": _unmasked_url,
        "headers": _unmasked_headers,
        "retries": read_retries,
        "body": _unmasked_body,
    }
    return Webhook(trigger, **read_fields(value, readers, "a webhook", ("url",)))


def _unmasked_url(value: object) -> str:
    url = read_url(value)
    if has_mask(url):
        raise ValidationError(MASKED)
    return url


def _unmasked_headers(value: object) -> dict[str, str]:
    headers = read_headers(value)
    if any(has_mask(text) for text in headers.values()):
        raise ValidationError(MASKED)
    return headers


def _unmasked_body(value: object) -> dict[str, Any]:
    body = read_body(value)
    if MASK in json.dumps(body):
        raise ValidationError(MASKED)
    return body


_OWN = "|".join("".join(f"[{letter.upper()}{letter}]" if letter.isalpha() else letter for letter in name) for name in OWN_HEADERS)
_HEADER: JsonSchema = {"type": "string", "maxLength": MAX_HEADER, "pattern": f"^{HEADER_VALUE.pattern}$", "not": {"const": MASK}}
WEBHOOK: JsonSchema = {
    "type": "object",
    "properties": {
        "url": {"type": "string", "maxLength": MAX_URL, "pattern": f"^{URL.pattern}$"},
        "headers": nullable(
            {
                "type": "object",
                "propertyNames": {
                    "pattern": f"^(?!(?:{_OWN})$)(?![Ww][Ee][Bb][Hh][Oo][Oo][Kk]-){HEADER_NAME.pattern}$",
                },
                "additionalProperties": _HEADER,
                "maxProperties": MAX_HEADERS,
            }
        ),
        "retries": nullable(integer(0, MAX_RETRIES)),
        "body": nullable(DATA),
    },
    "required": ["url"],
    "additionalProperties": False,
}
WEBHOOKS: JsonSchema = {
    "type": "object",
    "properties": {
        trigger.value: nullable({"type": "array", "items": WEBHOOK, "maxItems": MAX_WEBHOOKS}) for trigger in NotificationTrigger
    },
    "additionalProperties": False,
    "examples": [{"fails": [{"url": "https://example.com/hook", "headers": {"Authorization": "Bearer x"}, "retries": 3}]}],
}
