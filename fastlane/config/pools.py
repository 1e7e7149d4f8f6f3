"""The type of the setting ``pools``: reads and shows each pool's tasks, hosts, policy and limits."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from fastlane.config.types import (
    DURATION,
    FLAG,
    Invocation,
    KeyReaders,
    SettingType,
    read_choice,
    read_file_path,
    read_number,
    read_stripped_text,
    read_table,
    read_valid_keys,
)
from fastlane.errors import Fault, Invalid, quoted
from fastlane.log import MASK, scrub
from fastlane.models import container
from fastlane.models.container import (
    ANYTHING,
    DEFAULT_POLICY,
    NO_RESOURCES,
    Policy,
    Resources,
    read_mount_pattern,
    read_size,
    read_text,
    show_size,
)
from fastlane.models.host import LOCAL_ENGINE, SshFiles, TlsFiles, read_address
from fastlane.models.notify import MAX_SECRETS, MAX_WEBHOOKS, READERS, NotificationTrigger, Webhook, read_secret
from fastlane.models.pool import ANY, HostRule, Pool, Pull, pool_faults
from fastlane.models.retention import LEAST_AGE, MOST_EXECUTIONS, Retention, show_age
from fastlane.models.schedule import show_duration

LEAST_TOTAL, DEFAULT_TOTAL = 1024**2, 10 * 1024**3
"""Bytes of all logs: the least that a setting may say, and what it says by default."""
NONE = "none"
"""In a setting: there is no such rule."""


def read_age(value: object) -> int:
    """An age in milliseconds. Raises ValueError."""
    milliseconds: int = round(DURATION.read(value) * 1000)
    if milliseconds < LEAST_AGE:
        raise ValueError(f"must be at least {show_age(LEAST_AGE)}")
    return milliseconds


def read_most(value: object) -> int:
    """How many executions of a job stay. Raises ValueError."""
    return read_number(value, 1, MOST_EXECUTIONS)


RETENTION_KEYS: KeyReaders = {
    "jobs": ("jobs", read_age),
    "executions": ("executions", read_age),
    "maxExecutions": ("max_executions", read_most),
    "logs": ("logs", read_age),
}


def read_retention(value: object) -> Retention:
    """The rules of a pool."""
    return Retention(**read_table(value, RETENTION_KEYS))


def show_retention(retention: Retention) -> dict[str, object]:
    """The rules as they are written."""
    ages = {"jobs": retention.jobs, "executions": retention.executions, "logs": retention.logs}
    row: dict[str, object] = {key: show_age(age) for key, age in ages.items() if age is not None}
    return row if retention.max_executions is None else {**row, "maxExecutions": retention.max_executions}


def _or_none(read: Callable[[object], int]) -> Callable[[object], int | None]:
    """A reader that also takes the word for no rule."""

    def read_it(value: object) -> int | None:
        return None if isinstance(value, str) and value.strip().lower() == NONE else read(value)

    return read_it


def _read_total(value: object) -> int:
    return read_size(value, LEAST_TOTAL)


TOTAL = SettingType(_or_none(_read_total), lambda size: NONE if size is None else show_size(size))
AGE = SettingType(_or_none(read_age), lambda age: NONE if age is None else show_age(age))
RATE = SettingType(_or_none(lambda value: read_number(value, 1, 1_000_000)), lambda rate: NONE if rate is None else str(rate))
MOST = SettingType(_or_none(read_most), lambda most: NONE if most is None else str(most))


WEBHOOK_KEYS: KeyReaders = {name: (name, read) for name, read in READERS.items()}
EXAMPLE = '{ url = "https://example.com/hook" }'


def read_webhooks(value: object) -> tuple[Webhook, ...]:
    """The lists of webhooks of a pool, as one."""
    if not isinstance(value, dict) or set(value) - set(NotificationTrigger):
        raise ValueError(f"is not a table of lists named {', '.join(NotificationTrigger)}; write {{ fails = [{EXAMPLE}] }}")
    return tuple(_webhook(NotificationTrigger(name), row) for name in value for row in _rows(value[name]))


def show_webhooks(webhooks: Sequence[Webhook]) -> dict[str, list[object]]:
    """The webhooks as they are written, without what is secret in them."""
    rows: dict[str, list[object]] = {}
    for one in webhooks:
        row = {
            "url": scrub(one.url),
            "headers": dict.fromkeys(one.headers, MASK),
            "retries": one.retries,
            "body": None if one.body is None else MASK,
        }
        rows.setdefault(one.trigger.value, []).append({key: value for key, value in row.items() if value not in ({}, None)})
    return rows


def read_secrets(value: object) -> tuple[str, ...]:
    """The secrets, each written as it is or as the path of a file that has it. No fault quotes one."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_SECRETS:
        raise ValueError(f'is not a list of 1 to {MAX_SECRETS}; write ["/run/secrets/webhook"], or the secrets themselves')
    return tuple(_secret(one) for one in value)


