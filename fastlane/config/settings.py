"""The settings: ``Settings`` declares each one once, with its type, its default, its meaning, and whether it is secret.

``load`` reads and checks settings by this declaration, ``fastlane config`` shows them, and docs/configuration.md lists them. To add a
setting, add a field.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastlane.config import types
from fastlane.config.access import TOKENS, USERS, Token, User
from fastlane.config.pools import AGE, DEFAULT_TOTAL, MOST, POOLS, RATE, TOTAL, default_pools
from fastlane.config.types import (
    BUCKET,
    FOLDER,
    LAST_PORT,
    MONGO,
    SQLITE,
    Invocation,
    Key,
    Keys,
    Role,
    SettingType,
    choice,
    number,
    path_like,
    read_tables,
)
from fastlane.models.calendar import MOST_DATES, Calendar, in_order, read_name, read_text
from fastlane.models.host import Reserve
from fastlane.models.image import RegistryLogin
from fastlane.models.pool import Pool

PREFIX = "FASTLANE_"
MAIL_PORTS = {"starttls": 587, "tls": 465, "none": 25}
"""The ports of mail servers, by their encryption."""

_CALENDAR = '[{"name": "holidays", "dates": ["2026-12-24..2026-12-26", "2027-01-01"]}]'


def _calendar_dates(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MOST_DATES:
        raise ValueError(f'is not a list of at most {MOST_DATES:,} dates; write ["2026-12-24..2026-12-26", "2027-01-01"]')
    return in_order(map(read_text, value))


_CALENDAR_KEYS: Keys = {"name": Key("id", read_name), "dates": Key("dates", _calendar_dates)}


def _calendars(value: object) -> tuple[Calendar, ...]:
    calendars = tuple(Calendar(**row) for row in read_tables(value, "calendar", _CALENDAR_KEYS, ("name", "dates"), _CALENDAR))
    names = [one.id for one in calendars]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"has two calendars named {twice[0]!r}; join them in one")
    return calendars


def _show_calendars(calendars: Sequence[Calendar]) -> str:
    return json.dumps([{"name": one.id, "dates": list(one.dates)} for one in calendars], ensure_ascii=False)


CALENDARS = SettingType(_calendars, _show_calendars, empty=(), tables=True)
"""The type of ``calendars``: each calendar's name and dates."""

