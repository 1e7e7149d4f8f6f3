"""Ids: UUIDs that begin with the time of their making, and those that derive from one.

Rows that are made one after another then lie side by side in every index of the store. With random ids each insert changes a page of
its own in each index: a job cost three times as much to store, and more the more there were (measured at 40,000 jobs, SQLite).
They are names, not secrets: who may read what is not decided by knowing one.
"""

import hashlib
from random import getrandbits

TIME = (1 << 48) - 1
VERSION_7, VARIANT = 7 << 76, 2 << 62
VARIANTS = "89ab"


def new_id(now: int) -> str:
    """A new UUID, version 7 (RFC 9562): ``now`` (milliseconds), then 74 random bits."""
    digits = f"{(now & TIME) << 80 | VERSION_7 | getrandbits(12) << 64 | VARIANT | getrandbits(62):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def derived_id(id: str, name: str) -> str:
    """The UUID that derives from another one and a name, version 8 (RFC 9562): the first 48 bits of the other one, then 74 of the SHA-1
    of both. The same whoever derives it."""
    digest = hashlib.sha1(f"{id}/{name}".encode(), usedforsecurity=False).hexdigest()
    return f"{id[:13]}-8{digest[:3]}-{VARIANTS[int(digest[3], 16) & 3]}{digest[4:7]}-{digest[7:19]}"


def nonce() -> str:
    """128 random bits, as 32 hexadecimal digits."""
    return f"{getrandbits(128):032x}"
