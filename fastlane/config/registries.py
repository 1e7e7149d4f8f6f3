"""The kinds of the settings ``registries`` and ``docker_config``: who fastlane is to image registries. No fault repeats a password.

Whether a file is there is looked at when its content is needed, and again when it changes (``executors/registries.py``): a process that
pulls nothing does not need it.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastlane.config.types import Columns, SettingType, Start, read_raw, read_tables, read_text
from fastlane.errors import Fault, Invalid
from fastlane.log import MASK
from fastlane.models.container.options import shown
from fastlane.models.container.registry import Login, registry_host

NONE = "none"
BOTH, NEITHER = "both a password and a passwordFile", "neither a password nor a passwordFile"

_HOST = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?", re.ASCII)


def _host(value: object) -> str:
    text = read_text(value)
    if not _HOST.fullmatch(text):
        raise ValueError("is not a registry; write HOST or HOST:PORT as the names of its images begin, or docker.io")
    return registry_host(text)


def _username(value: object) -> str:
    text = read_text(value)
    if not text or ":" in text or not text.isprintable():
        raise ValueError("is not a user's name; a name is not empty and has no ':'")
    return text


def _password(value: object) -> str:
    text = read_raw(value)
    if not text:
        raise ValueError("is empty; leave out the registry, which is then asked without a name")
    return text


def _path(value: object) -> Path:
    text = read_text(value)
    if not text or "\0" in text:
        raise ValueError("is not a file; write a path such as /run/secrets/registry")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{shown(text)} names the home of an unknown user; write the whole path") from None


REGISTRY_KEYS: Columns = {
    "host": ("host", _host),
    "username": ("username", _username),
    "password": ("password", _password),
    "passwordFile": ("password_file", _path),
}


def _registries(value: object) -> tuple[Login, ...]:
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
    return tuple(Login(**row) for row in rows)


def _settle(logins: tuple[Login, ...], start: Start) -> tuple[Login, ...]:
    return tuple(
        login if login.password_file is None else replace(login, password_file=start.cwd / login.password_file) for login in logins
    )


def _show(logins: Sequence[Login]) -> str:
    def row(login: Login) -> dict[str, str]:
        secret = {"password": MASK} if login.password_file is None else {"passwordFile": str(login.password_file)}
        return {"host": login.host, "username": login.username, **secret}

    return json.dumps([row(login) for login in logins], ensure_ascii=False)


def _docker_config(value: object) -> Path | None:
    return None if read_text(value) == NONE else _path(value)


def default_docker_config() -> Path | None:
    """Where the docker command keeps its log-ins for whoever runs this; None for a user without a home."""
    named = os.environ.get("DOCKER_CONFIG")
    try:
        return Path(named or "~/.docker").expanduser() / "config.json"
    except RuntimeError:
        return None


def _settle_config(path: Any, start: Start) -> Any:
    return start.cwd / path


REGISTRIES = SettingType(_registries, _show, settle=_settle, tables=True)
DOCKER_CONFIG = SettingType(_docker_config, lambda path: NONE if path is None else str(path), settle=_settle_config)
