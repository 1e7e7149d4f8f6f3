"""Signatures of webhooks, after the convention of Standard Webhooks (https://www.standardwebhooks.com). Pure."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
MAX_SECRETS = 2
"""The current secret of a pool and the one before it, while receivers change over."""
SHORTEST, LONGEST = 24, 64
"""Bytes of a secret."""


def read_secret(text: str) -> bytes:
    """The key that a secret such as ``whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`` stands for. Raises ValueError, without the secret."""
    words = f"is not a webhook secret: {PREFIX} and {SHORTEST} to {LONGEST} random bytes in base64; make one with: openssl rand -base64 32"
    if not text.startswith(PREFIX):
        raise ValueError(words)
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(words) from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(words)
    return key


def signature(secrets: Sequence[str], id: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature``: one signature for each secret. ``timestamp`` in seconds."""
    signed = f"{id}.{timestamp}.".encode() + body
    digests = (hmac.digest(read_secret(secret), signed, hashlib.sha256) for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
