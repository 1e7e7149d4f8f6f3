"""Reports errors to Sentry, or to a service that speaks its protocol: the log lines of level ``error`` and above, as the log has them, with
every secret cut out. The SDK, an extra of this package, is imported only here and only when a reporter is made. It has a thread and a
bounded queue of its own. None of its integrations is used, so nothing else is collected: no requests, no local variables, no environment.
"""

import contextlib
from collections.abc import Mapping, MutableMapping
from importlib import import_module
from typing import Any

from fastlane.errors import FastlaneError

REPORTED = frozenset({"error", "critical"})
CLOSE_WITHIN = 3.0
"""Seconds to send the remaining reports at the end."""
MISSING = "sentry_dsn needs the extra 'sentry', which is not installed: pip install 'fastlane-swarm[sentry]'"


class SentryReporter:
    """Sends to the project that this DSN names. ``role``: the role of this process. Raises FastlaneError when the SDK is not installed, or
    does not accept the DSN."""

    def __init__(self, dsn: str, *, version: str, installation: str, role: str) -> None:
        try:
            sdk: Any = import_module("sentry_sdk")
        except ImportError as error:
            raise FastlaneError(MISSING) from error
        try:
            self._client = sdk.Client(
                dsn=dsn,
                release=f"fastlane@{version}",
                default_integrations=False,
                auto_enabling_integrations=False,
                include_local_variables=False,
                include_source_context=False,
                max_breadcrumbs=0,
            )
        except ValueError as error:  # its message may contain the key
            raise FastlaneError(f"sentry_dsn is not taken by Sentry's SDK ({type(error).__name__})") from None
        self._tags = {"role": role, "installation": installation}

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Reports a line, as a structlog processor. It must come after the processors that cut out secrets and bound the fields."""
        if event.get("level") in REPORTED:
            with contextlib.suppress(Exception):  # a failure in here must not become a failure of the code that writes a line
                self._client.capture_event(report_of(event, self._tags))
        return event

    def close(self) -> None:
        """Sends the rest, for a bounded time."""
        self._client.close(timeout=CLOSE_WITHIN)


def report_of(line: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    """The report that Sentry gets for a log line. Lines with the same event and the same kind of exception are one issue there."""
    name, stack = str(line["event"]), str(line.get("exception", ""))
    report: dict[str, Any] = {
        "level": line["level"],
        "logger": "fastlane",
        "logentry": {"message": name},
        "tags": {"event": name, **tags},
        "extra": {key: value for key, value in line.items() if key not in ("event", "level", "time")},
        "fingerprint": [name],
    }
    if stack:
        kind, _, words = stack.rstrip().rpartition("\n")[2].partition(": ")
        report["exception"] = {"values": [{"type": kind, "value": words}]}
        report["fingerprint"].append(kind)
    return report
