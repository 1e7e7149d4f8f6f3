"""The settings. One table, ``SETTINGS``, says what there is; what is read, ``fastlane config`` and the docs all follow from it.

A value comes from an option of the command line, else from the environment (``FASTLANE_<NAME>``), else from ``fastlane.toml``, else from
a name of fastlane 2.x (``config_legacy``), else it is the table's default. ``load`` finds all faults in one go. The value of a setting
that is marked secret stands in no fault.
"""

import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from environs import Env, FileAwareEnv

from fastlane.config import legacy, types
from fastlane.config.access import TOKENS, USERS, twins
from fastlane.config.credentials import Token, User
from fastlane.config.legacy import Renamed
from fastlane.config.pools import POOLS, default_pools, exposed
from fastlane.config.registries import DOCKER_CONFIG, REGISTRIES, default_docker_config
from fastlane.config.types import SQLITE, Role, SettingType, Start, unknown
from fastlane.errors import Fault, Invalid
from fastlane.models.container.registry import Login
from fastlane.models.placement.pool import Pool
from fastlane.models.schedule.schedule import show_duration

PREFIX = "FASTLANE_"
FILE_NAME = "fastlane.toml"
NOT_SETTINGS = re.compile(r"FASTLANE_(CONFIG$|TEST_|(TASK_ID|JOB_ID|EXECUTION_ID|ATTEMPT|SCHEDULED_FOR)$|SERVICE_|PORT_)")
"""Variables that are somebody else's: tests', those that every container gets, and Kubernetes' for a service named ``fastlane``."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a process is told at its start. Durations are seconds, sizes bytes; paths are absolute; ``log_format`` is never ``auto``."""

    data_dir: Path
    store_url: str = field(repr=False)
    redis_url: str | None = field(repr=False)
    listen: str
    port: int
    public_url: str | None
    trusted_proxies: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    users: tuple[User, ...] = field(repr=False)
    tokens: tuple[Token, ...] = field(repr=False)
    redact_words: tuple[str, ...]
    per_page: int
    installation: str
    pools: tuple[Pool, ...]
    registries: tuple[Login, ...] = field(repr=False)
    docker_config: Path | None
    lease: float
    renew: float
    hard_timeout: float
    hard_retries: int
    pending_deadline: float
    pull_deadline: float
    host_lost_after: float
    ws_start_wait: float
    max_body: int
    max_log_bytes: int
    breaker_max_fails: int
    breaker_reset: float
    log_format: str
    log_level: str

    @property
    def store_path(self) -> Path:
        """The SQLite file that ``store_url`` names."""
        return Path(self.store_url.removeprefix(SQLITE))


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, by name where each value came from (``default``, or the name of a file, a variable, an option), and the names of
    fastlane 2.x that were met."""

    settings: Settings
    origins: Mapping[str, str]
    renamed: Sequence[Renamed] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the table. ``default`` is text as one would write it, or words when ``computed`` makes the value from what is known."""

    name: str
    kind: SettingType
    default: str
    meaning: str
    secret: bool = False
    computed: Callable[[Start, Mapping[str, Any]], Any] | None = None

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.name.upper()


