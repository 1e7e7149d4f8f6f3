"""Users and tokens: the types of the settings ``users`` and ``tokens``, the hashes of passwords and tokens, and the files that a running
server reads again. Hashes are secret: no fault repeats one, and ``show`` masks them.
"""

import hmac
import json
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import scrypt, sha256
from pathlib import Path
from typing import Any

from fastlane.config.types import Key, Keys, SettingType, read_choice, read_stripped_text, read_tables, read_text_if
from fastlane.errors import Fault, Invalid
from fastlane.log import MASK
from fastlane.models.access import Principal, Role
from fastlane.models.container import read_text

COST, BLOCKS, PARALLEL = 15, 8, 3
"""scrypt's parameters for new hashes (N is 2 to the power of COST), from OWASP's password storage cheat sheet: 32 MiB, about 0.2 s."""
MAX_SCRYPT_MEMORY = 256 * 1024 * 1024
"""Bytes that scrypt may use for a configured hash."""
TOKEN_PREFIX = "fl_"

_PASSWORD = re.compile(r"scrypt:([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2}):([A-Za-z0-9_-]{11,88}):([A-Za-z0-9_-]{22,88})", re.ASCII)
_TOKEN = re.compile(r"sha256:([0-9a-fA-F]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """A scrypt hash with its parameters: N is 2 to the power of ``cost``."""

    cost: int
    blocks: int
    parallel: int
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    def matches(self, password: str) -> bool:
        """Whether this is the password. Takes the time of one hash in either case. Blocks, without the interpreter's lock."""
        found = _scrypt(password, self.salt, self.cost, self.blocks, self.parallel, len(self.digest))
        return hmac.compare_digest(found, self.digest)

    def decoy(self) -> "PasswordHash":
        """A hash that takes as long to check and matches nothing, for users who do not exist."""
        return PasswordHash(self.cost, self.blocks, self.parallel, secrets.token_bytes(16), secrets.token_bytes(len(self.digest)))


@dataclass(frozen=True, slots=True)
class User:
    """A principal who logs in with a name and a password."""

    principal: Principal
    password: PasswordHash


@dataclass(frozen=True, slots=True)
class Token:
    """A principal who sends a bearer token; ``digest`` is the token's SHA-256."""

    principal: Principal
    digest: bytes = field(repr=False)


def hash_password(password: str) -> str:
    """Hashes a password with a new salt, in the form of the settings."""
    salt = secrets.token_bytes(16)
    return ":".join(
        ["scrypt", str(COST), str(BLOCKS), str(PARALLEL), _text(salt), _text(_scrypt(password, salt, COST, BLOCKS, PARALLEL, 32))]
    )


def read_password_hash(text: str) -> PasswordHash:
    """Parses a written hash. Raises ValueError, which does not repeat the text: it may be a password by mistake."""
    match = _PASSWORD.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        cost, blocks, parallel = (int(number) for number in match.groups()[:3])
        salt, digest = (urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in match.groups()[3:])
    except (NotBase64, ValueError):
        raise ValueError("is not a password hash; `fastlane password` makes one") from None
    if not 10 <= cost <= 20 or not 1 <= blocks <= 32 or not 1 <= parallel <= 16 or (128 * blocks) << cost > MAX_SCRYPT_MEMORY:
        raise ValueError("is a hash whose parameters are out of range; `fastlane password` makes a valid one")
    return PasswordHash(cost, blocks, parallel, salt, digest)


def make_token() -> str:
    """A new token: 256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def token_digest(token: str) -> bytes:
    """The digest by which a token is checked. Plain SHA-256 is enough, because 256 random bits cannot be guessed."""
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


def hash_token(token: str) -> str:
    """A token's hash in the form of the settings."""
    return f"sha256:{token_digest(token).hex()}"


def read_token_hash(text: str) -> bytes:
    """Parses a written hash. Raises ValueError, which does not repeat the text: it may be a token by mistake."""
    match = _TOKEN.fullmatch(text)
    if match is None:
        raise ValueError("is not a token hash; `fastlane token` makes a token and its hash")
    return bytes.fromhex(match[1])


def _scrypt(password: str, salt: bytes, cost: int, blocks: int, parallel: int, length: int) -> bytes:
    memory = 2 * MAX_SCRYPT_MEMORY
    return scrypt(password.encode("utf-8", "surrogateescape"), salt=salt, n=1 << cost, r=blocks, p=parallel, maxmem=memory, dklen=length)


def _text(value: bytes) -> str:
    return urlsafe_b64encode(value).decode().rstrip("=")


_NAME = r"[^\x00-\x1f\x7f-\x9f:]{1,64}"


def _tasks(value: object) -> str:
    text = read_text(value)
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return text


def _role(value: object) -> Role:
    return Role(read_choice(*Role)(value))


COMMON_KEYS: Keys = {
    "name": Key("name", read_text_if(_NAME, "is not a name; use 1 to 64 characters without ':' and control characters")),
    "role": Key("role", _role),
    "tasks": Key("tasks", _tasks),
}
USER_KEYS: Keys = {**COMMON_KEYS, "password": Key("secret", lambda value: read_password_hash(read_stripped_text(value)))}
TOKEN_KEYS: Keys = {**COMMON_KEYS, "token": Key("secret", lambda value: read_token_hash(read_stripped_text(value)))}


def _users(value: object) -> tuple[User, ...]:
    example = '[{"name": "anna", "password": HASH, "role": "run"}]'
    rows = read_tables(value, "user", USER_KEYS, ("name", "password", "role"), example)
    users = tuple(User(_principal(row), row["secret"]) for row in rows)
    _refuse_duplicates([user.principal for user in users], "users")
    return users


def _tokens(value: object) -> tuple[Token, ...]:
    example = '[{"name": "ci", "token": HASH, "role": "run"}]'
    rows = read_tables(value, "token", TOKEN_KEYS, ("name", "token", "role"), example)
    tokens = tuple(Token(_principal(row), row["secret"]) for row in rows)
    _refuse_duplicates([token.principal for token in tokens], "tokens")
    if len({token.digest for token in tokens}) < len(tokens):
        raise ValueError("has the same token under two names; make one for each with `fastlane token`")
    return tokens


def _principal(row: dict[str, Any]) -> Principal:
    return Principal(row["name"], row["role"], row.get("tasks", ""))


def duplicate_names(principals: Sequence[Principal]) -> list[str]:
    """The names that occur more than once."""
    names = [principal.name for principal in principals]
    return sorted({name for name in names if names.count(name) > 1})


def _refuse_duplicates(principals: Sequence[Principal], nouns: str) -> None:
    if found := duplicate_names(principals):
        raise Invalid([Fault("", f"two {nouns} are named {name!r}") for name in found])


def _show(rows: Sequence[User | Token]) -> str:
    def masked(row: User | Token) -> dict[str, str]:
        secret = "password" if isinstance(row, User) else "token"
        return {"name": row.principal.name, secret: MASK, "role": row.principal.role, "tasks": row.principal.tasks}

    return json.dumps([masked(row) for row in rows], ensure_ascii=False)


USERS = SettingType(_users, _show, empty=(), tables=True)
TOKENS = SettingType(_tokens, _show, empty=(), tables=True)


Fingerprint = tuple[bytes | None, ...]
"""A digest of the content of each file; None for one that does not exist or cannot be read."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may log in."""

    users: tuple[User, ...] = field(repr=False)
    tokens: tuple[Token, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccessFiles:
    """``read`` reads users and tokens again, from the same places as at the start; it blocks, and raises Invalid. ``seen`` is what the
    files contained before they were read at the start."""

    files: tuple[Path, ...]
    seen: Fingerprint
    read: Callable[[], Access]


def fingerprint(files: Sequence[Path]) -> Fingerprint:
    """What the files contain now. Blocks."""
    return tuple(_digest(file) for file in files)


def _digest(file: Path) -> bytes | None:
    try:
        return sha256(file.read_bytes()).digest() if file.is_file() else None  # a pipe could be read only once
    except OSError:
        return None
