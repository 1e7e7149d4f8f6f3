"""The header ``Idempotency-Key``: a request that is sent again under its key has no second effect."""

from collections.abc import Mapping
from hashlib import blake2b

from fastlane.errors import Fault, Invalid
from fastlane.models.idempotency import IdempotencyKey
from fastlane.web.api.contract import IDEMPOTENCY_KEY, MAX_KEY


def read_key(headers: Mapping[str, str], user: str | None, body: bytes, *scope: str) -> IdempotencyKey | None:
    """A request's key, which counts only for the same user and ``scope``; None without one. Raises Invalid when it cannot be a key."""
    if IDEMPOTENCY_KEY not in headers:
        return None
    key = headers[IDEMPOTENCY_KEY]
    if not key.strip() or len(key) > MAX_KEY or not key.isprintable():
        words = f"is not 1 to {MAX_KEY} printable characters; send a key that no other request has, such as a new UUID"
        raise Invalid([Fault(IDEMPOTENCY_KEY, words)])
    return IdempotencyKey(_digest("" if user is None else f"user {user}", *scope, key), _digest(body.hex()))


def _digest(*parts: str) -> str:
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()
