"""Loads the settings of a process. A value comes from an option of the command line, else from the environment (``FASTLANE_<NAME>``),
else from ``fastlane.toml``, else from a name of fastlane 2.x (``legacy``), else it is the table's default.

``load`` reports all faults at once. No fault repeats the value of a secret setting.
"""

import os
import re
import sys
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from environs import Env, FileAwareEnv

from fastlane.config import legacy
from fastlane.config.access import Access, AccessFiles, duplicate_names, fingerprint
from fastlane.config.legacy import Deprecation
from fastlane.config.pools import files_of, unprotected_policies
from fastlane.config.settings import NAMES, PREFIX, SETTINGS, Setting, Settings, way_in
from fastlane.config.types import BUCKET, LAST_PORT, Invocation, Role, unknown
from fastlane.errors import Fault, Invalid
from fastlane.models.container import show_size
from fastlane.models.schedule import show_duration

FILE_NAME = "fastlane.toml"
NOT_SETTINGS = re.compile(
    r"FASTLANE_(CONFIG$|TEST_|(TASK_ID|JOB_ID|EXECUTION_ID|ATTEMPT|SCHEDULED_FOR)$|SERVICE_|PORT_[0-9]"
    r"|(URL|TOKEN|TOKEN_FILE|USER|PASSWORD|CA_FILE|CONTEXT)$|STACK$)"
)
"""Variables with our prefix that are not settings: for tests, in every container, for the commands that find a server, the stack's name for
``stack/deploy``, and what Kubernetes sets for a service named ``fastlane``."""

