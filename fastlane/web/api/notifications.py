"""The receivers of a job's notifications: its webhooks and its mailboxes, in bodies and in answers."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain, count
from operator import attrgetter
from typing import Any

from fastlane.errors import Fault
from fastlane.log import MASK
from fastlane.models import notify
from fastlane.models.delivery import Target
from fastlane.redaction import has_mask
from fastlane.web.api import json_schema, serializer
from fastlane.web.api.body import BodyField, BodyObject, Both, Reader, RoundTrip, list_of
from fastlane.web.api.json_schema import DATA, JsonSchema
from fastlane.web.api.serializer import RenderContext, Serializer, integer, mapping, rendered, strings
from fastlane.web.api.values import MASKED

NO_SERVER = "needs a mail server, and this installation has none; ask for smtp_host to be set, or leave this out"
NOT_ALLOWED = "may get no mail from here; give an address of a domain that may, or ask for it to be in notify_allow"

TRIGGERS = {
    notify.NotificationTrigger.SUCCEEDS: "When an execution is done.",
    notify.NotificationTrigger.FAILS: "When one fails, times out or expires.",
    notify.NotificationTrigger.FINISHES: "When one ends, however it does.",
    notify.NotificationTrigger.LATE: "When the job is late by its expectEvery or doneBy.",
    notify.NotificationTrigger.RECOVERED: "When it succeeds after that.",
    notify.NotificationTrigger.FIXED: "When it succeeds for the first time after a failure.",
    notify.NotificationTrigger.STARTED: "When the container of an execution runs, or has run.",
}
"""The meaning of a notification from each list."""


def _count_of(trigger: notify.NotificationTrigger, targets: Sequence[Target]) -> int:
    return sum(target.trigger is trigger for target in targets)


RECEIVER_COUNTS = Serializer[Sequence[Target]](
    "ReceiverCounts",
    "How many webhooks and addresses get each kind of message about a job. Webhooks of its pool count where it has none of its own.",
    **{trigger.value: integer(partial(_count_of, trigger), when) for trigger, when in TRIGGERS.items()},
)


def _lists(noun: str, item: Callable[[notify.NotificationTrigger], Reader], schema: JsonSchema, most: int, example: str) -> BodyObject:
    """A list for each trigger."""
    of_each = {
        trigger.value: BodyField(
            list_of(item(trigger), most, example), {"type": "array", "items": schema, "maxItems": most}, TRIGGERS[trigger]
        )
        for trigger in notify.NotificationTrigger
    }
    return BodyObject(noun, "", False, **of_each)


# webhooks


def _unmasked_url(value: object) -> str:
    url = notify.read_url(value)
    if has_mask(url):
        raise ValueError(MASKED)
    return url


def _unmasked_headers(value: object) -> dict[str, str]:
    headers = notify.read_headers(value)
    if any(has_mask(text) for text in headers.values()):
        raise ValueError(MASKED)
    return headers


def _unmasked_body(value: object) -> dict[str, Any]:
    body = notify.read_body(value)
    if MASK in json.dumps(body):
        raise ValueError(MASKED)
    return body


def shown_url(webhook: notify.Webhook, render: RenderContext) -> str:
    """A webhook's URL, without a password in it."""
    return render.redaction.text(webhook.url)


def _shown_body(part: Any, render: RenderContext) -> Any:
    """A part of a template. A value with a secret name, for example a service's own key, is masked."""
    match part:
        case dict():
            return {
                name: MASK if isinstance(value, str) and render.redaction.is_secret(name) else _shown_body(value, render)
                for name, value in part.items()
            }
        case list():
            return [_shown_body(value, render) for value in part]
        case str():
            return render.redaction.text(part)
        case _:
            return part


def _headers(webhook: notify.Webhook) -> Mapping[str, str] | None:
    return dict.fromkeys(webhook.headers, MASK) or None


_OWN = "|".join("".join(f"[{letter.upper()}{letter}]" if letter.isalpha() else letter for letter in name) for name in notify.OWN_HEADERS)
_HEADER: JsonSchema = {
    "type": "string",
    "maxLength": notify.MAX_HEADER,
    "pattern": f"^{notify.HEADER_VALUE.pattern}$",
    "not": {"const": MASK},
}
_HEADERS: JsonSchema = {
    "type": "object",
    "propertyNames": {"pattern": f"^(?!(?:{_OWN})$)(?![Ww][Ee][Bb][Hh][Oo][Oo][Kk]-){notify.HEADER_NAME.pattern}$"},
    "additionalProperties": _HEADER,
    "maxProperties": notify.MAX_HEADERS,
}
_WEBHOOK = RoundTrip[notify.Webhook](
    "a webhook",
    "Webhook",
    "Where an end is posted to.",
    url=Both(
        BodyField(
            _unmasked_url,
            {"type": "string", "maxLength": notify.MAX_URL, "pattern": f"^{notify.URL.pattern}$"},
            "Where it is posted: http:// or https://.",
            required=True,
        ),
        rendered(shown_url, {"type": "string"}, "The receiver's URL. A password in it is shown as ********."),
    ),
    headers=Both(
        BodyField(_unmasked_headers, _HEADERS, f"Headers that go with each request, up to {notify.MAX_HEADERS}."),
        mapping(_headers, "Headers that go with each request. Every value is shown as ********.", values={"type": "string"}, optional=True),
    ),
    retries=Both(
        BodyField(notify.read_retries, json_schema.integer(0, notify.MAX_RETRIES), "How many attempts may follow a failed one."),
        integer(attrgetter("retries"), "How many attempts may follow a failed one."),
    ),
    body=Both(
        BodyField(_unmasked_body, DATA, "A template of the body that is posted instead of the usual one."),
        rendered(
            lambda webhook, render: None if webhook.body is None else _shown_body(webhook.body, render),
            {"type": "object", "additionalProperties": {}},
            "The template of what is posted, if it has one. Texts with a secret name are shown as ********.",
        ),
    ),
)
_WEBHOOK_BODY = BodyObject("a webhook", "", False, **_WEBHOOK.body.fields)