SETTINGS = (
    Setting("data_dir", types.DIRECTORY, ".fastlane", "the directory of the SQLite file and of what `fastlane up` keeps"),
    Setting(
        "store_url",
        types.STORE_URL,
        "fastlane.db in data_dir",
        "the store: sqlite:///PATH",
        secret=True,
        computed=lambda _start, values: f"{SQLITE}{values.get('data_dir', Path()) / 'fastlane.db'}",
    ),
    Setting(
        "redis_url",
        types.REDIS_URL,
        "up: a Redis of its own; api, worker: required",
        "the queue: redis://, rediss://, unix:// or redis+sentinel://HOST:PORT,…/SERVICE",
        secret=True,
        computed=lambda _start, _values: None,
    ),
    Setting(
        "listen",
        types.ADDRESS,
        "up: 127.0.0.1; api: 0.0.0.0",
        "the IP address to serve HTTP on",
        computed=lambda start, _values: "0.0.0.0" if start.role == "api" else "127.0.0.1",
    ),
    Setting("port", types.PORT, "10000", "the port to serve HTTP on; 0 takes any free one"),
    Setting(
        "public_url",
        types.PUBLIC_URL,
        "none",
        "the address that URLs in answers begin with; none: the request's own",
        computed=lambda _start, _values: None,
    ),
    Setting(
        "trusted_proxies",
        types.PROXIES,
        "none",
        "IP addresses and networks of proxies whose X-Forwarded headers are believed",
        computed=lambda _start, _values: (),
    ),
    Setting(
        "allowed_origins",
        types.ORIGINS,
        "none",
        "other sites whose pages may read and write, such as https://dash.example.com",
        computed=lambda _start, _values: (),
    ),
    Setting(
        "users",
        USERS,
        "none: everybody may everything",
        "who may log in with a password, and do what",
        secret=True,
        computed=lambda _start, _values: (),
    ),
    Setting("tokens", TOKENS, "none", "bearer tokens, and what each may do", secret=True, computed=lambda _start, _values: ()),
    Setting(
        "redact_words",
        types.REDACT_WORDS,
        "password,key,secret,token,client_id",
        "the value of a variable whose name has one of these in it is never shown",
    ),
    Setting("per_page", types.PER_PAGE, "10", "rows of a page when a request does not say; at most 100"),
    Setting("installation", types.INSTALLATION, "fastlane", "the name by which services and keys are known as this installation's"),
    Setting(
        "pools",
        POOLS,
        "one for all tasks: the local engine, 10 at once",
        "which tasks run on which hosts, how many at once, and what their containers may do",
        computed=lambda start, _values: default_pools(start.docker_host),
    ),
    Setting(
        "registries",
        REGISTRIES,
        "none",
        "who fastlane is to registries that ask for a password",
        secret=True,
        computed=lambda _start, _values: (),
    ),
    Setting(
        "docker_config",
        DOCKER_CONFIG,
        "config.json in DOCKER_CONFIG, else in ~/.docker",
        "a Docker configuration with more of them, also by credential helpers; it need not be there; `none` reads none",
        computed=lambda _start, _values: default_docker_config(),
    ),
    Setting("lease", types.DURATION, "15s", "how long an execution stays a worker's after that worker was last heard of"),
    Setting("renew", types.DURATION, "5s", "how often a worker renews its leases; at most half of lease"),
    Setting("hard_timeout", types.DURATION, "30m", "the longest that any execution may run"),
    Setting("hard_retries", types.COUNT, "10", "the most retries that a job may ask for"),
    Setting("pending_deadline", types.DURATION, "1h", "how long an execution may wait for a node that fits"),
    Setting("pull_deadline", types.DURATION, "15m", "how long an image's registry may stay out of reach"),
    Setting("host_lost_after", types.DURATION, "5m", "how long a host may be away before what ran on it counts as lost"),
    Setting("ws_start_wait", types.DURATION, "25s", "how long who follows a log waits for a start before being told to come again"),
    Setting("max_body", types.SIZE, "1MiB", "the largest request body"),
    Setting("max_log_bytes", types.SIZE, "100MiB", "how much of an execution's log is kept"),
    Setting("breaker_max_fails", types.COUNT, "5", "faults of a host in a row until it is left alone"),
    Setting("breaker_reset", types.DURATION, "1m", "how long a host is left alone then"),
    Setting("log_format", types.LOG_FORMAT, "auto", "console, json, or auto: console on a terminal, else json"),
    Setting("log_level", types.LOG_LEVEL, "info", "debug, info, warning or error"),
)
"""The table. A setting whose default is computed stands after those that it is computed from."""

