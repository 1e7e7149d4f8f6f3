"""The settings of fastlane 2.x that are still read: under their old names, in the forms that they had there, each with its new name.

They stand in the environment, or in the file where TOML can say them; a new name wins over an old one. The password of
BASIC_AUTH_PASSWORD is plain text there, so it is hashed here before anything else sees it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastlane.config.credentials import hash_password
from fastlane.models.container.options import shown

USERNAME, USER, PASSWORD = "BASIC_AUTH_USERNAME", "BASIC_AUTH_USER", "BASIC_AUTH_PASSWORD"
"""2.x read the first; the second is what people write."""


@dataclass(frozen=True, slots=True)
class Alias:
    """An old name, the setting that it means, and how an old value becomes one that the setting's kind reads (ValueError: it cannot).
    ``meaning``: the words that the docs have for the difference."""

    old: str
    new: str
    meaning: str
    convert: Callable[[object], object]


@dataclass(frozen=True, slots=True)
class Renamed:
    """An old name that was met. ``used``: its value counts; else the new name was there too and wins."""

    old: str
    new: str
    used: bool

    def __str__(self) -> str:
        """What to do about it."""
        return f"{self.old} is a name of fastlane 2.x; use {self.new}" + (
            "" if self.used else f", which is set too and wins: drop {self.old}"
        )


@dataclass(frozen=True, slots=True)
class Meant:
    """What old names say of a setting: which ones, and the value in its new form."""

    old: tuple[str, ...]
    new: str
    value: object


def _same(value: object) -> object:
    return value


def _seconds(value: object) -> str:
    text = str(value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()):
        raise ValueError(f"{shown(value)} is not a whole number of seconds")
    return f"{text}s"


def _pools(value: object) -> object:
    """2.x: ``[{"match": "a-.+", "hosts": ["h:2375"], "maxRunning": 2}]``, as text or not; its pools have no names."""
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
    known = {key: row[key] for key in ("match", "hosts", "maxRunning") if key in row}
    if known.get("match", "") is None:
        known["match"] = ""
    return {"name": "default" if known.get("match") == "" else f"pool-{number}", **known}


ALIASES = (
    Alias(
        "DOCKER_HOSTS", "pools", "JSON; pools have names now: the one of the empty match is `default`, others `pool-1`, `pool-2`…", _pools
    ),
    Alias("REDIS_URL", "redis_url", "none", _same),
    Alias("HARD_EXECUTION_TIMEOUT_SECONDS", "hard_timeout", "a duration (`30m`) instead of seconds", _seconds),
    Alias("DOCKER_CIRCUIT_BREAKER_MAX_FAILS", "breaker_max_fails", "none", _same),
    Alias("DOCKER_CIRCUIT_BREAKER_RESET_TIMEOUT_SECONDS", "breaker_reset", "a duration (`1m`) instead of seconds", _seconds),
    Alias("ENV_BLACKLISTED_WORDS", "redact_words", "`token` is among the default words too", _same),
    Alias("PAGINATION_PER_PAGE", "per_page", "at most 100", _same),
)
NAMES = (*(alias.old for alias in ALIASES), USERNAME, USER, PASSWORD)


def meant(given: Mapping[str, object], say: Callable[[str, str], None]) -> list[Meant]:
    """What these values under old names come to; ``say(old name, fault)`` hears of what cannot be used."""
    found = []
    for alias in ALIASES:
        if alias.old in given:
            try:
                found.append(Meant((alias.old,), alias.new, alias.convert(given[alias.old])))
            except ValueError as error:
                say(alias.old, str(error))
    return found + _basic_auth(given, say)


def _basic_auth(given: Mapping[str, object], say: Callable[[str, str], None]) -> list[Meant]:
    """One user who may everything, as 2.x had it. Only one half of it would leave the server open without anybody noticing."""
    old = tuple(name for name in (USERNAME, USER, PASSWORD) if name in given)
    if not old:
        return []
    name, password = given.get(USERNAME, given.get(USER)), given.get(PASSWORD)
    if name is None or password is None:
        say(old[0], f"is set without {PASSWORD if password is None else USERNAME}; set both, or neither")
        return []
    if not isinstance(name, str) or not isinstance(password, str):
        say(old[0], "is not text; put it in quotes")
        return []
    return [Meant(old, "users", [{"name": name, "password": hash_password(password), "role": "admin"}])]
