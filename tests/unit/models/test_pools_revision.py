"""The digest by which processes see that their pools differ."""

from dataclasses import replace

import pytest

from fastlane.models.notify import NotificationTrigger, Webhook
from fastlane.models.pool import MOST_RECENT, HostsRevision, Pool, pools_digest

HOOK = Webhook(NotificationTrigger.FAILS, "https://example.com/x", {"A": "b"}, 3)
POOL = Pool("p", "", ("h",), webhooks=(HOOK,), webhook_secrets=("whsec_a",))


@pytest.mark.parametrize(
    "other",
    [
        replace(POOL, max_running=11),
        replace(POOL, webhooks=()),
        replace(POOL, webhooks=(replace(HOOK, url="https://example.com/y"),)),
        replace(POOL, webhooks=(replace(HOOK, headers={"A": "c"}),)),
        replace(POOL, webhooks=(replace(HOOK, retries=4),)),
        replace(POOL, webhook_secrets=("whsec_b",)),
        replace(POOL, webhook_secrets=("whsec_a", "whsec_b")),
    ],
)
def test_pools_that_differ_even_in_a_secret_have_another_digest(other: Pool) -> None:
    assert pools_digest([other]) != pools_digest([POOL])
    assert pools_digest([replace(other)]) == pools_digest([other])


def test_no_secret_of_a_pool_is_in_its_repr() -> None:
    assert not {word for word in ("whsec_a", "example.com", "'b'") if word in repr(POOL)}


def test_a_revision_of_hosts_with_another_history_says_nothing():
    before = HostsRevision().after("a").after("b")
    assert before.after("c").since(before) == ("c",)
    assert before.since(before) == ()
    assert HostsRevision().after("c").after("d").since(before) is None
    assert HostsRevision().after("c").after("d").after("e").since(before) is None
    assert HostsRevision().since(before) is None
    later = before
    for number in range(MOST_RECENT):
        later = later.after(str(number))
    assert later.since(before) == tuple(map(str, range(MOST_RECENT)))
    assert later.after("c").since(before) is None
