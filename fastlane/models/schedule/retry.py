"""Whether a failed attempt is followed by another, and when: a pure rule, so that whoever settles an execution derives the same moment."""

from hashlib import sha256

from fastlane.models.execution import Execution, FailureReason
from fastlane.models.status import Status

RETRIED = frozenset({FailureReason.EXIT, FailureReason.OOM, FailureReason.KILLED, FailureReason.HOST_LOST})
"""What another attempt may cure. A bad image, an order that is refused and one that fits nowhere stay as they are."""

FIRST_DELAY = 1_000
LONGEST_DELAY = 600_000
JITTER = 0.2
"""A delay is longer by up to this share, so that jobs that failed together do not come back together."""


def next_attempt(
    tick_id: str,
    attempt: int,
    reason: FailureReason | None,
    *,
    retries: int,
    retry_delay: int | None,
    finished_at: int,
) -> int | None:
    """When the attempt after this one is due, None when there is none to be.

    ``attempt`` (1 is the first) ended at ``finished_at``; ``reason`` is why it failed, None when it did not fail (done, timed out,
    stopped, expired). ``retries``: how many attempts may follow the first. ``retry_delay``: a fixed delay, None for a growing
    one. Moments and delays in milliseconds.
    """
    if reason not in RETRIED or attempt > retries:
        return None
    return finished_at + (back_off(tick_id, attempt) if retry_delay is None else retry_delay)


def retry_due(execution: Execution) -> int | None:
    """When the attempt after a final execution is due (milliseconds); None when it is the last: also when there is no time left for one."""
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
    """Whether a job's latest execution counts as still under way: also while the attempt after it is yet to be made."""
    return not latest.status.final or (not latest.settled and retry_due(latest) is not None)


def back_off(tick_id: str, attempt: int) -> int:
    """The milliseconds to wait after this attempt: from 1 s, doubled each time, 10 minutes at most, jitter included.

    The jitter is derived from the tick and the attempt: random between ticks, the same for whoever asks.
    """
    doubled = FIRST_DELAY * 2 ** min(attempt - 1, 20)
    return int(min(doubled, LONGEST_DELAY / (1 + JITTER)) * (1 + JITTER * _share(f"{tick_id}:{attempt}")))


def _share(seed: str) -> float:
    """A number from 0 up to, not with, 1."""
    return int.from_bytes(sha256(seed.encode()).digest()[:6]) / 2**48
