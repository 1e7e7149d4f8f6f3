"""What makes a request safe to send again: the key that its sender gave it, and the result of the first time."""

from dataclasses import dataclass

DAY = 24 * 3_600_000
"""Milliseconds for which a key is remembered."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """Digests of a request's key (together with its sender and what it asks for) and of its body. The request has its effect once."""

    key: str
    body: str


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """The result of a request with a key. It is stored in the commit of the request's effect, so neither exists without the other.

    ``created_at`` is in milliseconds; the ids are those of the answer.
    """

    key: str
    body: str
    created_at: int
    task_id: str
    job_id: str
    tick_id: str
    execution_id: str | None
