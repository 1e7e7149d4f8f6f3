"""Ids: UUIDs that begin with the time of their creation, UUIDs that derive from another one, and the keys that make a request idempotent.

Rows that are created one after another then stand next to each other in every index of the store. With random ids, each insert changes
a different page of each index: storing a job cost three times as much at 40,000 jobs, and more with more jobs (measured, SQLite).
Ids are names, not secrets: knowing one does not give access.
"""

import hashlib
from dataclasses import dataclass
from random import getrandbits

from fastlane.errors import KeyReused

TIME = (1 << 48) - 1
VERSION_7, VARIANT = 7 << 76, 2 << 62
VARIANTS = "89ab"


def new_id(now: int) -> str:
    """A new UUID, version 7 (RFC 9562): ``now`` (milliseconds), then 74 random bits."""
    digits = f"{(now & TIME) << 80 | VERSION_7 | getrandbits(12) << 64 | VARIANT | getrandbits(62):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def derived_id(id: str, name: str) -> str:
    """The UUID, version 8 (RFC 9562), that derives from another one and a name: the first 48 bits of the other one, then 74 bits of the
    SHA-1 of both. Every process derives the same one."""
    digest = hashlib.sha1(f"{id}/{name}".encode(), usedforsecurity=False).hexdigest()
    return f"{id[:13]}-8{digest[:3]}-{VARIANTS[int(digest[3], 16) & 3]}{digest[4:7]}-{digest[7:19]}"


def nonce() -> str:
    """128 random bits, as 32 hexadecimal digits."""
    return f"{getrandbits(128):032x}"


DAY = 24 * 3_600_000
"""Milliseconds for which a key is remembered."""


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """The result of a request with a key. It is stored in the commit of the request's effect, so neither exists without the other.

    ``created_at`` is in milliseconds; the ids repeat the answer (``tick_id`` is empty where the answer has none).
    """

    key: str
    body: str
    created_at: int
    task_id: str
    job_id: str
    tick_id: str
    execution_id: str | None


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """Digests of a request's key (together with its sender and what it asks for) and of its body. The request has its effect once."""

    key: str
    body: str

    def check(self, earlier: IdempotencyRecord) -> None:
        """Raises KeyReused when the earlier request with this key had another body."""
        if earlier.body != self.body:
            raise KeyReused("this key was sent with another body before; give each request its own key")
