"""The files from which users and tokens came, to be read again when they change while the process runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from fastlane.config.credentials import Token, User

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
