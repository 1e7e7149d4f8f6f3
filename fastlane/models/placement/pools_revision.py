"""Which pools the processes of an installation are to have: the one that started or read its settings last records what it found."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

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
    return hashlib.sha256(repr(tuple(pools)).encode()).hexdigest()[:16]
