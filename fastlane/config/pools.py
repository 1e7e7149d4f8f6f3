"""The type of the setting ``pools``: reads and shows each pool's tasks, hosts, policy, limits, retention and webhooks. Also makes the
default pool, and finds pools that are unsafe without authentication.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from fastlane.config.types import (
    DURATION,
    FLAG,
    NONE,
    Invocation,
    Key,
    Keys,
    SettingType,
    read_choice,
    read_file_path,
    read_number,
    read_stripped_text,
    read_table,
    read_valid_keys,
    show_keys,
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
from fastlane.models.host import LOCAL_ENGINE, SshFiles, TlsFiles, read_address, read_address_pattern
from fastlane.models.notify import MAX_SECRETS, MAX_WEBHOOKS, READERS, NotificationTrigger, Webhook, read_secret, read_url
from fastlane.models.pool import ANY, HostRule, Pool, Pull, SignedReceiver, pool_faults
from fastlane.models.retention import LEAST_AGE, MOST_EXECUTIONS, Retention, show_age
from fastlane.models.schedule import show_duration

LEAST_TOTAL, DEFAULT_TOTAL = 1024**2, 10 * 1024**3
"""Bytes of all logs: the least value of the setting, and its default."""


def read_age(value: object) -> int:
    """An age in milliseconds. Raises ValueError."""
    milliseconds: int = round(DURATION.read(value) * 1000)
    if milliseconds < LEAST_AGE:
        raise ValueError(f"must be at least {show_age(LEAST_AGE)}")
    return milliseconds


def read_most(value: object) -> int:
    """The number of executions of a job that stay. Raises ValueError."""
    return read_number(value, 1, MOST_EXECUTIONS)


RETENTION_KEYS: Keys = {
    "jobs": Key("jobs", read_age, show=show_age),
    "executions": Key("executions", read_age, show=show_age),
    "maxExecutions": Key("max_executions", read_most),
    "logs": Key("logs", read_age, show=show_age),
}


def read_retention(value: object) -> Retention:
    """The rules of a pool."""
    return Retention(**read_table(value, RETENTION_KEYS))


def _or_none(read: Callable[[object], int], show: Callable[[int], str] = str) -> SettingType:
    """The type of a value, or of the word for no rule."""

    def read_or_none(value: object) -> int | None:
        if isinstance(value, str) and value.strip().lower() == NONE:
            return None
        try:
            return read(value)
        except ValueError as error:
            raise ValueError(f"{error}; for no limit, write {NONE}") from None

    return SettingType(read_or_none, lambda value: NONE if value is None else show(value))


TOTAL = _or_none(lambda value: read_size(value, LEAST_TOTAL), show_size)
AGE = _or_none(read_age, show_age)
RATE = _or_none(lambda value: read_number(value, 1, 1_000_000))
MOST = _or_none(read_most)


WEBHOOK_KEYS: Keys = {name: Key(name, read) for name, read in READERS.items()}
EXAMPLE = '{ url = "https://example.com/hook" }'


def read_webhooks(value: object) -> tuple[Webhook, ...]:
    """The lists of webhooks of a pool, joined into one."""
    if not isinstance(value, dict) or set(value) - set(NotificationTrigger):
        raise ValueError(f"is not a table of lists named {', '.join(NotificationTrigger)}; write {{ fails = [{EXAMPLE}] }}")
    return tuple(_webhook(NotificationTrigger(name), row) for name in value for row in _rows(value[name]))


def show_webhooks(webhooks: Sequence[Webhook]) -> dict[str, list[object]]:
    """The webhooks as they are written, without their secrets."""
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


RECEIVER_KEYS: Keys = {"url": Key("url", read_url), "secrets": Key("secrets", read_secrets)}
MAX_RECEIVERS = 100
RECEIVER_EXAMPLE = '{ url = "https://example.com/hook", secrets = ["/run/secrets/webhook"] }'


def read_receivers(value: object) -> tuple[SignedReceiver, ...]:
    """The receivers with secrets of their own. No fault quotes a secret."""
    if not isinstance(value, list) or len(value) > MAX_RECEIVERS:
        raise ValueError(f"is not a list of at most {MAX_RECEIVERS}; write [{RECEIVER_EXAMPLE}]")
    receivers = tuple(_receiver(row) for row in value)
    if len({one.url for one in receivers}) < len(receivers):
        raise ValueError("has a url twice; write each receiver once")
    return receivers


def _receiver(value: object) -> SignedReceiver:
    found = read_table(value, RECEIVER_KEYS)
    if "url" not in found:
        raise ValueError(f"has a receiver without a url; write {RECEIVER_EXAMPLE}")
    return SignedReceiver(**found)


def _show_receivers(receivers: Sequence[SignedReceiver]) -> list[dict[str, object]] | None:
    return [{"url": scrub(one.url), "secrets": [MASK for _ in one.secrets]} for one in receivers] or None


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
"""The keys for the places of a pool's hosts, and for the way to them."""
MAX_PATTERNS = 100
MAX_PATTERN = 1024

