"""The types of the settings ``registries`` and ``docker_config``: fastlane's logins at image registries. No fault repeats a password.

A file is read when its content is needed, and again when it changes (``executors/swarm/images/registries.py``): a process that pulls
nothing does not need the file.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastlane.config.types import Invocation, KeyReaders, SettingType, read_file_path, read_stripped_text, read_tables
from fastlane.errors import Fault, Invalid
from fastlane.log import MASK
from fastlane.models.container.options import read_text
from fastlane.models.container.registry import RegistryLogin, registry_host

NONE = "none"
BOTH, NEITHER = "both a password and a passwordFile", "neither a password nor a passwordFile"

_HOST = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?", re.ASCII)


def _host(value: object) -> str:
    text = read_stripped_text(value)
    if not _HOST.fullmatch(text):
        raise ValueError("is not a registry; write HOST or HOST:PORT as its image names begin, or docker.io")
    return registry_host(text)


def _username(value: object) -> str:
    text = read_stripped_text(value)
    if not text or ":" in text or not text.isprintable():
        raise ValueError("is not a user name; write one without ':'")
    return text


def _password(value: object) -> str:
    text = read_text(value)
    if not text:
        raise ValueError("is empty; leave out the registry to use it without a login")
    return text


def _path(value: object) -> Path:
    return read_file_path(value, "/run/secrets/registry")


REGISTRY_KEYS: KeyReaders = {
    "host": ("host", _host),
    "username": ("username", _username),
    "password": ("password", _password),
    "passwordFile": ("password_file", _path),
}


def _registries(value: object) -> tuple[RegistryLogin, ...]:
    example = '[{"host": "registry.example.com", "username": "ci", "passwordFile": "/run/secrets/registry"}]'
    rows = read_tables(value, "registry", REGISTRY_KEYS, ("host", "username"), example, "registries")
    faults = [
        Fault("", f"registry {number}: has {BOTH if 'password' in row else NEITHER}; write one of them")
        for number, row in enumerate(rows, 1)
        if ("password" in row) is ("password_file" in row)
    ]
    hosts = [row["host"] for row in rows]
    faults += [
        Fault("", f"two registries are {host!r}; leave out one") for host in sorted({host for host in hosts if hosts.count(host) > 1})
    ]
    if faults:
        raise Invalid(faults)
    return tuple(RegistryLogin(**row) for row in rows)


def _resolve_logins(logins: tuple[RegistryLogin, ...], invocation: Invocation) -> tuple[RegistryLogin, ...]:
    return tuple(
        login if login.password_file is None else replace(login, password_file=invocation.cwd / login.password_file) for login in logins
    )


def _show(logins: Sequence[RegistryLogin]) -> str:
    def row(login: RegistryLogin) -> dict[str, str]:
        secret = {"password": MASK} if login.password_file is None else {"passwordFile": str(login.password_file)}
        return {"host": login.host, "username": login.username, **secret}

    return json.dumps([row(login) for login in logins], ensure_ascii=False)


def _docker_config(value: object) -> Path | None:
    return None if read_stripped_text(value) == NONE else _path(value)


def default_docker_config(folder: str | None) -> Path | None:
    """The file of the docker command's logins: in ``folder``, else in ``~/.docker``; None for a user without a home."""
    try:
        return Path(folder or "~/.docker").expanduser() / "config.json"
    except RuntimeError:
        return None


def _resolve_path(path: Any, invocation: Invocation) -> Any:
    return invocation.cwd / path


REGISTRIES = SettingType(_registries, _show, resolve=_resolve_logins, tables=True)
DOCKER_CONFIG = SettingType(_docker_config, lambda path: NONE if path is None else str(path), resolve=_resolve_path)