def _webhook_reader(trigger: notify.NotificationTrigger) -> Reader:
    return lambda value: notify.Webhook(trigger, **_WEBHOOK_BODY.read(value))


_WEBHOOK_LISTS = _lists("webhooks", _webhook_reader, _WEBHOOK_BODY.schema, notify.MAX_WEBHOOKS, '{"url": "https://example.com/hook"}')
WEBHOOKS_SCHEMA: JsonSchema = {
    **_WEBHOOK_LISTS.schema,
    "examples": [{"fails": [{"url": "https://example.com/hook", "headers": {"Authorization": "Bearer x"}, "retries": 3}]}],
}


def read_webhooks(value: object) -> tuple[notify.Webhook, ...]:
    """The lists of webhooks of a job, joined into one."""
    return tuple(chain.from_iterable(_WEBHOOK_LISTS.read(value).values()))


def address_faults(webhooks: Sequence[notify.Webhook], allowed: Sequence[str]) -> list[Fault]:
    """A fault for each URL with a forbidden address. Names are checked when something is sent to them."""
    faults, places = [], {trigger: count() for trigger in notify.NotificationTrigger}
    for webhook in webhooks:
        place = next(places[webhook.trigger])
        address = notify.literal_address(webhook.url)
        if address is not None and not notify.may_post(address, allowed):
            words = f"has the address {address}, which is not public; give a public one, or ask for it to be in webhook_allow"
            faults.append(Fault(f"webhooks.{webhook.trigger}.{place}.url", words))
    return faults


def _of(trigger: notify.NotificationTrigger) -> Callable[[Sequence[notify.Webhook]], list[notify.Webhook]]:
    return lambda webhooks: [webhook for webhook in webhooks if webhook.trigger is trigger]


WEBHOOKS = Serializer[Sequence[notify.Webhook]](
    "Webhooks",
    "The webhooks of a job, by what starts the post.",
    **{trigger.value: serializer.array(_WEBHOOK.answer, _of(trigger), when) for trigger, when in TRIGGERS.items()},
)


# mailboxes


def _mailbox_reader(trigger: notify.NotificationTrigger) -> Reader:
    return lambda value: notify.Mailbox(trigger, notify.read_address(value))


_MAILBOX: JsonSchema = {"type": "string", "maxLength": notify.MAX_ADDRESS, "pattern": f"^(?=.{{1,64}}@){notify.ADDRESS.pattern}$"}
_MAILBOX_LISTS = _lists("notify", _mailbox_reader, _MAILBOX, notify.MAX_MAILBOXES, '"team@example.com"')
NOTIFY_SCHEMA: JsonSchema = {**_MAILBOX_LISTS.schema, "examples": [{"fails": ["team@example.com"]}]}


def read_notify(value: object) -> tuple[notify.Mailbox, ...]:
    """The lists of addresses of a job, joined into one."""
    return tuple(chain.from_iterable(_MAILBOX_LISTS.read(value).values()))


def mail_faults(mailboxes: Sequence[notify.Mailbox], allowed: Sequence[str] | None) -> list[Fault]:
    """A fault for mailboxes that cannot get mail at all, or for each mailbox that is not among the ``allowed``. None: there is no mail
    server."""
    if allowed is None:
        return [Fault("notify", NO_SERVER)] if mailboxes else []
    faults, places = [], {trigger: count() for trigger in notify.NotificationTrigger}
    for mailbox in mailboxes:
        place = next(places[mailbox.trigger])
        if not notify.may_mail(mailbox.address, allowed):
            faults.append(Fault(f"notify.{mailbox.trigger}.{place}", NOT_ALLOWED))
    return faults


def _addresses(trigger: notify.NotificationTrigger) -> Callable[[Sequence[notify.Mailbox]], list[str]]:
    return lambda mailboxes: [mailbox.address for mailbox in mailboxes if mailbox.trigger is trigger]


LISTENERS = Serializer[Sequence[notify.Mailbox]](
    "Listeners",
    "The e-mail addresses of a job, by what they get a mail about.",
    **{trigger.value: strings(_addresses(trigger), when) for trigger, when in TRIGGERS.items()},
)