_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _hosts(value: object) -> dict[str, object]:
    """The hosts of a pool, and the options of hosts that are written as a table."""
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


TLS_KEYS: Keys = {
    "ca": Key("ca", _file("docker-ca"), show=str),
    "certificate": Key("certificate", _file("docker-cert"), show=str),
    "key": Key("key", _file("docker-key"), show=str),
}
SSH_KEYS: Keys = {
    "identity": Key("identity", _file("docker-ssh"), show=str),
    "knownHosts": Key("known_hosts", _file("docker-known-hosts"), show=str),
}


def _tls(value: object) -> TlsFiles:
    found = read_table(value, TLS_KEYS)
    if missing := [key for key in TLS_KEYS if key not in found]:
        raise ValueError(
            f"has no {' and no '.join(missing)}; TLS needs three files: ca verifies the engine, certificate and key identify fastlane"
        )
    return TlsFiles(**found)


def _patterns(read: Callable[[str], str]) -> Callable[[object], tuple[str, ...]]:
    """A reader of a policy's value for an option: true for anything, false for nothing, or patterns, which ``read`` normalizes."""

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


POLICY_KEYS: Keys = {
    "user": Key("user", _or_exact(container.read_user)),
    "workdir": Key("workdir", _or_exact(container.read_path)),
    "init": Key("init", container.read_boolean),
    "stopSignal": Key("stop_signal", _or_exact(container.read_signal, str.upper)),
    "stopGrace": Key("stop_grace", _grace, show=lambda grace: show_duration(grace / 1000)),
    "mounts": Key("mounts", _patterns(read_mount_pattern)),
    "networks": Key("networks", _or_exact(container.read_network)),
    "secrets": Key("secrets", _or_exact(container.read_secret)),
    "constraints": Key("constraints", _or_exact(container.read_constraint, lambda text: text.replace(" ", ""))),
    "extraHosts": Key("extra_hosts", _or_exact(container.read_host_name, str.lower)),
    "entrypoint": Key("entrypoint", container.read_boolean),
    "hostname": Key("hostname", _or_exact(container.read_hostname, str.lower)),
    "dns": Key("dns", _or_exact(container.read_address, str.lower)),
    "capAdd": Key("cap_add", _or_exact(container.read_capability, lambda text: text.upper().removeprefix("CAP_"))),
    "sysctls": Key("sysctls", _or_exact(container.read_sysctl)),
    "ulimits": Key("ulimits", _or_exact(container.read_ulimit_name)),
    "configs": Key("configs", _or_exact(container.read_config)),
    "generic": Key("generic", _or_exact(container.read_generic)),
}
LIMIT_KEYS: Keys = {
    "cpus": Key("cpus", container.read_cpus),
    "memory": Key("memory", container.read_memory),
    "pids": Key("pids", container.read_pids),
}
HOST_KEYS: Keys = {
    "address": Key("address", read_address),
    "weight": Key("weight", lambda value: read_number(value, 1, 1000)),
    "maxRunning": Key("max_running", lambda value: read_number(value, 1, 100_000)),
}


def _show_policy(policy: Policy) -> dict[str, object]:
    return show_keys(policy, POLICY_KEYS, DEFAULT_POLICY)


