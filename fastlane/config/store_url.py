"""The setting ``store_url``: a SQLite file, or a MongoDB database."""

import re
from urllib.parse import parse_qsl

from fastlane.config.types import Invocation, SettingType, read_stripped_text
from fastlane.log import scrub

SQLITE = "sqlite:///"
MONGO = ("mongodb://", "mongodb+srv://")

FIXED = {
    "readpreference": ("primary", "fastlane decides by what it reads, so it reads from the primary"),
    "readconcernlevel": ("majority", "fastlane reads what a majority of the members has"),
    "w": ("majority", "a write counts once a majority of the members has it"),
    "journal": ("true", "a write counts once it is in the journal"),
    "retrywrites": ("false", "fastlane repeats writes itself"),
    "retryreads": ("false", "fastlane repeats reads itself"),
    "timeoutms": (None, "each call has a time limit already"),
    "wtimeoutms": (None, "each call has a time limit already"),
    "sockettimeoutms": (None, "each call has a time limit already"),
}
"""Options that fastlane sets itself: the value with which a URL may repeat each of them, and why."""

_HOST = r"([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._~%-]+\.sock)"
_MONGO_URL = re.compile(
    rf"mongodb://([^/@?#]+@)?{_HOST}(:[0-9]{{1,5}})?(,{_HOST}(:[0-9]{{1,5}})?)*(/[A-Za-z0-9_-]{{0,63}})?(\?[^?#\s]*)?"
    rf"|mongodb\+srv://([^/@?#]+@)?[A-Za-z0-9.-]+(/[A-Za-z0-9_-]{{0,63}})?(\?[^?#\s]*)?",
    re.ASCII,
)
_EXAMPLE = "mongodb://USER:PASSWORD@HOST:27017,HOST:27017/DATABASE?replicaSet=NAME"
_PASSWORD = "with /, :, @ and % in a password as %2F, %3A, %40 and %25"


def _read(value: object) -> str:
    text = read_stripped_text(value)
    if text.startswith(MONGO):
        return _mongo(text)
    if not text.startswith(SQLITE) or text.removeprefix(SQLITE) in ("", "/", ":memory:") or "\0" in text:
        words = f"is not the URL of a store; write {SQLITE}PATH ({SQLITE}/var/lib/fastlane/fastlane.db is an absolute path)"
        raise ValueError(f"{words}, or {_EXAMPLE}")
    return text


def _mongo(text: str) -> str:
    if not _MONGO_URL.fullmatch(text):
        raise ValueError(f"is not the URL of a MongoDB; write {_EXAMPLE}, {_PASSWORD}, or mongodb+srv://USER:PASSWORD@NAME/DATABASE")
    for name, chosen in parse_qsl(text.partition("?")[2], keep_blank_values=True):
        only, why = FIXED.get(name.lower(), (chosen, ""))
        if only is None or chosen.lower() != only.lower():
            raise ValueError(f"has the option {name.lower()}: {why}; leave the option out")
    return text


def _resolved(url: str, invocation: Invocation) -> str:
    return url if url.startswith(MONGO) else f"{SQLITE}{invocation.cwd / url.removeprefix(SQLITE)}"


STORE_URL = SettingType(_read, scrub, resolve=_resolved)
