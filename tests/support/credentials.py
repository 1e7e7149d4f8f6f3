"""Users and tokens for tests: real hashes, of the smallest cost that the settings take."""

import base64
import hashlib
import os

from fastlane.config.access import PasswordHash, Token, User, token_digest
from fastlane.models.access import Principal, Role


def quick_hash(password: str) -> PasswordHash:
    """A hash that takes a millisecond."""
    salt = os.urandom(16)
    return PasswordHash(10, 1, 1, salt, hashlib.scrypt(password.encode(), salt=salt, n=1 << 10, r=1, p=1, dklen=32))


def quick_hash_text(password: str) -> str:
    """Such a hash in the form of the settings."""
    found = quick_hash(password)
    salt, digest = (base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (found.salt, found.digest))
    return f"scrypt:{found.cost}:{found.blocks}:{found.parallel}:{salt}:{digest}"


def user(name: str, password: str, role: str = "run", tasks: str = "") -> User:
    return User(Principal(name, Role(role), tasks), quick_hash(password))


def token(name: str, secret: str, role: str = "run", tasks: str = "") -> Token:
    return Token(Principal(name, Role(role), tasks), token_digest(secret))


def basic(name: str, password: str) -> dict[str, str]:
    """The header of HTTP Basic."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def bearer(secret: str) -> dict[str, str]:
    """The header of a bearer token."""
    return {"Authorization": f"Bearer {secret}"}