def _rows(value: object) -> list[object]:
    if not isinstance(value, list) or len(value) > MAX_WEBHOOKS:
        raise ValueError(f"has something other than a list of at most {MAX_WEBHOOKS}; write [{EXAMPLE}]")
    return value


def _webhook(trigger: NotificationTrigger, value: object) -> Webhook:
    found = read_table(value, WEBHOOK_KEYS)
    if "url" not in found:
        raise ValueError(f"has a webhook without a url; write {EXAMPLE}")
    return Webhook(trigger, **found)


def _secret(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("has a secret that is not text")
    text = value.strip()
    if text.startswith("/"):
        try:
            text = Path(text).read_text().strip()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise ValueError(f"names the file {text}, which cannot be read: {why}") from None
    read_secret(text)
    return text


REACH = ("hosts", "tls", "ssh", "insecure")
"""The keys that say where a pool's hosts are, and how they are reached."""
MAX_PATTERNS = 100
MAX_PATTERN = 1024

_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _hosts(value: object) -> dict[str, object]:
    """The hosts of a pool, and what goes for those that are written as a table."""
    if not isinstance(value, list):
        raise ValueError(f'is not a list; write ["{LOCAL_ENGINE}"]')
    rows = [_host_row(row) for row in value]
    return {"hosts": tuple(address for address, _ in rows), "rules": {address: rule for address, rule in rows if rule != ANY}}


def _host_row(value: object) -> tuple[str, HostRule]:
    if not isinstance(value, dict):
        return read_address(value), ANY
    found = read_table(value, HOST_KEYS)
    if "address" not in found:
        raise ValueError('has a host without an address; write { address = "HOST:2376", weight = 2 }')
    return found.pop("address"), HostRule(**found)


def _file(name: str) -> Callable[[object], Path]:
    return lambda value: read_file_path(value, f"/run/secrets/{name}")


TLS_KEYS: KeyReaders = {
    "ca": ("ca", _file("docker-ca")),
    "certificate": ("certificate", _file("docker-cert")),
    "key": ("key", _file("docker-key")),
}
SSH_KEYS: KeyReaders = {
    "identity": ("identity", _file("docker-ssh")),
    "knownHosts": ("known_hosts", _file("docker-known-hosts")),
}


def _tls(value: object) -> TlsFiles:
    found = read_table(value, TLS_KEYS)
    if missing := [key for key in TLS_KEYS if key not in found]:
        raise ValueError(
            f"has no {' and no '.join(missing)}; TLS needs three files: ca verifies the engine, certificate and key identify fastlane"
        )
    return TlsFiles(**found)


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
        return container.MAX_GRACE if value else None
    return container.read_grace(value)


POLICY_KEYS: KeyReaders = {
    "user": ("user", _or_exact(container.read_user)),
    "workdir": ("workdir", _or_exact(container.read_path)),
    "init": ("init", container.read_boolean),
    "stopSignal": ("stop_signal", _or_exact(container.read_signal, str.upper)),
    "stopGrace": ("stop_grace", _grace),
    "mounts": ("mounts", _patterns(read_mount_pattern)),
    "networks": ("networks", _or_exact(container.read_network)),
    "secrets": ("secrets", _or_exact(container.read_secret)),
    "constraints": ("constraints", _or_exact(container.read_constraint, lambda text: text.replace(" ", ""))),
    "extraHosts": ("extra_hosts", _or_exact(container.read_host_name, str.lower)),
}
LIMIT_KEYS: KeyReaders = {
    "cpus": ("cpus", container.read_cpus),
    "memory": ("memory", container.read_memory),
    "pids": ("pids", container.read_pids),
}
HOST_KEYS: KeyReaders = {
    "address": ("address", read_address),
    "weight": ("weight", lambda value: read_number(value, 1, 1000)),
    "maxRunning": ("max_running", lambda value: read_number(value, 1, 100_000)),
}
POOL_KEYS: KeyReaders = {
    "name": ("name", read_stripped_text),
    "match": ("match", read_text),
    "hosts": ("hosts", _hosts),
    "tls": ("tls", _tls),
    "ssh": ("ssh", lambda value: SshFiles(**read_table(value, SSH_KEYS))),
    "insecure": ("insecure", FLAG.read),
    "register": ("register", _or_exact(read_address)),
    "maxRunning": ("max_running", lambda value: read_number(value, 1, 100_000)),
    "hardTimeout": ("hard_timeout", DURATION.read),
    "pull": ("pull", lambda value: Pull(read_choice(*Pull)(value))),
    "policy": ("policy", lambda value: Policy(**read_table(value, POLICY_KEYS))),
    "limits": ("limits", lambda value: Resources(**read_table(value, LIMIT_KEYS))),
    "webhooks": ("webhooks", read_webhooks),
    "webhookSecrets": ("webhook_secrets", read_secrets),
    "retention": ("retention", read_retention),
    "maxWaiting": ("max_waiting", lambda value: read_number(value, 1, 10_000_000)),
    "maxWaitingPerTask": ("max_waiting_of_task", lambda value: read_number(value, 1, 100_000)),
}


def _pools(value: object) -> tuple[Pool, ...]:
    example = f'[{{"name": "default", "match": "", "hosts": ["{LOCAL_ENGINE}"]}}]'
    rows, faults = read_valid_keys(value, "pool", POOL_KEYS, ("name", "match", "hosts or register"), example)
    pools = [Pool(**{**_stand_in(number), **_without_faults(number, row, faults)}) for number, row in enumerate(rows, 1)]
    if faults := [*faults, *(Fault("", message) for message in pool_faults(pools))]:
        raise Invalid(faults)
    return tuple(pools)


def _without_faults(number: int, row: dict[str, Any], faults: Sequence[Fault]) -> dict[str, Any]:
    """The attributes of a pool, without its hosts and the way to them if one of these could not be read: else each would be at fault."""
    unread = tuple(f"pool {number}: {key}" for key in REACH)
    hidden = REACH if any(fault.message.startswith(unread) for fault in faults) else ()
    return {name: value for name, value in {**row, **_hosts_of(row)}.items() if name not in hidden}


def _hosts_of(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The hosts of a pool; one that lets some be registered may begin without any."""
    if "hosts" in row:
        return dict(row["hosts"])
    return {"hosts": ()} if row.get("register") else {}


def _stand_in(number: int) -> dict[str, Any]:
    """Values without a fault in place of those that could not be read, so that the faults between pools are found at once too."""
    return {"name": f"number-{number}", "match": f"number-{number}$", "hosts": (LOCAL_ENGINE,)}


def _show_pools(pools: Sequence[Pool]) -> str:
    return json.dumps([_row(pool) for pool in pools], ensure_ascii=False)


def _row(pool: Pool) -> dict[str, object]:
    """A pool as users write it, under ``[[pools]]`` or as JSON."""
    row: dict[str, object] = {key: getattr(pool, attribute) for key, (attribute, _) in POOL_KEYS.items()}
    row |= {
        "hosts": [_shown_host(pool, host) for host in pool.hosts],
        "policy": _policy_row(pool.policy),
        "limits": _changed(pool.limits, NO_RESOURCES, LIMIT_KEYS),
        "tls": _paths(pool.tls, TLS_KEYS),
        "ssh": _paths(pool.ssh, SSH_KEYS),
        "insecure": pool.insecure or None,
    }
    row["hardTimeout"] = None if pool.hard_timeout is None else show_duration(pool.hard_timeout)
    row["register"] = list(pool.register) or None
    row["webhooks"] = show_webhooks(pool.webhooks)
    row["retention"] = show_retention(pool.retention)
    row["webhookSecrets"] = [MASK for _ in pool.webhook_secrets] or None
    return {key: value for key, value in row.items() if value not in ({}, None)}


def _paths(files: TlsFiles | SshFiles | None, keys: KeyReaders) -> dict[str, str]:
    named = {key: getattr(files, attribute, None) for key, (attribute, _) in keys.items()}
    return {key: str(path) for key, path in named.items() if path is not None}


def _resolve_files(pools: tuple[Pool, ...], invocation: Invocation) -> tuple[Pool, ...]:
    """The pools with absolute paths."""

    def absolute(files: Any) -> Any:
        paths = {field.name: getattr(files, field.name) for field in fields(files)}
        return replace(files, **{name: path and invocation.cwd / path for name, path in paths.items()})

    return tuple(replace(pool, tls=pool.tls and absolute(pool.tls), ssh=absolute(pool.ssh)) for pool in pools)


def _shown_host(pool: Pool, host: str) -> object:
    rule = _changed(pool.rule(host), ANY, {key: reader for key, reader in HOST_KEYS.items() if key != "address"})
    return {"address": host, **rule} if rule else host


def _policy_row(policy: Policy) -> dict[str, object]:
    row = {key: list(value) if isinstance(value, tuple) else value for key, value in _changed(policy, DEFAULT_POLICY, POLICY_KEYS).items()}
    return row if policy.stop_grace is None else row | {"stopGrace": show_duration(policy.stop_grace / 1000)}


def _changed(value: object, default: object, keys: KeyReaders) -> dict[str, object]:
    """The attributes that differ from the default, by key."""
    named = {key: (getattr(value, attribute), getattr(default, attribute)) for key, (attribute, _) in keys.items()}
    return {key: own for key, (own, usual) in named.items() if own != usual}


def default_pools(invocation: Invocation) -> tuple[Pool, ...]:
    """One pool for all tasks: on the engine that DOCKER_HOST names, with TLS where DOCKER_TLS_VERIFY asks for it as of the docker command,
    else on the local engine. Raises ValueError for a DOCKER_HOST that cannot be used."""
    if not invocation.docker_host:
        return (Pool("default", "", (LOCAL_ENGINE,)),)
    folder = invocation.docker_certificates
    tls = None if folder is None else TlsFiles(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    pool = Pool("default", "", (read_address(invocation.docker_host),))
    endpoint = pool.endpoint(pool.hosts[0])
    if endpoint.is_plain and tls is None:
        raise ValueError(
            f"{endpoint.address} is TCP without TLS, where anyone who connects, a container too, controls the engine; set "
            "DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH (the folder of ca.pem, cert.pem and key.pem), write ssh://USER@HOST, or name "
            "the host in a pool of the settings that has insecure = true"
        )
    return (replace(pool, tls=tls if endpoint.scheme == "tcp" else None),)


def unprotected_policies(pools: Sequence[Pool]) -> list[Fault]:
    """The faults of pools whose policy allows something on a server without authentication: anyone who reaches it could use a host's files
    or its network."""
    words = "but there are no users and no tokens, so anyone may use it; add some (`fastlane password`, `fastlane token`) or drop it"
    return [
        Fault("pools", f"the policy of pool {pool.name!r} allows {', '.join(_policy_row(pool.policy))} to containers, {words}")
        for pool in pools
        if pool.policy != DEFAULT_POLICY
    ]


POOLS = SettingType(_pools, _show_pools, _resolve_files, tables=True)
