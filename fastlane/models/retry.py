"""Whether a failed attempt is retried, and when. A pure rule: every process that settles an execution derives the same moment."""

from hashlib import sha256

from fastlane.models.execution import Execution, FailureReason
from fastlane.models.status import Status

RETRIED = frozenset({FailureReason.EXIT, FailureReason.OOM, FailureReason.KILLED, FailureReason.HOST_LOST})
"""Failures that another attempt may cure, unlike a bad image, a refused order, or an order that fits no node."""

FIRST_DELAY = 1_000
MAX_DELAY = 600_000
JITTER = 0.2
"""The share by which a delay may be longer, so that jobs that failed together are not retried together."""


def next_attempt(
    tick_id: str,
    attempt: int,
    reason: FailureReason | None,
    *,
    retries: int,
    retry_delay: int | None,
    finished_at: int,
) -> int | None:
    """When the next attempt is due; None if there is none. Moments and delays are in milliseconds.

    ``attempt`` counts from 1; ``reason`` is None when it did not fail (done, timed out, stopped, expired). ``retries``: how many attempts
    may follow the first. ``retry_delay``: a fixed delay; None for one that grows.
    """
    if reason not in RETRIED or attempt > retries:
        return None
    return finished_at + (backoff(tick_id, attempt) if retry_delay is None else retry_delay)


def retry_due(execution: Execution) -> int | None:
    """When the attempt after a final execution is due (milliseconds); None after the last one, or when the next would expire first."""
    if execution.status is not Status.FAILED or execution.stop_requested_at is not None or execution.finished_at is None:
        return None
    due = next_attempt(
        execution.tick_id,
        execution.attempt,
        execution.failure.reason if execution.failure else None,
        retries=execution.spec.retries,
        retry_delay=execution.spec.retry_delay,
        finished_at=execution.finished_at,
    )
    return None if due is not None and execution.expires_at is not None and due >= execution.expires_at else due


def is_under_way(latest: Execution) -> bool:
    """Whether a job's latest execution is in progress, or the attempt after it is still to be created."""
    return not latest.status.final or (not latest.settled and retry_due(latest) is not None)


def backoff(tick_id: str, attempt: int) -> int:
    """Milliseconds to wait after this attempt: 1 s, doubled each time, up to 10 minutes, jitter included.

    The jitter derives from the tick and the attempt: random between ticks, the same in every process.
    """
    doubled = FIRST_DELAY * 2 ** min(attempt - 1, 20)
    return int(min(doubled, MAX_DELAY / (1 + JITTER)) * (1 + JITTER * _share(f"{tick_id}:{attempt}")))


def _share(seed: str) -> float:
    """A number from 0 up to, but not including, 1."""
    return int.from_bytes(sha256(seed.encode()).digest()[:6]) / 2**48
