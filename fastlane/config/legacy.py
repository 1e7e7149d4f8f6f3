"""The settings of fastlane 2.x that are still read, with their old names and forms, and how each becomes a setting of today.

They are read from the environment, or from the file where TOML can express them; a new name wins over an old one. BASIC_AUTH_PASSWORD is
plain text, so it is hashed here before anything else sees it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from fastlane.config.access import hash_password
from fastlane.errors import quoted
from fastlane.models.host import Endpoint

USERNAME, USER, PASSWORD = "BASIC_AUTH_USERNAME", "BASIC_AUTH_USER", "BASIC_AUTH_PASSWORD"
"""The variables of the user's name and the password. Version 2.x read the first; the second is a common mistake for it."""


@dataclass(frozen=True, slots=True)
class LegacyName:
    """An old name and the setting that it means. ``difference`` is for the docs. ``convert`` makes a value that the setting's type reads
    from an old one, or raises ValueError."""

    old: str
    new: str
    difference: str
    convert: Callable[[object], object]


@dataclass(frozen=True, slots=True)
class Deprecation:
    """An old name that was found. ``used``: its value counts; otherwise the new name is set too and wins."""

    old: str
    new: str
    used: bool

    def __str__(self) -> str:
        """The advice for the user."""
        return f"{self.old} is a name of fastlane 2.x; use {self.new}" + (
            "" if self.used else f", which is also set and wins: remove {self.old}"
        )


@dataclass(frozen=True, slots=True)
class TranslatedValue:
    """The value of a setting in its new form, and the old names that gave it."""

    old: tuple[str, ...]
    new: str
    value: object


def _unchanged(value: object) -> object:
    return value


def _seconds(value: object) -> str:
    text = str(value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()):
        raise ValueError(f"{quoted(value)} is not a whole number of seconds")
    return f"{text}s"


def _pools(value: object) -> object:
    """Pools of 2.x, ``[{"match": "a-.+", "hosts": ["h:2375"], "maxRunning": 2}]``, as text or parsed; they have no names."""
    rows = value
    if isinstance(value, str):
        try:
            rows = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError('is not JSON; write [{"match": "", "hosts": ["HOST:2375"], "maxRunning": 2}]') from None
    rows = [rows] if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError('is not a list of objects; write [{"match": "", "hosts": ["HOST:2375"], "maxRunning": 2}]')
    return [_pool(row, number) for number, row in enumerate(rows, 1)]


def _pool(row: Mapping[str, object], number: int) -> dict[str, object]:
    known: dict[str, object] = {key: row[key] for key in ("match", "hosts", "maxRunning") if key in row}
    hosts = known.get("hosts")
    if isinstance(hosts, list) and any(isinstance(host, str) and Endpoint(host.strip()).scheme == "tcp" for host in hosts):
        known["insecure"] = True  # 2.x knew no TLS
    if known.get("match", "") is None:
        known["match"] = ""
    return {"name": "default" if known.get("match") == "" else f"pool-{number}", **known}


LEGACY_NAMES = (
    LegacyName(
        "DOCKER_HOSTS",
        "pools",
        "JSON; pools have names now: `default` for the empty match, else `pool-1`, `pool-2`…; `insecure = true` is assumed",
        _pools,
    ),
    LegacyName("REDIS_URL", "redis_url", "none", _unchanged),
    LegacyName("HARD_EXECUTION_TIMEOUT_SECONDS", "hard_timeout", "a duration (`30m`) instead of seconds", _seconds),
    LegacyName("DOCKER_CIRCUIT_BREAKER_MAX_FAILS", "breaker_max_fails", "none", _unchanged),
    LegacyName("DOCKER_CIRCUIT_BREAKER_RESET_TIMEOUT_SECONDS", "breaker_reset", "a duration (`1m`) instead of seconds", _seconds),
    LegacyName("ENV_BLACKLISTED_WORDS", "redact_words", "there are more default words now", _unchanged),
    LegacyName("PAGINATION_PER_PAGE", "per_page", "at most 100", _unchanged),
    LegacyName("SMTP_HOST", "smtp_host", "TLS is required unless smtp_tls is none", _unchanged),
    LegacyName("SMTP_PORT", "smtp_port", "none", _unchanged),
    LegacyName("SMTP_USER", "smtp_user", "none", _unchanged),
    LegacyName("SMTP_PASSWORD", "smtp_password", "a secret: it may be in a file", _unchanged),
    LegacyName("SMTP_FROM", "smtp_from", "an address only", _unchanged),
)
NAMES = (*(row.old for row in LEGACY_NAMES), USERNAME, USER, PASSWORD)


def translate(values: Mapping[str, object], report: Callable[[str, str], None]) -> list[TranslatedValue]:
    """Translates values under old names; calls ``report(old name, fault)`` for each that cannot be used."""
    found = []
    for row in LEGACY_NAMES:
        if row.old in values:
            try:
                found.append(TranslatedValue((row.old,), row.new, row.convert(values[row.old])))
            except ValueError as error:
                report(row.old, str(error))
    return found + _basic_auth(values, report)


def _basic_auth(values: Mapping[str, object], report: Callable[[str, str], None]) -> list[TranslatedValue]:
    """One user with the role admin, as in 2.x. Ignoring half of a login would leave the server open without anyone noticing."""
    old = tuple(name for name in (USERNAME, USER, PASSWORD) if name in values)
    if not old:
        return []
    name, password = values.get(USERNAME, values.get(USER)), values.get(PASSWORD)
    if name is None or password is None:
        report(old[0], f"is set without {PASSWORD if password is None else USERNAME}; set both or neither")
        return []
    if not isinstance(name, str) or not isinstance(password, str):
        report(old[0], "is not text; put it in quotes")
        return []
    return [TranslatedValue(old, "users", [{"name": name, "password": _hash(password), "role": "admin"}])]


@lru_cache(maxsize=1)
def _hash(password: str) -> str:
    """Hashes a password. The same password gets the same hash when it is read again: a new one would end the sessions of its user."""
    return hash_password(password)