POOL_KEYS: Keys = {
    "name": Key("name", read_stripped_text, "required", "1 to 64 letters, digits, `_` and `-`"),
    "match": Key("match", read_text, "required", "which tasks; an empty one matches all tasks and must come last"),
    "hosts": Key(
        "hosts",
        _hosts,
        "required, or `register`",
        "Docker engines, Swarm managers: `unix:///PATH`, `HOST:PORT`, `tcp://HOST:PORT`, `ssh://USER@HOST`",
    ),
    "tls": Key(
        "tls",
        _tls,
        "none",
        "how hosts with `HOST:PORT` are reached: the files `ca`, `certificate` and `key`; see below",
        show=lambda files: show_keys(files, TLS_KEYS),
    ),
    "ssh": Key(
        "ssh",
        lambda value: SshFiles(**read_table(value, SSH_KEYS)),
        "ssh's own",
        "how hosts with `ssh://` are reached: the files `identity` and `knownHosts`; see below",
        show=lambda files: show_keys(files, SSH_KEYS),
    ),
    "insecure": Key(
        "insecure",
        FLAG.read,
        "false",
        "`true` allows `HOST:PORT` without TLS: anyone who can connect to it, a container too, controls the engine",
        show=lambda on: on or None,
    ),
    "register": Key(
        "register",
        _or_exact(read_address, read_address_pattern),
        "none",
        "patterns, such as `10.0.0.*:2376`, of hosts that may be [registered](operations.md#add-or-remove-a-host) while fastlane runs",
        show=lambda patterns: patterns or None,
    ),
    "maxRunning": Key("max_running", lambda value: read_number(value, 1, 100_000), "10", "how many executions of this pool run at once"),
    "hardTimeout": Key(
        "hard_timeout",
        DURATION.read,
        "`hard_timeout`",
        "longest time that an execution of this pool may run, such as `6h`; more or less than `hard_timeout`",
        show=show_duration,
    ),
    "pull": Key(
        "pull",
        lambda value: Pull(read_choice(*Pull)(value)),
        "missing",
        "`always` asks the registry for every image; `missing` asks only when the engine of a one-node swarm does not have it",
    ),
    "policy": Key(
        "policy",
        lambda value: Policy(**read_table(value, POLICY_KEYS)),
        "nothing",
        "which container options jobs may set; [containers.md](containers.md) explains each key",
        show=_show_policy,
    ),
    "services": Key(
        "services",
        _or_exact(container.read_service),
        "none",
        "patterns, such as `shop_*`, of the swarm's services [whose containers jobs may run as](containers.md#run-as-a-services-container)",
        show=lambda patterns: patterns or None,
    ),
    "limits": Key(
        "limits",
        lambda value: Resources(**read_table(value, LIMIT_KEYS)),
        "none",
        "the most of a node that one container may use, which is also what it gets by default",
        show=lambda limits: show_keys(limits, LIMIT_KEYS, NO_RESOURCES),
    ),
    "webhooks": Key(
        "webhooks",
        read_webhooks,
        "none",
        "where to post how executions end, for jobs without webhooks of their own; see below",
        show=show_webhooks,
    ),
    "webhookSecrets": Key(
        "webhook_secrets",
        read_secrets,
        "none: not signed",
        "one or two secrets that webhooks are signed with; see below",
        show=lambda secrets: [MASK for _ in secrets] or None,
    ),
    "webhookReceivers": Key(
        "webhook_receivers",
        read_receivers,
        "none",
        "receivers with secrets of their own, to which bodies that jobs write are signed, too; see below",
        show=_show_receivers,
    ),
    "retention": Key(
        "retention",
        read_retention,
        "`keep_…`, `max_executions`",
        "[how long history stays](operations.md#retention), instead of the settings; see below",
        show=lambda retention: show_keys(retention, RETENTION_KEYS),
    ),
    "maxWaiting": Key(
        "max_waiting",
        lambda value: read_number(value, 1, 10_000_000),
        "none",
        "how many executions may wait in this pool; further ones [are refused](operations.md#quotas)",
    ),
    "maxWaitingPerTask": Key(
        "max_waiting_of_task", lambda value: read_number(value, 1, 100_000), "none", "the same of one task, up to 100,000"
    ),
    "fairShare": Key(
        "fair_share",
        FLAG.read,
        "false",
        "`true` lets [the tasks of this pool take turns](scheduling.md#let-tasks-take-turns); else a pool starts what has waited longest",
        show=lambda on: on or None,
    ),
}


