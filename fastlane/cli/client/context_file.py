"""The file of contexts: named servers with their credentials. Only its owner may read it.

A server is chosen in this order: the context that the command line names; FASTLANE_URL, with the credentials of the environment; the
context of FASTLANE_CONTEXT; the current context of the file; this machine, with the credentials of the environment.
"""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import click

from fastlane.client import Address, WrongAddress

OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class Contexts:
    """The contexts by name, and the current one's name."""

    current: str | None = None
    contexts: Mapping[str, Address] = field(default_factory=dict)

    def get(self, name: str) -> Address:
        """The context of this name. Raises WrongAddress."""
        if name not in self.contexts:
            known = ", ".join(self.contexts) or "none"
            raise WrongAddress(f"there is no context {name!r}; there are: {known}; `fastlane context add` makes one")
        return self.contexts[name]


def path() -> Path:
    """Where the file is."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "fastlane" / "contexts.json"


def load() -> Contexts:
    """The contexts; none when there is no file. Raises WrongAddress for a file that others may read, or that is damaged."""
    file = path()
    try:
        with file.open(encoding="utf-8") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if mode & OTHERS:
                raise WrongAddress(f"others may read {file}, which has credentials; run: chmod 600 {file}")
            found: dict[str, Any] = json.load(opened)
        return Contexts(found.get("current"), {name: Address(**row) for name, row in found["contexts"].items()})
    except FileNotFoundError:
        return Contexts()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WrongAddress(f"{file} cannot be used: {error}; repair or remove it") from None


def save(contexts: Contexts) -> None:
    """Replaces the file in one step; only its owner can read it."""
    file = path()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    rows = {
        name: {key: value for key, value in asdict(address).items() if value is not None} for name, address in contexts.contexts.items()
    }
    with NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as new:  # has mode 0600
        json.dump({"current": contexts.current, "contexts": rows}, new, indent=2)
        new.flush()
        os.fsync(new.fileno())
    Path(new.name).replace(file)


def choose(name: str | None, *, interactive: bool) -> Address:
    """The server to ask. Asks for the password of a user who has none when there is someone to ask."""
    environment = Address.of_environment()
    if name is None and os.environ.get("FASTLANE_URL"):
        return _with_password(environment, interactive)
    contexts = load()
    name = name or os.environ.get("FASTLANE_CONTEXT") or contexts.current
    return _with_password(environment if name is None else contexts.get(name), interactive)


def _with_password(address: Address, interactive: bool) -> Address:
    if address.user is None or address.password is not None or address.token is not None or not interactive:
        return address
    return replace(address, password=click.prompt(f"Password of {address.user} at {address.shown}", hide_input=True, err=True))