Computed = Callable[[Invocation, Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a field of ``Settings`` declares. ``default`` is a value as a user would write it or, for a ``computed`` default, a description
    of it."""

    name: str
    type: SettingType
    default: str
    meaning: str
    secret: bool = False
    computed: Computed | None = None

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.name.upper()

    def value(self, written: object, invocation: Invocation) -> Any:
        """The value that a user wrote, resolved. Raises ValueError or Invalid."""
        return self._resolved(self.type.read(written), invocation)

    def default_value(self, invocation: Invocation, values: Mapping[str, Any]) -> Any:
        """The default, resolved; ``values`` are the values of the settings above this one. Raises ValueError for a bad DOCKER_HOST."""
        found = self.computed(invocation, values) if self.computed else self.type.read(self.default)
        return self._resolved(found, invocation)

    def _resolved(self, value: Any, invocation: Invocation) -> Any:
        return value if value is None else self.type.resolve(value, invocation)


def setting(type: SettingType, default: str, meaning: str, *, secret: bool = False, computed: Computed | None = None) -> Any:
    """Declares a field of ``Settings``."""
    return field(repr=not secret, metadata={"type": type, "default": default, "meaning": meaning, "secret": secret, "computed": computed})


def optional(type: SettingType, meaning: str, *, unset: str = "none", secret: bool = False) -> Any:
    """Declares a field that is empty unless it is set. ``unset`` describes the meaning of an empty one."""
    return setting(type, unset, meaning, secret=secret, computed=lambda _invocation, _values: type.empty)


def _total(_invocation: Invocation, values: Mapping[str, Any]) -> int:
    one: int = values.get("max_log_bytes", 0)
    return max(DEFAULT_TOTAL, one)


def _domain_of_sender(_invocation: Invocation, values: Mapping[str, Any]) -> tuple[str, ...]:
    address = values.get("smtp_from")
    return () if address is None else (address.rpartition("@")[2].lower(),)


@dataclass(frozen=True, slots=True)
class Settings:
    """One process's settings. Durations are seconds, except ``keep_…``, which are milliseconds; sizes are bytes; paths are absolute;
    ``log_format`` is never ``auto``. A field with a computed default stands after those that the default depends on."""

    data_dir: Path = setting(types.DIRECTORY, ".fastlane", "directory of the SQLite file and of the other files of `fastlane up`")
    check_socket: Path | None = optional(
        path_like("/run/fastlane/check.sock"),
        "unix socket on which the process answers `fastlane check`; processes that share a data_dir need one each",
        unset="check.sock in data_dir",
    )
    store_url: str = setting(
        types.STORE_URL,
        "fastlane.db in data_dir",
        "URL of the store: sqlite:///PATH, mongodb://HOST:PORT,…/DATABASE or mongodb+srv://NAME/DATABASE",
        secret=True,
        computed=lambda _invocation, values: f"{SQLITE}{values.get('data_dir', Path()) / 'fastlane.db'}",
    )
    redis_url: str | None = optional(
        types.REDIS_URL,
        "URL of the queue: redis://, rediss://, unix:// or redis+sentinel://HOST:PORT,…/SERVICE",
        unset="up: its own Redis server; api, worker: required",
        secret=True,
    )
    listen: str = setting(
        types.ADDRESS,
        "up: 127.0.0.1; api: 0.0.0.0",
        "IP address to serve HTTP on",
        computed=lambda invocation, _values: "0.0.0.0" if invocation.role == "api" else "127.0.0.1",
    )
    port: int = setting(types.PORT, "10000", "port to serve HTTP on; 0 takes any free port")
    processes: int = setting(
        number(1, 64),
        "1",
        "how many processes `fastlane api` serves that port with, to use more than one core; each counts metrics, rates and failed logins "
        "by itself",
    )
    stop_wait: float = setting(
        types.STOP_WAIT,
        "0",
        "how long a server that is stopping still answers while its /readyz says 503, so that a load balancer finds out before "
        "connections are refused; at most 10m",
    )
    tls_certificate: Path | None = optional(
        types.TLS_FILE,
        "PEM file of the certificate, with its chain, to serve HTTPS with; read again when it changes",
        unset="none: plain HTTP",
    )
    tls_key: Path | None = optional(types.TLS_FILE, "PEM file of the certificate's key, without a password; read again when it changes")
    public_url: str | None = optional(
        types.PUBLIC_URL, "address that URLs in responses begin with, with a path if a proxy adds one; none: the address of the request"
    )
    trusted_proxies: tuple[str, ...] = optional(types.PROXIES, "IP addresses and networks of proxies whose X-Forwarded headers are trusted")
    allowed_origins: tuple[str, ...] = optional(
        types.ORIGINS, "other sites whose pages may use the API from a browser, such as https://dash.example.com"
    )
    open_reads: bool = setting(
        types.FLAG,
        "true",
        "whether pages of all other sites may read where everyone may: on a server beyond loopback without users and tokens; "
        "if not, that server answers only to IP addresses and to names in its settings",
    )
    allow_anonymous: bool = setting(
        types.FLAG, "false", "whether to serve beyond loopback without users and tokens: anyone who reaches the server may then do anything"
    )
    users: tuple[User, ...] = optional(
        USERS, "users who log in with a password, and their roles", unset="none: anyone may do anything", secret=True
    )
    tokens: tuple[Token, ...] = optional(TOKENS, "bearer tokens and their roles", secret=True)
    redact_words: tuple[str, ...] = setting(
        types.REDACT_WORDS,
        "password,passwd,passphrase,secret,token,key,credential,private,client_id,_pass_,_pwd_,_auth_,_cred_,_dsn_",
        "an environment variable whose name contains one of these words is shown without its value; `_pass_` means the whole word "
        "between underscores: `DB_PASS`, not `COMPASS`",
    )
    per_page: int = setting(number(1, 100), "10", "rows on a page when the request sets no number; at most 100")
    installation: str = setting(types.INSTALLATION, "fastlane", "name that marks the Swarm services and Redis keys of this installation")
    pools: tuple[Pool, ...] = setting(
        POOLS,
        "one for all tasks: the local engine, 10 at once",
        "which tasks run on which hosts, how many at once, and what their containers may use",
        computed=lambda invocation, _values: default_pools(invocation),
    )
    registries: tuple[RegistryLogin, ...] = optional(types.REGISTRIES, "logins for image registries", secret=True)
    docker_config: Path | None = setting(
        types.DOCKER_CONFIG,
        "config.json in DOCKER_CONFIG, else in ~/.docker",
        "Docker configuration file with more logins and credential helpers; it may be missing; `none` turns it off",
        computed=lambda invocation, _values: types.default_docker_config(invocation.docker_config),
    )
    lease: float = setting(types.DURATION, "15s", "how long a worker keeps an execution after its last renewal")
    renew: float = setting(types.DURATION, "5s", "how often a worker renews its leases; at most half of lease")
    hard_timeout: float = setting(types.DURATION, "30m", "longest time that an execution may run")
    hard_retries: int = setting(number(1, 1000), "10", "largest number of retries that a job may set")
    timezone: str = setting(types.TIMEZONE, "UTC", "time zone of crons that name none; existing jobs keep theirs when it changes")
    pending_deadline: float = setting(
        types.DURATION, "1h", "how long an execution may wait for a suitable node, or for a worker with its pool"
    )
    pull_deadline: float = setting(types.DURATION, "15m", "how long an execution may wait for a registry that does not answer")
    host_lost_after: float = setting(types.DURATION, "5m", "how long a host may be unreachable before its executions count as lost")
    min_free_disk: Reserve = setting(
        types.RESERVE,
        "512MiB",
        "how much of a host's disk has to be free for new work: bytes, or percent of the disk; measured where the engine runs on the "
        "worker's own machine; 0 turns it off",
    )
    unused_images_after: float | None = optional(
        types.UNUSED_AFTER,
        "how long an image stays on an engine that pulled it for an execution, after the last one that used it; at least 1m",
        unset="none: they stay",
    )
    calendars: tuple[Calendar, ...] = optional(
        CALENDARS,
        "dates that jobs skip by a name, [calendars](scheduling.md#calendars), beside the ones that `PUT /calendars/NAME` makes",
    )
    service_labels: bool = setting(
        types.FLAG,
        "false",
        "whether workers make jobs of the labels of the swarms' services; pools say by `services` which ones may be run",
    )
    usage_every: float = setting(
        types.USAGE_EVERY,
        "10s",
        "how often a worker asks an engine what a running container uses, and more often while that is young; at least 1s; 0 turns it off",
    )
    webhook_allow: tuple[str, ...] = optional(
        types.PROXIES,
        "IP addresses and networks that are not public, such as 10.1.0.0/16, to which webhooks may be sent all the same",
        unset="none: public addresses only",
    )
    webhook_timeout: float = setting(types.DURATION, "15s", "how long one attempt to send a webhook may take")
    smtp_host: str | None = optional(
        types.MAIL_HOST,
        "name of the mail server that `notify` of jobs is sent through; set the smtp settings of `api` and of `worker` alike",
        unset="none: no mail",
    )
    smtp_tls: str = setting(
        choice("starttls", "tls", "none"),
        "starttls",
        "how mail is encrypted on its way to the mail server: `starttls` (required, even if it is not offered), `tls` from the start, "
        "or `none`; the server's certificate is verified",
    )
    smtp_port: int = setting(
        number(1, LAST_PORT),
        "587 with starttls, 465 with tls, 25 with none",
        "port of the mail server",
        computed=lambda _invocation, values: MAIL_PORTS[values.get("smtp_tls", "starttls")],
    )
    smtp_ca: Path | None = optional(
        types.TLS_FILE,
        "PEM file of the authorities that the mail server's certificate must be signed by",
        unset="none: the system's authorities",
    )
    smtp_user: str | None = optional(types.MAIL_USER, "user of the mail server", unset="none: no login")
    smtp_password: str | None = optional(types.MAIL_PASSWORD, "password of smtp_user", secret=True)
    smtp_from: str | None = optional(
        types.MAIL_ADDRESS, "address that mails come from, such as fastlane@example.com", unset="none; required with smtp_host"
    )
    smtp_timeout: float = setting(types.DURATION, "30s", "how long one attempt to send a mail may take")
    mail_interval: float = setting(
        types.MAIL_INTERVAL,
        "1h",
        "shortest time between two mails about failures of one job to one address; the next one says what was held back; 0s sends all",
    )
    notify_allow: tuple[str, ...] = setting(
        types.MAIL_TARGETS,
        "the domain of smtp_from",
        "where `notify` of jobs may have mails sent: domains, `*.example.com` for the subdomains of one, and addresses; `*` is anywhere",
        computed=_domain_of_sender,
    )
    ws_start_wait: float = setting(types.DURATION, "25s", "how long a log follower waits for a start before it has to reconnect")
    max_body: int = setting(types.SIZE, "1MiB", "largest request body")
    request_rate: int | None = setting(RATE, "1000", "requests a second of [one caller](operations.md#quotas) to an API process, or `none`")
    mcp: str = setting(
        choice("off", "read", "run"),
        "off",
        "what `/mcp` offers to [programs that talk](mcp.md), with the caller's own rights: `off`: nothing; `read`: to look; `run`: to run "
        "jobs too; `fastlane mcp` does not need it",
    )
    max_log_bytes: int = setting(types.SIZE, "100MiB", "how much of each execution's log is stored")
    keep_jobs: int | None = setting(
        AGE,
        "30d",
        "how long a job that will not run again stays, with all that it has, after its last execution ended or it was last changed; at "
        "least 1m, or `none`: always",
    )
    keep_executions: int | None = setting(
        AGE, "30d", "how long an execution stays after its end, with its tick and its log; the newest of a job stays as long as the job"
    )
    max_executions: int | None = setting(
        MOST, "10000", "how many of a job's newest executions stay, and of its newest ticks; or `none`: all"
    )
    keep_logs: int | None = setting(AGE, "14d", "how long an execution's log stays after its end")
    max_total_log_bytes: int | None = setting(
        TOTAL,
        "10GiB",
        "how much of all logs is stored: beyond that the logs of the oldest executions go; at least max_log_bytes, or `none`: no limit",
        computed=_total,
    )
    archive_url: str | None = optional(
        types.ARCHIVE_URL,
        "where logs of ended executions [move to](stores.md#old-logs-elsewhere) after archive_after: a folder, file:///PATH, that servers "
        "and workers reach alike, or a bucket, s3://BUCKET/PREFIX, which needs the extra archive",
        unset="none: logs stay in the store",
    )
    archive_endpoint: str = setting(types.ENDPOINT, "https://s3.amazonaws.com", "URL of the server of the S3 protocol that has the bucket")
    archive_region: str = setting(types.REGION, "us-east-1", "region of the bucket")
    archive_access_key: str | None = optional(types.ACCESS_KEY, "access key of the bucket", unset="none; required with s3://", secret=True)
    archive_secret_key: str | None = optional(types.ACCESS_KEY, "secret key of the bucket", unset="none; required with s3://", secret=True)
    archive_after: float = setting(types.DURATION, "24h", "how long after an execution's end its log moves to archive_url")
    keep_deliveries: int | None = setting(AGE, "14d", "how long the record of a webhook that was sent or given up stays")
    keep_history: int | None = setting(AGE, "90d", "how long the counts of each hour stay, which `/history` shows")
    keep_events: int | None = setting(AGE, "90d", "how long [what people and fastlane did](audit.md) stays known")
    receipt_keys: tuple[str, ...] = optional(
        types.RECEIPT_KEYS,
        "keys of [receipts](receipts.md), for servers and workers alike: the first one signs, others verify what they signed before; each "
        "at least 32 characters",
        unset="none: no receipts",
        secret=True,
    )
    breaker_max_fails: int = setting(number(1, 1000), "5", "consecutive faults of a host after which its circuit breaker opens")
    breaker_reset: float = setting(types.DURATION, "1m", "how long the breaker stays open before a host is tried again")
    metrics_port: int | None = optional(
        types.PORT,
        "port of its own on which a process also serves /metrics: a worker serves no other HTTP; with several `processes`, each takes the "
        "next port; 0 takes any free port",
    )
    metrics_listen: str = setting(types.ADDRESS, "127.0.0.1", "IP address of metrics_port")
    metrics_allow: tuple[str, ...] = optional(
        types.PROXIES, "IP addresses and networks that read /metrics without a login on a server with users or tokens"
    )
    metrics_tasks: int = setting(
        number(0, 10_000),
        "100",
        "of how many tasks a worker counts what their containers used, each under its name; further ones count together; 0: none, and no "
        "figure names a task",
    )
    traces_url: str | None = optional(
        types.COLLECTOR_URL,
        "where to send traces, by OTLP over HTTP, such as http://collector:4318/v1/traces; needs the extra otel",
        secret=True,
    )
    sentry_dsn: str | None = optional(
        types.SENTRY_DSN, "the DSN of a project of Sentry, to which errors in the log are reported; needs the extra sentry", secret=True
    )
    log_format: str = setting(types.LOG_FORMAT, "auto", "console, json, or auto: console on a terminal, else json")
    log_level: str = setting(choice("debug", "info", "warning", "error"), "info", "debug, info, warning or error")

    @property
    def store_is_mongo(self) -> bool:
        """Whether ``store_url`` names a MongoDB database, and not a SQLite file."""
        return self.store_url.startswith(MONGO)

    @property
    def store_path(self) -> Path:
        """The SQLite file that ``store_url`` names."""
        return Path(self.store_url.removeprefix(SQLITE))

    @property
    def archive_path(self) -> Path | None:
        """The folder that ``archive_url`` names; None for a bucket, too."""
        url = self.archive_url or ""
        return Path(url.removeprefix(FOLDER)) if url.startswith(FOLDER) else None

    @property
    def archive_bucket(self) -> tuple[str, str] | None:
        """The bucket that ``archive_url`` names, and what the names of its objects begin with; None for a folder, too."""
        url = self.archive_url or ""
        bucket, _, prefix = url.removeprefix(BUCKET).partition("/")
        return (bucket, f"{prefix}/" if prefix else "") if url.startswith(BUCKET) else None

    @property
    def has_auth(self) -> bool:
        """Whether access needs a login. Without users and tokens, everyone may do everything."""
        return bool(self.users or self.tokens)

    @property
    def listen_is_loopback(self) -> bool:
        """Whether only this machine can reach the server, and only under its own names."""
        return ip_address(self.listen).is_loopback

    @property
    def shares_port(self) -> bool:
        """Whether several processes serve HTTP on the same port."""
        return self.processes > 1

    @property
    def mail_allow(self) -> tuple[str, ...] | None:
        """The domains and addresses to which mails may be sent; None without a mail server."""
        return None if self.smtp_host is None else self.notify_allow

    @classmethod
    def defaults(cls, cwd: Path = Path("/"), role: Role = "up", **changes: Any) -> "Settings":
        """The settings of a process that sets nothing, whatever this machine's files and environment contain; ``changes`` are values of
        single settings, from which the defaults of others may follow."""
        invocation, values = Invocation(role, cwd), dict[str, Any]()
        for row in SETTINGS:
            values[row.name] = changes[row.name] if row.name in changes else row.default_value(invocation, values)
        return cls(**values)


def way_in(listen: str, trusted_proxies: Sequence[str], public_url: str | None) -> tuple[str, str] | None:
    """The setting by which other machines reach a server, with words that say so; None when only this machine does."""
    if not ip_address(listen).is_loopback:
        return "listen", f"{listen} lets other machines in"
    if trusted_proxies:
        return "trusted_proxies", "a proxy lets other machines in"
    if public_url is not None and not is_loopback_name(urlsplit(public_url).hostname or ""):
        return "public_url", f"{public_url} lets other machines in"
    return None


def is_loopback_name(name: str) -> bool:
    """Whether a host name or an IP address always means this machine."""
    name = name.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


SETTINGS = tuple(Setting(declared.name, **declared.metadata) for declared in fields(Settings))
NAMES = tuple(row.name for row in SETTINGS)