def _pools(value: object) -> tuple[Pool, ...]:
    example = f'[{{"name": "default", "match": "", "hosts": ["{LOCAL_ENGINE}"]}}]'
    rows, faults = read_valid_keys(value, "pool", POOL_KEYS, ("name", "match", "hosts or register"), example)
    pools = [Pool(**{**_stand_in(number), **_without_faults(number, row, faults)}) for number, row in enumerate(rows, 1)]
    if faults := [*faults, *(Fault("", message) for message in pool_faults(pools))]:
        raise Invalid(faults)
    return tuple(pools)


def _without_faults(number: int, row: dict[str, Any], faults: Sequence[Fault]) -> dict[str, Any]:
    """The attributes of a pool. If its hosts or the way to them could not be read, both are left out: otherwise each would be at fault."""
    unread = tuple(f"pool {number}: {key}" for key in REACH)
    hidden = REACH if any(fault.message.startswith(unread) for fault in faults) else ()
    return {name: value for name, value in {**row, **_hosts_of(row)}.items() if name not in hidden}


def _hosts_of(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The hosts of a pool. A pool that allows the registration of hosts may begin without any."""
    if "hosts" in row:
        return dict(row["hosts"])
    return {"hosts": ()} if row.get("register") else {}


def _stand_in(number: int) -> dict[str, Any]:
    """Valid values in place of the ones that could not be read, so that the faults between pools are found in the same run."""
    return {"name": f"number-{number}", "match": f"number-{number}$", "hosts": (LOCAL_ENGINE,)}


def _show_pools(pools: Sequence[Pool]) -> str:
    return json.dumps([_row(pool) for pool in pools], ensure_ascii=False)


def _row(pool: Pool) -> dict[str, object]:
    """A pool as users write it, under ``[[pools]]`` or as JSON."""
    return show_keys(pool, POOL_KEYS) | {"hosts": [_shown_host(pool, host) for host in pool.hosts]}


def _resolve_files(pools: tuple[Pool, ...], invocation: Invocation) -> tuple[Pool, ...]:
    """The pools with absolute paths."""

    def absolute(files: Any) -> Any:
        paths = {field.name: getattr(files, field.name) for field in fields(files)}
        return replace(files, **{name: path and invocation.cwd / path for name, path in paths.items()})

    return tuple(replace(pool, tls=pool.tls and absolute(pool.tls), ssh=absolute(pool.ssh)) for pool in pools)


def files_of(pools: Sequence[Pool]) -> list[tuple[str, str, Path]]:
    """The files for the ways to the pools' hosts: each with the name of its pool and its keys, such as ``tls.ca``."""
    named = [
        (pool.name, f"{table}.{key}", getattr(files, one.attribute, None))
        for pool in pools
        for table, files, keys in (("tls", pool.tls, TLS_KEYS), ("ssh", pool.ssh, SSH_KEYS))
        for key, one in keys.items()
    ]
    return [(name, part, path) for name, part, path in named if path is not None]


def _shown_host(pool: Pool, host: str) -> object:
    rule = show_keys(pool.rule(host), {key: one for key, one in HOST_KEYS.items() if key != "address"}, ANY)
    return {"address": host, **rule} if rule else host


def default_pools(invocation: Invocation) -> tuple[Pool, ...]:
    """One pool for all tasks: on the engine that DOCKER_HOST names, with TLS where DOCKER_TLS_VERIFY demands it as for the docker command,
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
    """The faults of pools that allow something on a server without authentication: anyone who reaches the server could use a host's files
    or its network, or run commands as a service."""
    words = "but there are no users and no tokens, so anyone may use it; add some (`fastlane password`, `fastlane token`) or drop it"
    faults = [
        Fault("pools", f"the policy of pool {pool.name!r} allows {', '.join(_show_policy(pool.policy))} to containers, {words}")
        for pool in pools
        if pool.policy != DEFAULT_POLICY
    ]
    named = [pool for pool in pools if pool.services]
    return faults + [Fault("pools", f"pool {pool.name!r} has services as which jobs may run, {words}") for pool in named]


POOLS = SettingType(_pools, _show_pools, _resolve_files, tables=True)
