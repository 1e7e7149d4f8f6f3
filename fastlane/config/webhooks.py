"""The webhooks of a pool, and the secrets that its webhooks are signed with."""

from collections.abc import Sequence
from pathlib import Path

from fastlane.config.types import KeyReaders, read_table
from fastlane.log import MASK, scrub
from fastlane.models.notify.occasion import Occasion
from fastlane.models.notify.signature import MAX_SECRETS, read_secret
from fastlane.models.notify.webhook import MAX_WEBHOOKS, READERS, Webhook

KEYS: KeyReaders = {name: (name, read) for name, read in READERS.items()}
EXAMPLE = '{ url = "https://example.com/hook" }'


def read_webhooks(value: object) -> tuple[Webhook, ...]:
    """The lists of webhooks of a pool, as one."""
    if not isinstance(value, dict) or set(value) - set(Occasion):
        raise ValueError(f"is not a table of lists named {', '.join(Occasion)}; write {{ fails = [{EXAMPLE}] }}")
    return tuple(_webhook(Occasion(name), row) for name in value for row in _rows(value[name]))


def show_webhooks(webhooks: Sequence[Webhook]) -> dict[str, list[object]]:
    """The webhooks as they are written, without what is secret in them."""
    rows: dict[str, list[object]] = {}
    for one in webhooks:
        row = {
            "url": scrub(one.url),
            "headers": dict.fromkeys(one.headers, MASK),
            "retries": one.retries,
            "body": None if one.body is None else MASK,
        }
        rows.setdefault(one.occasion.value, []).append({key: value for key, value in row.items() if value not in ({}, None)})
    return rows


def read_secrets(value: object) -> tuple[str, ...]:
    """The secrets, each written as it is or as the path of a file that has it. No fault quotes one."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_SECRETS:
        raise ValueError(f'is not a list of 1 to {MAX_SECRETS}; write ["/run/secrets/webhook"], or the secrets themselves')
    return tuple(_secret(one) for one in value)


def _rows(value: object) -> list[object]:
    if not isinstance(value, list) or len(value) > MAX_WEBHOOKS:
        raise ValueError(f"has something other than a list of at most {MAX_WEBHOOKS}; write [{EXAMPLE}]")
    return value


def _webhook(occasion: Occasion, value: object) -> Webhook:
    found = read_table(value, KEYS)
    if "url" not in found:
        raise ValueError(f"has a webhook without a url; write {EXAMPLE}")
    return Webhook(occasion, **found)


def _secret(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("has a secret that is not text")
    text = value.strip()
    if text.startswith("/"):
        try:
            text = Path(text).read_text().strip()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise ValueError(f"names the file {text}, which cannot be read: {why}") from None
    read_secret(text)
    return text
