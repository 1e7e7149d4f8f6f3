"""Times that the docs promise are those of the code. The tests of the behaviour shorten them, or take them from the code."""

import re

import pytest

from fastlane.models import delivery, ids, tick
from fastlane.services import tickets
from fastlane.web import handler
from fastlane.web.http import connection
from fastlane.web.streaming import websocket
from tests.support.docs import ROOT

pytestmark = pytest.mark.texts

SECOND, MINUTE, DAY = 1_000, 60_000, 86_400_000

PROMISES = [
    ("security.md", "A client has a minute to take an answer", handler.WRITE_DEADLINE * SECOND, MINUTE),
    ("operations.md", "has a minute to arrive", handler.BODY_DEADLINE * SECOND, MINUTE),
    ("security.md", "valid once, within 30 seconds", tickets.TICKET_TTL, 30 * SECOND),
    ("live-logs.md", "you stay logged in for 12 hours", tickets.SESSION_TTL, 12 * 60 * MINUTE),
    ("api.md", "sent again under it within a day has no second effect", ids.DAY, DAY),
    ("scheduling.md", "until it is a minute late", tick.GRACE, MINUTE),
    ("notifications.md", "failed for a day is", delivery.PAUSED_AFTER, DAY),
    ("live-logs.md", "answers no ping for a minute", websocket.LOST_PINGS * connection.PING_EVERY * SECOND, MINUTE),
    ("audit.md", "takes nothing for a minute is disconnected", handler.WRITE_DEADLINE * SECOND, MINUTE),
]


@pytest.mark.parametrize(("page", "words", "found", "promised"), PROMISES, ids=[words for _, words, _, _ in PROMISES])
def test_a_time_is_as_long_as_the_docs_say(page: str, words: str, found: float, promised: float) -> None:
    assert words in re.sub(r"\s+", " ", (ROOT / "docs" / page).read_text()), f"{page} says it otherwise now"
    assert found == promised


def test_pings_come_before_a_proxy_gives_up_an_idle_connection() -> None:
    """The docs say that a proxy's idle limit of a minute is enough."""
    assert "idle limit of a minute is enough" in re.sub(r"\s+", " ", (ROOT / "docs/live-logs.md").read_text())
    assert connection.PING_EVERY <= 30
