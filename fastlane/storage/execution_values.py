"""Converts the values that only executions have to what is stored of them, and back. ``documents`` converts the rest of an execution."""

import orjson

from fastlane.models.execution import Failure, FailureReason, Usage
from fastlane.models.schedule import Overlap


def failure_to_json(failure: Failure | None) -> str | None:
    """A failure as JSON text; None for None."""
    return None if failure is None else orjson.dumps({"reason": failure.reason, "message": failure.message}).decode()


def failure_from_json(text: str | None) -> Failure | None:
    """The failure that ``failure_to_json`` wrote."""
    if text is None:
        return None
    stored = orjson.loads(text)
    return Failure(FailureReason(stored["reason"]), stored["message"])


def waits_to_text(waits: Overlap | None) -> str | None:
    """The rule of an execution that waits; None for None."""
    return None if waits is None else waits.value


def waits_from_text(text: str | None) -> Overlap | None:
    """The rule that ``waits_to_text`` wrote."""
    return None if text is None else Overlap(text)


def usage_to_json(usage: Usage | None) -> str | None:
    """What a container used as JSON text; None for None."""
    return None if usage is None else orjson.dumps([usage.memory_peak, usage.cpu_ms, usage.read_bytes, usage.written_bytes]).decode()


def usage_from_json(text: str | None) -> Usage | None:
    """The usage that ``usage_to_json`` wrote."""
    return None if text is None else Usage(*orjson.loads(text))
