"""The type of the setting ``pools``: reads and shows each pool's tasks, hosts, policy and limits."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from fastlane.config.types import (
    DURATION,
    KeyReaders,
    SettingType,
    read_choice,
    read_number,
    read_stripped_text,
    read_table,
    read_valid_keys,
)
from fastlane.errors import Fault, Invalid, quoted
from fastlane.models.container import options
from fastlane.models.container.container import NO_RESOURCES, Resources
from fastlane.models.container.options import read_text
from fastlane.models.container.policy import ANYTHING, DEFAULT_POLICY, Policy, read_mount_pattern
from fastlane.models.placement.pool import Pool, Pull, pool_faults
from fastlane.models.schedule.schedule import show_duration

LOCAL_ENGINE = "unix:///var/run/docker.sock"
MAX_PATTERNS = 100
MAX_PATTERN = 1024

_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _host(value: object) -> str:
    text = read_stripped_text(value)
    if not re.fullmatch(r"unix:///\S+|(tcp://)?([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}", text, re.ASCII):
        raise ValueError(f"{quoted(text)} is not the address of a Docker engine; write {LOCAL_ENGINE}, HOST:2375 or tcp://HOST:2375")
    return text


def _hosts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f'is not a list; write ["{LOCAL_ENGINE}"]')
    return tuple(_host(row) for row in value)


def _patterns(read: Callable[[str], str]) -> Callable[[object], tuple[str, ...]]:
    """A reader of what a policy allows for an option: true for anything, false, or patterns, which ``read`` normalizes."""

    def read_all(value: object) -> tuple[str, ...]:
        if isinstance(value, bool):
            return ANYTHING if value else ()
        rows = [value] if isinstance(value, str) else value
        if not isinstance(rows, list) or not all(isinstance(row, str) for row in rows):
            raise ValueError("is neither true (anything), false, text nor a list of texts; * in a text stands for any text")
        if len(rows) > MAX_PATTERNS:
            raise ValueError(f"has more than {MAX_PATTERNS} patterns; let * stand for some of them")
        return tuple(_pattern(row.strip(), read) for row in rows)

    return read_all


def _pattern(text: str, read: Callable[[str], str]) -> str:
    if not text or len(text) > MAX_PATTERN or _UNWRITABLE.search(text):
        raise ValueError(f"{quoted(text)} is not a pattern; write 1 to {MAX_PATTERN} characters without control characters")
    return text if text in ANYTHING else read(text)


def _or_exact(read: Callable[[object], str], adapt: Callable[[str], str] = str) -> Callable[[object], tuple[str, ...]]:
    """A reader of patterns for an option: ``adapt`` normalizes one with ``*``; one without must be a value that ``read`` accepts."""
    return _patterns(lambda text: adapt(text) if "*" in text else read(text))


def _grace(value: object) -> int | None:
    if isinstance(value, bool):
        return options.MAX_GRACE if value else None
    return options.read_grace(value)


POLICY_KEYS: KeyReaders = {
    "user": ("user", _or_exact(options.read_user)),
    "workdir": ("workdir", _or_exact(options.read_path)),
    "init": ("init", options.read_boolean),
    "stopSignal": ("stop_signal", _or_exact(options.read_signal, str.upper)),
    "stopGrace": ("stop_grace", _grace),
    "mounts": ("mounts", _patterns(read_mount_pattern)),
    "networks": ("networks", _or_exact(options.read_network)),
    "secrets": ("secrets", _or_exact(options.read_secret)),
    "constraints": ("constraints", _or_exact(options.read_constraint, lambda text: text.replace(" ", ""))),
    "extraHosts": ("extra_hosts", _or_exact(options.read_host_name, str.lower)),
}
LIMIT_KEYS: KeyReaders = {
    "cpus": ("cpus", options.read_cpus),
    "memory": ("memory", options.read_memory),
    "pids": ("pids", options.read_pids),
}
POOL_KEYS: KeyReaders = {
    "name": ("name", read_stripped_text),
    "match": ("match", read_text),
    "hosts": ("hosts", _hosts),
    "maxRunning": ("max_running", lambda value: read_number(value, 1, 100_000)),
    "hardTimeout": ("hard_timeout", DURATION.read),
    "pull": ("pull", lambda value: Pull(read_choice(*Pull)(value))),
    "policy": ("policy", lambda value: Policy(**read_table(value, POLICY_KEYS))),
    "limits": ("limits", lambda value: Resources(**read_table(value, LIMIT_KEYS))),
}


def _pools(value: object) -> tuple[Pool, ...]:
    example = f'[{{"name": "default", "match": "", "hosts": ["{LOCAL_ENGINE}"]}}]'
    rows, faults = read_valid_keys(value, "pool", POOL_KEYS, ("name", "match", "hosts"), example)
    pools = [Pool(**{**_stand_in(number), **row}) for number, row in enumerate(rows, 1)]
    if faults := [*faults, *(Fault("", message) for message in pool_faults(pools))]:
        raise Invalid(faults)
    return tuple(pools)


def _stand_in(number: int) -> dict[str, Any]:
    """Values without a fault in place of those that could not be read, so that the faults between pools are found at once too."""
    return {"name": f"number-{number}", "match": f"number-{number}$", "hosts": (LOCAL_ENGINE,)}


def _show_pools(pools: Sequence[Pool]) -> str:
    return json.dumps([_row(pool) for pool in pools], ensure_ascii=False)


def _row(pool: Pool) -> dict[str, object]:
    """A pool as users write it, under ``[[pools]]`` or as JSON."""
    row: dict[str, object] = {key: getattr(pool, attribute) for key, (attribute, _) in POOL_KEYS.items()}
    row |= {"hosts": list(pool.hosts), "policy": _policy_row(pool.policy), "limits": _changed(pool.limits, NO_RESOURCES, LIMIT_KEYS)}
    row["hardTimeout"] = None if pool.hard_timeout is None else show_duration(pool.hard_timeout)
    return {key: value for key, value in row.items() if value not in ({}, None)}


def _policy_row(policy: Policy) -> dict[str, object]:
    row = {key: list(value) if isinstance(value, tuple) else value for key, value in _changed(policy, DEFAULT_POLICY, POLICY_KEYS).items()}
    return row if policy.stop_grace is None else row | {"stopGrace": show_duration(policy.stop_grace / 1000)}


def _changed(value: object, default: object, keys: KeyReaders) -> dict[str, object]:
    """The attributes that differ from the default, by key."""
    named = {key: (getattr(value, attribute), getattr(default, attribute)) for key, (attribute, _) in keys.items()}
    return {key: own for key, (own, usual) in named.items() if own != usual}


def default_pools(docker_host: str | None) -> tuple[Pool, ...]:
    """One pool for all tasks, on the engine that DOCKER_HOST names, else on the local one."""
    return (Pool("default", "", (_host(docker_host) if docker_host else LOCAL_ENGINE,)),)


def unprotected_policies(pools: Sequence[Pool]) -> list[Fault]:
    """The faults of pools whose policy allows something on a server without authentication: anyone who reaches it could use a host's files
    or its network."""
    words = "but there are no users and no tokens, so anyone may use it; add some (`fastlane password`, `fastlane token`) or drop it"
    return [
        Fault("pools", f"the policy of pool {pool.name!r} allows {', '.join(_policy_row(pool.policy))} to containers, {words}")
        for pool in pools
        if pool.policy != DEFAULT_POLICY
    ]


POOLS = SettingType(_pools, _show_pools, tables=True)
