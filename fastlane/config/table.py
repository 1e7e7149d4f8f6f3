"""The table of the settings, ``SETTINGS``: what there is, what it means and what it is unless it is set.

``fastlane config``, docs/configuration.md and ``load`` all follow from it. A default stands here and nowhere else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastlane.config import types
from fastlane.config.access import TOKENS, USERS
from fastlane.config.pools import AGE, DEFAULT_TOTAL, MOST, POOLS, RATE, TOTAL, default_pools
from fastlane.config.types import (
    COLLECTOR_URL,
    DOCKER_CONFIG,
    REGISTRIES,
    RESERVE,
    SENTRY_DSN,
    SQLITE,
    STORE_URL,
    Invocation,
    SettingType,
    default_docker_config,
)

PREFIX = "FASTLANE_"


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the table. ``default`` is a value as a user would write it or, for a ``computed`` default, a description of it."""

    name: str
    type: SettingType
    default: str
    meaning: str
    secret: bool = False
    computed: Callable[[Invocation, Mapping[str, Any]], Any] | None = None

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.name.upper()

    def value(self, written: object, invocation: Invocation) -> Any:
        """The value that a user wrote, resolved. Raises ValueError or Invalid."""
        return self._resolved(self.type.read(written), invocation)

    def default_value(self, invocation: Invocation, values: Mapping[str, Any]) -> Any:
        """The default, resolved; ``values`` are those of the settings above this one. Raises ValueError for a bad DOCKER_HOST."""
        found = self.computed(invocation, values) if self.computed else self.type.read(self.default)
        return self._resolved(found, invocation)

    def _resolved(self, value: Any, invocation: Invocation) -> Any:
        return value if value is None else self.type.resolve(value, invocation)


MAIL_PORTS = {"starttls": 587, "tls": 465, "none": 25}
"""The ports of mail servers, by how they are spoken to."""


def _domain_of(address: str | None) -> tuple[str, ...]:
    return () if address is None else (address.rpartition("@")[2].lower(),)