ACCESS = tuple(setting for setting in SETTINGS if setting.name in ("users", "tokens"))
LOOPBACK = "127.0.0.1"
WAYS_OUT = (
    f"set users or tokens (`fastlane token` makes one), or listen on {LOOPBACK} without a proxy, or, where everyone may do everything, "
    "set allow_anonymous = true"
)


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings; by name, where each value came from (``default``, or the name of a file, a variable or an option); the files of users
    and tokens; and the names of fastlane 2.x that were found."""

    settings: Settings
    origins: Mapping[str, str]
    access: AccessFiles
    deprecations: Sequence[Deprecation] = ()


@dataclass(frozen=True, slots=True)
class _RawValue:
    """A value as written, the name of its source, and the place that a fault names."""

    value: object
    origin: str
    place: str


def load(
    role: Role,
    *,
    cwd: Path | None = None,
    options: Mapping[str, str] | None = None,
    config: str | None = None,
    serving: bool = True,
    files: bool = False,
) -> LoadedSettings:
    """Loads the settings of a command: from its ``options`` (by the setting's name), the environment, and a file. The file is ``config``,
    else the one that FASTLANE_CONFIG names, else ``fastlane.toml`` in ``cwd`` if it exists. Raises Invalid with every fault. ``serving``:
    whether the command serves HTTP, so that the rules for access are checked.
    ``files``: whether the command uses the files that settings name, so that each one has to be there.
    """
    invocation = _invocation(role, cwd)
    named = config or os.environ.get("FASTLANE_CONFIG")
    access = _access_files(invocation, named)
    faults: list[Fault] = []
    written = _from_file(invocation.cwd, named, faults) | _from_environment(faults)
    written |= _from_options(options or {})
    written, deprecations = _translate_legacy_names(written, faults)
    values = _values(written, invocation, faults)
    _check_combinations(role, values, faults)
    if serving and role != "worker" and values.get("users") == values.get("tokens") == ():
        faults += unprotected_policies(values.get("pools", ())) or _anonymous_access(values)
    if files:
        faults += _file_faults(role, values, {"pools": "DOCKER_CERT_PATH"} | {name: raw.place for name, raw in written.items()})
    if faults:
        raise Invalid(faults)
    origins = dict.fromkeys(NAMES, "default") | ({"pools": "DOCKER_HOST"} if invocation.docker_host else {})
    return LoadedSettings(Settings(**values), origins | {name: raw.origin for name, raw in written.items()}, access, deprecations)


def load_paths(names: Sequence[str], *, options: Mapping[str, str], config: str | None) -> Mapping[str, Path | None]:
    """The values of these settings alone, in the order of the table; faults of other settings do not count. Raises Invalid."""
    settings, faults = tuple(setting for setting in SETTINGS if setting.name in names), list[Fault]()
    invocation = _invocation("up", None)
    written = _from_file(invocation.cwd, config or os.environ.get("FASTLANE_CONFIG"), faults) | _from_variables(settings, faults)
    values = _values(written | _from_options(options), invocation, faults, settings)
    if faults:
        raise Invalid(faults)
    return values


def _access_files(invocation: Invocation, named: str | None) -> AccessFiles:
    """The files of users and tokens: the settings' own file, and those that the environment names. None when one of these is a pipe, which
    can be read only once."""
    variables = [Path(name) for setting in ACCESS if (name := os.environ.get(f"{setting.variable}_FILE"))]
    files = (invocation.cwd / (named or FILE_NAME), *variables)
    if any(file.exists() and not file.is_file() for file in files):
        files = ()
    seen = fingerprint(files)
    expected = named if named or seen[:1] in ((), (None,)) else FILE_NAME  # a file that was there must not be missing later
    return AccessFiles(files, seen, lambda: _read_access(invocation, expected))


def _read_access(invocation: Invocation, named: str | None) -> Access:
    """The users and tokens as they are written now. Raises Invalid; the faults of other settings do not count."""
    faults: list[Fault] = []
    written = _from_file(invocation.cwd, named, faults) | _from_variables(ACCESS, faults) | _legacy_variables()
    written, _ = _translate_legacy_names(written, faults)
    values = _values(written, invocation, faults, ACCESS)
    faults += _names_of_two(values)
    if faults:
        raise Invalid(faults)
    return Access(**values)


def _invocation(role: Role, cwd: Path | None) -> Invocation:
    return Invocation(
        role,
        Path.cwd() if cwd is None else cwd,
        docker_host=os.environ.get("DOCKER_HOST"),
        docker_config=os.environ.get("DOCKER_CONFIG"),
        docker_certificates=_docker_certificates(),
        terminal=sys.stderr is not None and sys.stderr.isatty(),
    )


def _docker_certificates() -> Path | None:
    """The folder in which the docker command looks for its certificates; None when it would not use any."""
    if not os.environ.get("DOCKER_TLS_VERIFY"):
        return None
    return Path(os.environ.get("DOCKER_CERT_PATH") or os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker"))


def _from_options(options: Mapping[str, str]) -> dict[str, _RawValue]:
    names = {name: "--" + name.replace("_", "-") for name in options}
    return {name: _RawValue(text, names[name], names[name]) for name, text in options.items()}


def _translate_legacy_names(written: Mapping[str, _RawValue], faults: list[Fault]) -> tuple[dict[str, _RawValue], list[Deprecation]]:
    """Moves values that stand under names of fastlane 2.x to the settings' own names. Returns all values, and the old names found."""
    old = {name: raw for name, raw in written.items() if name in legacy.NAMES}
    values = {name: raw for name, raw in written.items() if name not in old}
    deprecations: list[Deprecation] = []
    found = legacy.translate({name: raw.value for name, raw in old.items()}, lambda name, text: faults.append(Fault(old[name].place, text)))
    for translated in found:
        deprecations += [Deprecation(name, translated.new, used=translated.new not in values) for name in translated.old]
        origin, place = " and ".join(translated.old), " and ".join(old[name].place for name in translated.old)
        values.setdefault(translated.new, _RawValue(translated.value, origin, place))
    return values, deprecations


def _values(
    written: Mapping[str, _RawValue], invocation: Invocation, faults: list[Fault], settings: Sequence[Setting] = SETTINGS
) -> dict[str, Any]:
    """The values of these settings, without settings that have a fault."""
    values: dict[str, Any] = {}
    for setting in settings:
        raw = written.get(setting.name)
        try:
            values[setting.name] = setting.value(raw.value, invocation) if raw else setting.default_value(invocation, values)
        except Invalid as error:
            faults += [Fault(raw.place if raw else setting.name, fault.message) for fault in error.faults]
        except ValueError as error:
            faults.append(Fault(raw.place if raw else "DOCKER_HOST", str(error)))
    return values


def _check_combinations(role: Role, values: Mapping[str, Any], faults: list[Fault]) -> None:
    """Adds the faults between settings that are each valid; skips those that already have a fault."""
    tried = any(fault.field.startswith("FASTLANE_REDIS_URL") for fault in faults)
    if role != "up" and not tried and values.get("redis_url", "") is None:
        faults.append(Fault("redis_url", f"`fastlane {role}` needs one; set FASTLANE_REDIS_URL=redis://HOST:6379/0, or use `fastlane up`"))
    if "lease" in values and values["lease"] < 2 * values.get("renew", 0):
        renew = show_duration(values["renew"])
        faults.append(Fault("lease", f"must be at least twice renew ({renew}), or leases run out between renewals"))
    faults += _log_faults(values)
    faults += _port_faults(role, values)
    faults += _names_of_two(values)
    if (values.get("tls_certificate") is None) is not (values.get("tls_key") is None) and {"tls_certificate", "tls_key"} <= values.keys():
        missing, given = sorted(("tls_certificate", "tls_key"), key=lambda name: values[name] is not None)
        faults.append(Fault(missing, f"is not set, but {given} is; TLS needs both"))
    faults += _mail_faults(values)
    faults += _archive_faults(values)


def _log_faults(values: Mapping[str, Any]) -> list[Fault]:
    total, one = values.get("max_total_log_bytes"), values.get("max_log_bytes", 0)
    if total is None or total >= one:
        return []
    return [Fault("max_total_log_bytes", f"must be at least max_log_bytes ({show_size(one)}), which one execution may store")]


def _port_faults(role: Role, values: Mapping[str, Any]) -> list[Fault]:
    port, count = values.get("metrics_port"), values.get("processes", 1)
    if port is None:
        return []
    if port + count - 1 > LAST_PORT:
        return [Fault("metrics_port", f"must be at most {LAST_PORT + 1 - count}, because each of {count} processes takes a port")]
    taken = values.get("port", 0)
    if role == "worker" or not port or not port <= taken < port + (count if role == "api" else 1) or not _overlap(values):
        return []
    several = f"is {port}, and {count} processes take the ports up to {port + count - 1}"
    words = f"is {port}, which is `port`, too" if port == taken else several
    free = taken + 1 if taken + count <= LAST_PORT else taken - count
    return [Fault("metrics_port", f"{words}; `port` is {taken}: write another one, such as {free}")]


def _overlap(values: Mapping[str, Any]) -> bool:
    """Whether one port cannot be served for both on their addresses."""
    one, other = (ip_address(values.get(name, LOOPBACK)) for name in ("listen", "metrics_listen"))
    return one == other or one.is_unspecified or other.is_unspecified


OWN_FILES: Mapping[str, Sequence[Role]] = {
    "tls_certificate": ("up", "api"),
    "tls_key": ("up", "api"),
    "smtp_ca": ("up", "worker"),
}
"""The settings that name a file, and the commands that use it."""


def _file_faults(role: Role, values: Mapping[str, Any], places: Mapping[str, str]) -> list[Fault]:
    """The faults of files that this command uses and cannot read. An API server reaches no engine, so it needs no files of pools.
    ``places``: what a fault names in place of a setting, by the setting."""
    named = [(name, "", values[name]) for name, roles in OWN_FILES.items() if role in roles and values.get(name) is not None]
    if role != "api":
        named += [("pools", f"{part} of pool {pool!r} ", path) for pool, part, path in files_of(values.get("pools", ()))]
    return [Fault(places.get(name, name), f"{part}names {path}, {why}") for name, part, path in named if (why := _unreadable(path))]


def _unreadable(path: Path) -> str | None:
    """Why a file cannot be read, and what to do; None if it can. It is not opened: it may be a pipe."""
    try:
        if path.is_dir():
            return "which is a folder; name a file in it"
        path.stat()
    except FileNotFoundError:
        return "which does not exist; create it, or correct the path"
    except (OSError, ValueError) as error:
        return f"which cannot be read ({getattr(error, 'strerror', None) or error}); correct the path, or the rights of its folders"
    return None if os.access(path, os.R_OK) else "which this user may not read; change its owner or its mode"


def _mail_faults(values: Mapping[str, Any]) -> list[Fault]:
    """The faults between the settings of mail."""
    faults = []
    if values.get("smtp_host") is not None and values.get("smtp_from", "") is None:
        faults.append(Fault("smtp_from", "is not set, but smtp_host is; write where mails come from, such as fastlane@example.com"))
    if values.get("smtp_user", "") is None and values.get("smtp_password") is not None:
        faults.append(Fault("smtp_user", "is not set, but smtp_password is; a login needs both"))
    if values.get("smtp_password", "") is None and values.get("smtp_user") is not None:
        faults.append(Fault("smtp_password", "is not set, but smtp_user is; a login needs both"))
    if values.get("smtp_tls") == "none" and values.get("smtp_user") is not None:
        faults.append(Fault("smtp_tls", "is none, but smtp_user is set: the password would be readable on its way; use starttls or tls"))
    return faults


def _archive_faults(values: Mapping[str, Any]) -> list[Fault]:
    """The faults between the settings of the archive of old logs."""
    if not (values.get("archive_url") or "").startswith(BUCKET):
        return []
    keys = ("archive_access_key", "archive_secret_key")
    return [Fault(name, "is not set, but archive_url is a bucket; write its key") for name in keys if values.get(name, "") is None]


def _names_of_two(values: Mapping[str, Any]) -> list[Fault]:
    known = [row.principal for row in (*values.get("users", ()), *values.get("tokens", ()))]
    return [Fault("tokens", f"a user and a token are both named {name!r}; rename one") for name in duplicate_names(known)]


def _anonymous_access(values: Mapping[str, Any]) -> list[Fault]:
    """A fault if other machines can reach a server that has no users and no tokens, unless that is wanted."""
    if values.get("allow_anonymous", True):
        return []
    found = way_in(values.get("listen", LOOPBACK), values.get("trusted_proxies", ()), values.get("public_url"))
    if found is None:
        return []
    name, words = found
    return [Fault(name, f"{words}, and without users and tokens anyone who reaches the server could run any container: {WAYS_OUT}")]


def _from_file(cwd: Path, named: str | None, faults: list[Fault]) -> dict[str, _RawValue]:
    name = named or FILE_NAME
    try:
        rows = tomllib.loads((cwd / name).read_text("utf-8"))
    except FileNotFoundError:
        if named:
            faults.append(Fault(name, "does not exist; create it, or correct --config or FASTLANE_CONFIG"))
        return {}
    except OSError as error:
        faults.append(Fault(name, f"cannot be read: {error.strerror}"))
        return {}
    except ValueError as error:
        faults.append(Fault(name, f"is not TOML: {error}" if isinstance(error, tomllib.TOMLDecodeError) else "is not UTF-8 text"))
        return {}
    known = (*NAMES, *legacy.NAMES)
    faults += [Fault(f"{name}: {key}", unknown(key, NAMES)) for key in rows if key not in known]
    return {key: _RawValue(value, name, f"{name}: {key}") for key, value in rows.items() if key in known}


def _from_environment(faults: list[Fault]) -> dict[str, _RawValue]:
    """The values of environment variables; unknown names of ours are faults."""
    written = _from_variables(SETTINGS, faults) | _legacy_variables()
    known = {setting.variable for setting in SETTINGS} | {f"{setting.variable}_FILE" for setting in SETTINGS if setting.secret}
    ours = (name for name in sorted(os.environ) if name.startswith(PREFIX) and not NOT_SETTINGS.match(name))
    faults += [Fault(name, _unknown_variable(name, known)) for name in ours if name not in known]
    return written


def _unknown_variable(name: str, known: Collection[str]) -> str:
    plain = name.removesuffix("_FILE")
    if plain != name and plain in known:
        return f"is not a setting: only secrets are read from a file; set {plain} itself"
    return unknown(name, known, PREFIX)


def _legacy_variables() -> dict[str, _RawValue]:
    return {name: _RawValue(value, name, name) for name in legacy.NAMES if (value := os.environ.get(name))}


def _from_variables(settings: Sequence[Setting], faults: list[Fault]) -> dict[str, _RawValue]:
    """The values of these settings' variables. An empty variable counts as unset. ``<NAME>_FILE`` may name a file that holds a secret."""
    plain, secrets = Env(), FileAwareEnv(strip_whitespace=True)
    written = {}
    for setting in settings:
        variable = setting.variable
        file = f"{variable}_FILE" if setting.secret and os.environ.get(f"{variable}_FILE") else None
        try:
            value = (secrets if setting.secret else plain).str(variable, None)
        except (OSError, ValueError):
            faults.append(Fault(f"{variable}_FILE", "cannot be read; name a readable text file"))
            continue
        if file and os.environ.get(variable):
            faults.append(Fault(variable, f"and {file} are both set; unset one of them"))
        elif value or file:
            written[setting.name] = _RawValue(value, file or variable, file or variable)
    return written
