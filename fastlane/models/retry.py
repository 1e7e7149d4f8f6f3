"""Which failed attempts are tried again, after how long, and what the next attempt does otherwise: another host, more memory. All rules are
pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256


class FailureReason(StrEnum):
    """Why an execution failed."""

    EXIT = "exit"
    OOM = "oom"
    KILLED = "killed"
    IMAGE = "image"
    REJECTED = "rejected"
    UNSCHEDULABLE = "unschedulable"
    HOST_LOST = "host-lost"
    ENGINE = "engine"


RETRIED = frozenset({FailureReason.EXIT, FailureReason.OOM, FailureReason.KILLED, FailureReason.HOST_LOST, FailureReason.ENGINE})
"""Failures that another attempt may cure, unlike a bad image, a refused order, or an order that fits no node."""


@dataclass(frozen=True, slots=True)
class RetryOn:
    """The failures after which a job is tried again: those with one of these reasons, and those with one of these exit codes, whatever
    their reason is."""

    reasons: tuple[FailureReason, ...] = ()
    exit_codes: tuple[int, ...] = ()


def is_retried(rule: RetryOn | None, reason: FailureReason | None, exit_code: int | None) -> bool:
    """Whether a failure may be followed by another attempt. ``rule``: None for the usual reasons."""
    if rule is None:
        return reason in RETRIED
    return reason in rule.reasons or exit_code in rule.exit_codes


@dataclass(frozen=True, slots=True)
class OnOom:
    """How much memory the next attempt gets after one that ran out of it: ``factor`` times as much, and no more than ``max`` bytes (None:
    only the pool limits it)."""

    factor: float
    max: int | None = None


@dataclass(frozen=True, slots=True)
class Remedy:
    """What an attempt does otherwise than the one before. ``avoid``: the host that was lost with that one, which it takes only if it can
    have no other. ``memory``: how many bytes that one had, where this one has more."""

    avoid: str | None = None
    memory: int | None = None


def more_memory(rule: OnOom, had: int, limits: Sequence[int | None]) -> int:
    """How many bytes the next attempt has after one that ran out of ``had``: never fewer. ``limits``: what bounds it beside the rule."""
    bounds = [bound for bound in (rule.max, *limits) if bound is not None]
    return max(had, min([round(had * rule.factor), *bounds]))


FIRST_DELAY = 1_000
MAX_DELAY = 600_000
JITTER = 0.2
"""The share by which a delay may be longer, so that jobs that failed together are not retried together."""


def backoff(tick_id: str, attempt: int) -> int:
    """Milliseconds to wait after this attempt: 1 s, doubled each time, up to 10 minutes, jitter included.

    The jitter derives from the tick and the attempt: random between ticks, the same in every process.
    """
    doubled = FIRST_DELAY * 2 ** min(attempt - 1, 20)
    return int(min(doubled, MAX_DELAY / (1 + JITTER)) * (1 + JITTER * _share(f"{tick_id}:{attempt}")))


def _share(seed: str) -> float:
    """A number from 0 up to, but not including, 1."""
    return int.from_bytes(sha256(seed.encode()).digest()[:6]) / 2**48