SETTINGS = (
    Setting("data_dir", types.DIRECTORY, ".fastlane", "directory of the SQLite file and of the other files of `fastlane up`"),
    Setting(
        "check_socket",
        types.SOCKET_FILE,
        "check.sock in data_dir",
        "unix socket on which the process answers `fastlane check`; processes that share a data_dir need one each",
        computed=lambda _invocation, _values: None,
    ),
    Setting(
        "store_url",
        STORE_URL,
        "fastlane.db in data_dir",
        "URL of the store: sqlite:///PATH, mongodb://HOST:PORT,…/DATABASE or mongodb+srv://NAME/DATABASE",
        secret=True,
        computed=lambda _invocation, values: f"{SQLITE}{values.get('data_dir', Path()) / 'fastlane.db'}",
    ),
    Setting(
        "redis_url",
        types.REDIS_URL,
        "up: its own Redis server; api, worker: required",
        "URL of the queue: redis://, rediss://, unix:// or redis+sentinel://HOST:PORT,…/SERVICE",
        secret=True,
        computed=lambda _invocation, _values: None,
    ),
    Setting(
        "listen",
        types.ADDRESS,
        "up: 127.0.0.1; api: 0.0.0.0",
        "IP address to serve HTTP on",
        computed=lambda invocation, _values: "0.0.0.0" if invocation.role == "api" else "127.0.0.1",
    ),
    Setting("port", types.PORT, "10000", "port to serve HTTP on; 0 takes any free port"),
    Setting(
        "processes",
        types.PROCESSES,
        "1",
        "how many processes `fastlane api` serves that port with, to use more than one core; each counts metrics, rates and failed logins "
        "by itself",
    ),
    Setting(
        "tls_certificate",
        types.TLS_FILE,
        "none: plain HTTP",
        "PEM file of the certificate, with its chain, to serve HTTPS with; read again when it changes",
        computed=lambda _invocation, _values: None,
    ),
    Setting(
        "tls_key",
        types.TLS_FILE,
        "none",
        "PEM file of the certificate's key, without a password; read again when it changes",
        computed=lambda _invocation, _values: None,
    ),
    Setting(
        "public_url",
        types.PUBLIC_URL,
        "none",
        "address that URLs in responses begin with, with a path if a proxy adds one; none: the address of the request",
        computed=lambda _invocation, _values: None,
    ),
    Setting(
        "trusted_proxies",
        types.PROXIES,
        "none",
        "IP addresses and networks of proxies whose X-Forwarded headers are trusted",
        computed=lambda _invocation, _values: (),
    ),
    Setting(
        "allowed_origins",
        types.ORIGINS,
        "none",
        "other sites whose pages may use the API from a browser, such as https://dash.example.com",
        computed=lambda _invocation, _values: (),
    ),
    Setting(
        "open_reads",
        types.FLAG,
        "true",
        "whether pages of all other sites may read where everyone may: on a server beyond loopback without users and tokens; "
        "if not, that server answers only to IP addresses and to names in its settings",
    ),
    Setting(
        "allow_anonymous",
        types.FLAG,
        "false",
        "whether to serve beyond loopback without users and tokens: anyone who reaches the server may then do anything",
    ),
    Setting(
        "users",
        USERS,
        "none: anyone may do anything",
        "users who log in with a password, and their roles",
        secret=True,
        computed=lambda _invocation, _values: (),
    ),
    Setting("tokens", TOKENS, "none", "bearer tokens and their roles", secret=True, computed=lambda _invocation, _values: ()),
    Setting(
        "redact_words",
        types.REDACT_WORDS,
        "password,passwd,passphrase,secret,token,key,credential,private,client_id,_pass_,_pwd_,_auth_,_cred_,_dsn_",
        "an environment variable whose name contains one of these words is shown without its value; `_pass_` means the whole word "
        "between underscores: `DB_PASS`, not `COMPASS`",
    ),
    Setting("per_page", types.PER_PAGE, "10", "rows on a page when the request sets no number; at most 100"),
    Setting("installation", types.INSTALLATION, "fastlane", "name that marks the Swarm services and Redis keys of this installation"),
    Setting(
        "pools",
        POOLS,
        "one for all tasks: the local engine, 10 at once",
        "which tasks run on which hosts, how many at once, and what their containers may use",
        computed=lambda invocation, _values: default_pools(invocation),
    ),
    Setting(
        "registries",
        REGISTRIES,
        "none",
        "logins for image registries",
        secret=True,
        computed=lambda _invocation, _values: (),
    ),
    Setting(
        "docker_config",
        DOCKER_CONFIG,
        "config.json in DOCKER_CONFIG, else in ~/.docker",
        "Docker configuration file with more logins and credential helpers; it may be missing; `none` turns it off",
        computed=lambda invocation, _values: default_docker_config(invocation.docker_config),
    ),
    Setting("lease", types.DURATION, "15s", "how long a worker keeps an execution after its last renewal"),
    Setting("renew", types.DURATION, "5s", "how often a worker renews its leases; at most half of lease"),
    Setting("hard_timeout", types.DURATION, "30m", "longest time that an execution may run"),
    Setting("hard_retries", types.COUNT, "10", "largest number of retries that a job may set"),
    Setting(
        "timezone",
        types.TIMEZONE,
        "UTC",
        "time zone of crons that name none; existing jobs keep theirs when it changes",
    ),
    Setting("pending_deadline", types.DURATION, "1h", "how long an execution may wait for a suitable node, or for a worker with its pool"),
    Setting("pull_deadline", types.DURATION, "15m", "how long an execution may wait for a registry that does not answer"),
    Setting("host_lost_after", types.DURATION, "5m", "how long a host may be unreachable before its executions count as lost"),
    Setting(
        "min_free_disk",
        RESERVE,
        "512MiB",
        "how much of a host's disk has to be free for new work: bytes, or percent of the disk; measured where the engine runs on the "
        "worker's own machine; 0 turns it off",
    ),
    Setting(
        "unused_images_after",
        types.UNUSED_AFTER,
        "none: they stay",
        "how long an image stays on an engine that pulled it for an execution, after the last one that used it; at least 1m",
        computed=lambda _invocation, _values: None,
    ),
    Setting(
        "usage_every",
        types.USAGE_EVERY,
        "10s",
        "how often a worker asks an engine what a running container uses, and more often while that is young; at least 1s; 0 turns it off",
    ),
    Setting(
        "webhook_allow",
        types.PROXIES,
        "none: public addresses only",
        "IP addresses and networks that are not public, such as 10.1.0.0/16, to which webhooks may be sent all the same",
        computed=lambda _invocation, _values: (),
    ),
    Setting("webhook_timeout", types.DURATION, "15s", "how long one attempt to send a webhook may take"),
    Setting(
        "smtp_host",
        types.MAIL_HOST,
        "none: no mail",
        "name of the mail server that `notify` of jobs is sent through; set the smtp settings of `api` and of `worker` alike",
        computed=lambda _invocation, _values: None,
    ),
    Setting(
        "smtp_tls",
        types.MAIL_TLS,
        "starttls",
        "how mail is encrypted on its way to the mail server: `starttls` (required, even if it is not offered), `tls` from the start, "
        "or `none`; the server's certificate is verified",
    ),
    Setting(
        "smtp_port",
        types.MAIL_PORT,
        "587 with starttls, 465 with tls, 25 with none",
        "port of the mail server",
        computed=lambda _invocation, values: MAIL_PORTS[values.get("smtp_tls", "starttls")],
    ),
    Setting(
        "smtp_ca",
        types.TLS_FILE,
        "none: those of the system",
        "PEM file of the authorities that the mail server's certificate must be signed by",
        computed=lambda _invocation, _values: None,
    ),
    Setting("smtp_user", types.MAIL_USER, "none: no login", "user of the mail server", computed=lambda _invocation, _values: None),
    Setting(
        "smtp_password",
        types.MAIL_PASSWORD,
        "none",
        "password of smtp_user",
        secret=True,
        computed=lambda _invocation, _values: None,
    ),
    Setting(
        "smtp_from",
        types.MAIL_ADDRESS,
        "none; required with smtp_host",
        "address that mails come from, such as fastlane@example.com",
        computed=lambda _invocation, _values: None,
    ),
    Setting("smtp_timeout", types.DURATION, "30s", "how long one attempt to send a mail may take"),
    Setting(
        "mail_interval",
        types.MAIL_INTERVAL,
        "1h",
        "shortest time between two mails about failures of one job to one address; the next one says what was held back; 0s sends all",
    ),
    Setting(
        "notify_allow",
        types.MAIL_TARGETS,
        "the domain of smtp_from",
        "where `notify` of jobs may have mails sent: domains, `*.example.com` for the subdomains of one, and addresses; `*` is anywhere",
        computed=lambda _invocation, values: _domain_of(values.get("smtp_from")),
    ),
    Setting("ws_start_wait", types.DURATION, "25s", "how long a log follower waits for a start before it is told to reconnect"),
    Setting("max_body", types.SIZE, "1MiB", "largest request body"),
    Setting("request_rate", RATE, "1000", "requests a second of [one caller](operations.md#quotas) to an API process, or `none`"),
    Setting("max_log_bytes", types.SIZE, "100MiB", "how much of each execution's log is stored"),
    Setting(
        "keep_jobs",
        AGE,
        "30d",
        "how long a job that will not run again stays, with all that it has, after its last execution ended or it was last changed; at "
        "least 1m, or `none`: always",
    ),
    Setting(
        "keep_executions",
        AGE,
        "30d",
        "how long an execution stays after its end, with its tick and its log; the newest of a job stays as long as the job",
    ),
    Setting("max_executions", MOST, "10000", "how many of a job's newest executions stay, and of its newest ticks; or `none`: all"),
    Setting("keep_logs", AGE, "14d", "how long an execution's log stays after its end"),
    Setting(
        "max_total_log_bytes",
        TOTAL,
        "10GiB",
        "how much of all logs is stored: beyond that the logs of the oldest executions go; at least max_log_bytes, or `none`: no limit",
        computed=lambda _invocation, values: max(DEFAULT_TOTAL, values.get("max_log_bytes", 0)),
    ),
    Setting("keep_deliveries", AGE, "14d", "how long the record of a webhook that was sent or given up stays"),
    Setting("keep_history", AGE, "90d", "how long the counts of each hour stay, which `/history` shows"),
    Setting("keep_events", AGE, "90d", "how long [what people and fastlane did](audit.md) stays known"),
    Setting("breaker_max_fails", types.COUNT, "5", "consecutive faults of a host after which its circuit breaker opens"),
    Setting("breaker_reset", types.DURATION, "1m", "how long the breaker stays open before a host is tried again"),
    Setting(
        "metrics_port",
        types.PORT,
        "none",
        "port of its own on which a process also serves /metrics: a worker serves no other HTTP; with several `processes`, each takes the "
        "next port; 0 takes any free port",
        computed=lambda _invocation, _values: None,
    ),
    Setting("metrics_listen", types.ADDRESS, "127.0.0.1", "IP address of metrics_port"),
    Setting(
        "metrics_allow",
        types.PROXIES,
        "none",
        "IP addresses and networks that read /metrics without a login on a server with users or tokens",
        computed=lambda _invocation, _values: (),
    ),
    Setting(
        "metrics_tasks",
        types.TASKS,
        "100",
        "of how many tasks a worker counts what their containers used, each under its name; further ones count together; 0: none, and no "
        "figure names a task",
    ),
    Setting(
        "traces_url",
        COLLECTOR_URL,
        "none",
        "where to send traces, by OTLP over HTTP, such as http://collector:4318/v1/traces; needs the extra otel",
        secret=True,
        computed=lambda _invocation, _values: None,
    ),
    Setting(
        "sentry_dsn",
        SENTRY_DSN,
        "none",
        "the DSN of a project of Sentry, to which errors in the log are reported; needs the extra sentry",
        secret=True,
        computed=lambda _invocation, _values: None,
    ),
    Setting("log_format", types.LOG_FORMAT, "auto", "console, json, or auto: console on a terminal, else json"),
    Setting("log_level", types.LOG_LEVEL, "info", "debug, info, warning or error"),
)
"""The table. A setting with a computed default stands after those that the default depends on."""

NAMES = tuple(setting.name for setting in SETTINGS)
