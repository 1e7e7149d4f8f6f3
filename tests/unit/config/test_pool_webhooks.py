"""The webhooks of a pool and the secrets that they are signed with: how they are read, and that nothing shows what is secret."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from fastlane.config.pools import POOLS
from fastlane.errors import Invalid
from fastlane.models.notify import NotificationTrigger, Webhook
from fastlane.models.pool import Pool

SECRET = f"whsec_{base64.b64encode(b's' * 32).decode()}"
OTHER = f"whsec_{base64.b64encode(b'o' * 24).decode()}"


def pool(**more: Any) -> Pool:
    (found,) = POOLS.read([{"name": "default", "match": "", "hosts": ["unix:///s"], **more}])
    return found


def test_webhooks_and_secrets_are_read_and_shown_without_what_is_secret(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{OTHER}\n")
    hook = {"url": "https://user:hidden@example.com/x", "headers": {"Authorization": "hidden"}, "retries": 2}
    found = pool(webhooks={"fails": [hook, {"url": "http://example.com/y"}]}, webhookSecrets=[SECRET, str(file)])
    assert found.webhook_secrets == (SECRET, OTHER)
    assert found.webhooks == (
        Webhook(NotificationTrigger.FAILS, hook["url"], hook["headers"], 2),
        Webhook(NotificationTrigger.FAILS, "http://example.com/y"),
    )
    shown = POOLS.show((found,))
    assert "hidden" not in shown
    assert SECRET not in shown
    assert OTHER not in shown
    (row,) = json.loads(shown)
    assert row["webhookSecrets"] == ["********", "********"]
    assert row["webhooks"]["fails"][1] == {"url": "http://example.com/y", "retries": 5}


def test_receivers_have_secrets_of_their_own_or_the_pools() -> None:
    rows = [{"url": "https://example.com/hidden", "secrets": [OTHER]}, {"url": "https://user:hidden@example.com/y"}]
    found = pool(webhooks={"fails": [{"url": "https://example.com/own", "body": {"a": 1}}]}, webhookSecrets=[SECRET], webhookReceivers=rows)
    assert "hidden@" not in POOLS.show((found,))
    assert OTHER not in POOLS.show((found,)) + repr(found)
    for url, body, secrets in (
        ("https://example.com/any", None, (SECRET,)),
        ("https://example.com/any", {"a": 1}, ()),
        ("https://example.com/own", {"a": 1}, (SECRET,)),
        ("https://example.com/own", {"a": 2}, ()),
        ("https://example.com/hidden", {"a": 2}, (OTHER,)),
        ("https://example.com/hidden", None, (OTHER,)),
        ("https://example.com/hidden/", {"a": 2}, ()),
        ("https://user:hidden@example.com/y", {"a": 2}, (SECRET,)),
    ):
        assert found.secrets_for(Webhook(NotificationTrigger.FAILS, url, body=body)) == secrets


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("webhooks", [], "is not a table of lists"),
        ("webhooks", {"sometimes": []}, "is not a table of lists"),
        ("webhooks", {"fails": {}}, "something other than a list"),
        ("webhooks", {"fails": [{}]}, "without a url"),
        ("webhooks", {"fails": [{"url": "ftp://x"}]}, "is not a URL of a webhook"),
        ("webhooks", {"fails": [{"url": "http://x", "headers": {"webhook-id": "x"}}]}, "which fastlane sets itself"),
        ("webhooks", {"fails": [{"url": "http://x", "retries": 99}]}, "is not a whole number from 0 to 10"),
        ("webhooks", {"fails": [{"url": "http://x", "method": "PUT"}]}, "method"),
        ("webhookSecrets", SECRET, "is not a list of 1 to 2"),
        ("webhookSecrets", [SECRET, OTHER, SECRET], "is not a list of 1 to 2"),
        ("webhookSecrets", ["whsec_c2hvcnQ="], "is not a webhook secret"),
        ("webhookSecrets", [7], "a secret that is not text"),
        ("webhookSecrets", ["/no/such/file"], "cannot be read"),
        ("webhookReceivers", {}, "is not a list of at most 100"),
        ("webhookReceivers", [{"secrets": [SECRET]}], "a receiver without a url"),
        ("webhookReceivers", [{"url": "https://x", "secrets": ["whsec_c2hvcnQ="]}], "is not a webhook secret"),
        ("webhookReceivers", [{"url": "https://x"}, {"url": "https://x"}], "has a url twice"),
    ],
)
def test_what_is_wrong_is_said_without_a_secret(key: str, value: Any, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        pool(**{key: value})
    assert SECRET not in str(caught.value)
    assert "c2hvcnQ" not in str(caught.value)