NAMES = tuple(setting.name for setting in SETTINGS)


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as somebody wrote it, where it came from, and how a fault names that place."""

    value: object
    origin: str
    place: str


def load(role: Role, *, cwd: Path | None = None, options: Mapping[str, str] | None = None, config: str | None = None) -> Loaded:
    """The settings of a command, from its options (by the setting's name), the process's environment, and the file ``config``, else the
    one that FASTLANE_CONFIG names, else ``fastlane.toml`` in ``cwd`` when there is one. Raises Invalid with every fault.
    """
    start = Start(role, Path.cwd() if cwd is None else cwd, os.environ.get("DOCKER_HOST"), sys.stderr is not None and sys.stderr.isatty())
    faults: list[Fault] = []
    given = _from_file(start.cwd, config or os.environ.get("FASTLANE_CONFIG"), faults) | _from_environment(faults)
    for name, text in (options or {}).items():
        option = "--" + name.replace("_", "-")
        given[name] = _Given(text, option, option)
    given, renamed = _with_old_names(given, faults)
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        _take(setting, given.get(setting.name), start, values, faults)
    _check_together(role, values, faults)
    if faults:
        raise Invalid(faults)
    origins = dict.fromkeys(NAMES, "default") | ({"pools": "DOCKER_HOST"} if start.docker_host else {})
    return Loaded(Settings(**values), origins | {name: row.origin for name, row in given.items()}, renamed)


def _with_old_names(given: Mapping[str, _Given], faults: list[Fault]) -> tuple[dict[str, _Given], list[Renamed]]:
    """The values by the settings' own names, also those that stand under a name of fastlane 2.x, and which of its names were met."""
    old = {name: row for name, row in given.items() if name in legacy.NAMES}
    values = {name: row for name, row in given.items() if name not in old}
    renamed: list[Renamed] = []
    found = legacy.meant({name: row.value for name, row in old.items()}, lambda name, words: faults.append(Fault(old[name].place, words)))
    for meaning in found:
        renamed += [Renamed(name, meaning.new, used=meaning.new not in values) for name in meaning.old]
        names = " and ".join(meaning.old)
        values.setdefault(meaning.new, _Given(meaning.value, names, " and ".join(old[name].place for name in meaning.old)))
    return values, renamed


def _take(setting: Setting, given: _Given | None, start: Start, values: dict[str, Any], faults: list[Fault]) -> None:
    try:
        if given is not None:
            value = setting.kind.read(given.value)
        else:
            value = setting.computed(start, values) if setting.computed else setting.kind.read(setting.default)
        values[setting.name] = value if value is None else setting.kind.settle(value, start)
    except Invalid as error:
        faults += [Fault(given.place if given else setting.name, fault.message) for fault in error.faults]
    except ValueError as error:
        faults.append(Fault(given.place if given else "DOCKER_HOST", str(error)))


def _check_together(role: Role, values: Mapping[str, Any], faults: list[Fault]) -> None:
    """Adds the faults between settings that are each well-formed; says nothing about one that has a fault already."""
    tried = any(fault.field.startswith("FASTLANE_REDIS_URL") for fault in faults)
    if role != "up" and not tried and values.get("redis_url", "") is None:
        faults.append(Fault("redis_url", f"`fastlane {role}` needs one; set FASTLANE_REDIS_URL=redis://HOST:6379/0, or use `fastlane up`"))
    if "lease" in values and values["lease"] < 2 * values.get("renew", 0):
        renew = show_duration(values["renew"])
        faults.append(Fault("lease", f"must be at least twice renew ({renew}), or leases run out between renewals"))
    known = [row.principal for row in (*values.get("users", ()), *values.get("tokens", ()))]
    faults += [Fault("tokens", f"a user and a token are both named {name!r}; rename one") for name in twins(known)]
    if role != "worker" and values.get("users") == values.get("tokens") == ():
        faults += exposed(values.get("pools", ()))


def _from_file(cwd: Path, named: str | None, faults: list[Fault]) -> dict[str, _Given]:
    name = named or FILE_NAME
    try:
        rows = tomllib.loads((cwd / name).read_text("utf-8"))
    except FileNotFoundError:
        if named:
            faults.append(Fault(name, "there is no such file; make it, or correct --config or FASTLANE_CONFIG"))
        return {}
    except OSError as error:
        faults.append(Fault(name, f"cannot be read: {error.strerror}"))
        return {}
    except ValueError as error:
        faults.append(Fault(name, f"is not TOML: {error}" if isinstance(error, tomllib.TOMLDecodeError) else "is not UTF-8 text"))
        return {}
    known = (*NAMES, *legacy.NAMES)
    faults += [Fault(f"{name}: {key}", unknown(key, NAMES)) for key in rows if key not in known]
    return {key: _Given(value, name, f"{name}: {key}") for key, value in rows.items() if key in known}


def _from_environment(faults: list[Fault]) -> dict[str, _Given]:
    """What the environment says. An empty variable is the same as none. A secret may stand in a file that ``<NAME>_FILE`` names."""
    plain, secrets = Env(), FileAwareEnv(strip_whitespace=True)
    given, known = {}, set()
    for setting in SETTINGS:
        variable = setting.variable
        file = f"{variable}_FILE" if setting.secret and os.environ.get(f"{variable}_FILE") else None
        known |= {variable, f"{variable}_FILE"} if setting.secret else {variable}
        try:
            value = (secrets if setting.secret else plain).str(variable, None)
        except (OSError, ValueError):
            faults.append(Fault(f"{variable}_FILE", "cannot be read; name a readable text file"))
            continue
        if file and os.environ.get(variable):
            faults.append(Fault(variable, f"is set, and {file} too; unset one of them"))
        elif value or file:
            given[setting.name] = _Given(value, file or variable, file or variable)
    given |= {name: _Given(value, name, name) for name in legacy.NAMES if (value := os.environ.get(name))}
    ours = (name for name in sorted(os.environ) if name.startswith(PREFIX) and not NOT_SETTINGS.match(name))
    faults += [Fault(name, unknown(name, known)) for name in ours if name not in known]
    return given
