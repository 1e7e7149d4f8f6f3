"""What makes a request safe to send again: the key that its sender gave it, and what it came to the first time."""

from dataclasses import dataclass

DAY = 24 * 3_600_000
"""Milliseconds for which a key is known."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A request that is to have its effect once: digests of its key (within its sender and what it asks for) and of its body."""

    key: str
    body: str


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """What a request with a key came to. It is stored in the commit of its effect, so there is one without the other never.

    ``created_at`` in milliseconds; the ids are those of the answer.
    """

    key: str
    body: str
    created_at: int
    task_id: str
    job_id: str
    tick_id: str
    execution_id: str | None
