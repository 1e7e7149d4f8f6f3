"""Webhooks as jobs show them, without what is secret in them, and mailboxes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastlane.log import MASK
from fastlane.models.notify.mailbox import Mailbox
from fastlane.models.notify.occasion import Occasion
from fastlane.models.notify.webhook import Webhook
from fastlane.web.api.render_context import RenderContext
from fastlane.web.api.serializer import Serializer, array, integer, mapping, rendered, strings


def shown_url(webhook: Webhook, render: RenderContext) -> str:
    """A webhook's URL, without a password in it."""
    return render.redaction.text(webhook.url)


def _shown_body(part: Any, render: RenderContext) -> Any:
    """A part of a template. What has a secret name, such as a service's own key, is masked."""
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


def _headers(webhook: Webhook) -> Mapping[str, str] | None:
    return dict.fromkeys(webhook.headers, MASK) or None


WEBHOOK = Serializer[Webhook](
    "Webhook",
    "Where an end is posted to.",
    url=rendered(shown_url, {"type": "string"}, "The receiver's URL. A password in it is shown as ********."),
    headers=mapping(
        _headers, "Headers that go with each request. Every value is shown as ********.", values={"type": "string"}, optional=True
    ),
    retries=integer(lambda webhook: webhook.retries, "How many attempts may follow a failed one."),
    body=rendered(
        lambda webhook, render: None if webhook.body is None else _shown_body(webhook.body, render),
        {"type": "object", "additionalProperties": {}},
        "The template of what is posted, if it has one. Texts with a secret name are shown as ********.",
    ),
)


def _of(occasion: Occasion, webhooks: Sequence[Webhook]) -> list[Webhook]:
    return [webhook for webhook in webhooks if webhook.occasion is occasion]


WEBHOOKS = Serializer[Sequence[Webhook]](
    "Webhooks",
    "The webhooks of a job, by what they are told of.",
    succeeds=array(WEBHOOK, lambda webhooks: _of(Occasion.SUCCEEDS, webhooks), "When an execution is done."),
    fails=array(WEBHOOK, lambda webhooks: _of(Occasion.FAILS, webhooks), "When one fails, times out or expires."),
    finishes=array(WEBHOOK, lambda webhooks: _of(Occasion.FINISHES, webhooks), "When one ends, however it does."),
    late=array(WEBHOOK, lambda webhooks: _of(Occasion.LATE, webhooks), "When the job is late by its expectEvery."),
    recovered=array(WEBHOOK, lambda webhooks: _of(Occasion.RECOVERED, webhooks), "When it succeeds after that."),
)


def _addresses(occasion: Occasion) -> Callable[[Sequence[Mailbox]], list[str]]:
    return lambda mailboxes: [mailbox.address for mailbox in mailboxes if mailbox.occasion is occasion]


LISTENERS = Serializer[Sequence[Mailbox]](
    "Listeners",
    "The e-mail addresses of a job, by what they get a mail about.",
    succeeds=strings(_addresses(Occasion.SUCCEEDS), "When an execution is done."),
    fails=strings(_addresses(Occasion.FAILS), "When one fails, times out or expires."),
    finishes=strings(_addresses(Occasion.FINISHES), "When one ends, however it does."),
    late=strings(_addresses(Occasion.LATE), "When the job is late by its expectEvery."),
    recovered=strings(_addresses(Occasion.RECOVERED), "When it succeeds after that."),
)
