"""A receiver that fails: since when, and whether it is paused, so that what nobody takes is not sent over and over. Pure."""

from dataclasses import dataclass, field, replace
from hashlib import sha256

PAUSED_AFTER = 24 * 3_600_000
"""Milliseconds of nothing but failures after which a receiver is paused."""
TRIAL_EVERY = 3_600_000
"""Milliseconds after which one delivery to a paused receiver is attempted all the same."""
FORGOTTEN_AFTER = 7 * 24 * 3_600_000
"""Milliseconds without an attempt after which a receiver is forgotten."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A URL whose last attempt failed, and no attempt since ``failing_since`` did not (milliseconds). Each change raises ``version``, which
    begins at 1. ``origin`` is the URL's; ``error``: why the last attempt failed."""

    id: str
    origin: str
    failing_since: int
    failed_at: int
    error: str = field(repr=False)
    version: int = 1

    @property
    def is_paused(self) -> bool:
        """Whether it failed for so long that deliveries to it fail at once."""
        return self.failed_at - self.failing_since >= PAUSED_AFTER

    def takes(self, now: int) -> bool:
        """Whether a delivery to it is attempted now."""
        return not self.is_paused or now - self.failed_at >= TRIAL_EVERY

    def failed(self, error: str, now: int) -> "Receiver":
        """Its next version, after one more failure."""
        return replace(self, failed_at=max(now, self.failed_at), error=error, version=self.version + 1)


def receiver_id(url: str) -> str:
    """The id of the receiver with this URL, which does not tell the URL."""
    return sha256(url.encode()).hexdigest()[:32]
