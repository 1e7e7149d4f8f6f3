"""Builds a notifier from the settings."""

from collections.abc import Callable

from fastlane.config.settings import Settings
from fastlane.models.delivery import Delivery, Subject
from fastlane.notify.mail import MailServer, SmtpSender, letter_writer
from fastlane.notify.port import Event, Mail, Notifier
from fastlane.notify.webhooks import WebhookSender
from fastlane.redaction import redaction_of

MakeEvent = Callable[[Subject, Delivery], Event]


def build_notifier(settings: Settings, make_event: MakeEvent, make_body: Callable[[Subject, Delivery], bytes], version: str) -> Notifier:
    """What sends notifications. ``make_event`` makes what is told, ``make_body`` what is posted of it."""
    sender = WebhookSender(settings.webhook_allow, settings.webhook_timeout, version)
    return Notifier(make_body, sender, _mail(settings, make_event))


def _mail(settings: Settings, make_event: MakeEvent) -> Mail | None:
    if settings.smtp_host is None or settings.smtp_from is None:
        return None
    server = MailServer(
        settings.smtp_host,
        settings.smtp_port,
        settings.smtp_tls,
        settings.smtp_from,
        settings.smtp_user,
        settings.smtp_password,
        settings.smtp_ca,
    )
    write = letter_writer(make_event, redaction_of(settings.redact_words).message, settings.mail_interval)
    return Mail(write, SmtpSender(server, settings.smtp_timeout), round(settings.mail_interval * 1000), settings.notify_allow)
