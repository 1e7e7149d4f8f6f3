"""Counts the lines of the log, by their event: a program that reads metrics sees what a reader of the log would."""

from collections.abc import MutableMapping
from typing import Any

from prometheus_client import Counter

LOG_EVENTS = Counter(
    "fastlane_log_events",
    "Lines of this process's log, by event and level; docs/events.md says what each event means.",
    ("event", "level"),
    registry=None,
)
"""One for the process, as its log is."""


def count(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor, to stand after ``add_log_level``."""
    LOG_EVENTS.labels(event["event"], event["level"]).inc()
    return event
