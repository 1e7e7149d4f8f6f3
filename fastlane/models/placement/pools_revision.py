"""Which pools the processes of an installation are to have: the one that started or read its settings last records what it found."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from fastlane.models.placement.pool import Pool


@dataclass(frozen=True, slots=True)
class PoolsRevision:
    """``number`` grows by one with each revision (0: none yet); ``digest`` is that of its pools, ``recorded_at`` in milliseconds.
    ``reload``: somebody asked for it while processes ran, so they are to read their settings again."""

    number: int = 0
    digest: str = ""
    recorded_at: int = 0
    reload: bool = False


def pools_digest(pools: Sequence[Pool]) -> str:
    """A text by which pools that differ in anything can be told apart, in whichever process."""
    hidden = tuple(hidden_of(pool) for pool in pools)
    shown = repr(tuple(pools)) + (_slow_digest(repr(hidden)) if any(hidden) else "")
    return hashlib.sha256(shown.encode()).hexdigest()[:16]


def hidden_of(pool: Pool) -> tuple[object, ...]:
    """What is secret in a pool, and therefore not in its ``repr``."""
    webhooks = tuple((webhook.url, tuple(sorted(webhook.headers.items())), repr(webhook.body)) for webhook in pool.webhooks)
    return (*webhooks, *pool.webhook_secrets)


@lru_cache(maxsize=8)
def _slow_digest(hidden: str) -> str:
    """A digest by which nobody guesses what it is of: people see the one that it becomes a part of."""
    return hashlib.scrypt(hidden.encode(), salt=b"fastlane pools", n=1 << 14, r=8, p=1, dklen=16).hex()
