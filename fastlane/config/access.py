"""The types of the settings ``users`` and ``tokens``. Their hashes are secret: no fault repeats one, and ``show`` masks them."""

import json
import re
from collections.abc import Sequence
from typing import Any

from fastlane.config.credentials import Token, User, read_password_hash, read_token_hash
from fastlane.config.types import KeyReaders, SettingType, read_choice, read_stripped_text, read_tables
from fastlane.errors import Fault, Invalid
from fastlane.log import MASK
from fastlane.models.access import Principal, Role
from fastlane.models.container.options import read_text

_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f:]{1,64}")


def _name(value: object) -> str:
    text = read_stripped_text(value)
    if not _NAME.fullmatch(text):
        raise ValueError("is not a name; use 1 to 64 characters without ':' and control characters")
    return text


def _tasks(value: object) -> str:
    text = read_text(value)
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return text


def _role(value: object) -> Role:
    return Role(read_choice(*Role)(value))


COMMON_KEYS: KeyReaders = {"name": ("name", _name), "role": ("role", _role), "tasks": ("tasks", _tasks)}
USER_KEYS: KeyReaders = {**COMMON_KEYS, "password": ("secret", lambda value: read_password_hash(read_stripped_text(value)))}
TOKEN_KEYS: KeyReaders = {**COMMON_KEYS, "token": ("secret", lambda value: read_token_hash(read_stripped_text(value)))}


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
    """The names that stand more than once."""
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


USERS = SettingType(_users, _show, tables=True)
TOKENS = SettingType(_tokens, _show, tables=True)
