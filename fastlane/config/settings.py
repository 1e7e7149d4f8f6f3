"""One process's values of the settings that ``table`` lists."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastlane.config.access import Token, User
from fastlane.config.table import SETTINGS
from fastlane.config.types import MONGO, SQLITE, Invocation, Role
from fastlane.models.host import Reserve
from fastlane.models.image import RegistryLogin
from fastlane.models.pool import Pool


@dataclass(frozen=True, slots=True)
class Settings:
    """One process's settings. Durations are seconds, but those of ``keep_…`` milliseconds; sizes are bytes; paths are absolute;
    ``log_format`` is never ``auto``."""

    data_dir: Path
    check_socket: Path | None
    store_url: str = field(repr=False)
    redis_url: str | None = field(repr=False)
    listen: str
    port: int
    processes: int
    tls_certificate: Path | None
    tls_key: Path | None
    public_url: str | None
    trusted_proxies: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    open_reads: bool
    allow_anonymous: bool
    users: tuple[User, ...] = field(repr=False)
    tokens: tuple[Token, ...] = field(repr=False)
    redact_words: tuple[str, ...]
    per_page: int
    installation: str
    pools: tuple[Pool, ...]
    registries: tuple[RegistryLogin, ...] = field(repr=False)
    docker_config: Path | None
    lease: float
    renew: float
    hard_timeout: float
    hard_retries: int
    timezone: str
    pending_deadline: float
    pull_deadline: float
    host_lost_after: float
    min_free_disk: Reserve
    unused_images_after: float | None
    usage_every: float
    webhook_allow: tuple[str, ...]
    webhook_timeout: float
    smtp_host: str | None
    smtp_tls: str
    smtp_port: int
    smtp_ca: Path | None
    smtp_user: str | None
    smtp_password: str | None = field(repr=False)
    smtp_from: str | None
    smtp_timeout: float
    mail_interval: float
    notify_allow: tuple[str, ...]
    ws_start_wait: float
    max_body: int
    request_rate: int | None
    max_log_bytes: int
    keep_jobs: int | None
    keep_executions: int | None
    max_executions: int | None
    keep_logs: int | None
    max_total_log_bytes: int | None
    keep_deliveries: int | None
    keep_history: int | None
    keep_events: int | None
    breaker_max_fails: int
    breaker_reset: float
    metrics_port: int | None
    metrics_listen: str
    metrics_allow: tuple[str, ...]
    metrics_tasks: int
    traces_url: str | None = field(repr=False)
    sentry_dsn: str | None = field(repr=False)
    log_format: str
    log_level: str

    @property
    def store_is_mongo(self) -> bool:
        """Whether ``store_url`` names a MongoDB database, and not a SQLite file."""
        return self.store_url.startswith(MONGO)

    @property
    def store_path(self) -> Path:
        """The SQLite file that ``store_url`` names."""
        return Path(self.store_url.removeprefix(SQLITE))

    @classmethod
    def defaults(cls, cwd: Path = Path("/"), role: Role = "up", **changes: Any) -> "Settings":
        """The settings of a process that sets nothing, whatever this machine's files and environment say; ``changes`` are values of single
        settings, from which the defaults of others may follow."""
        invocation, values = Invocation(role, cwd), dict[str, Any]()
        for setting in SETTINGS:
            values[setting.name] = changes[setting.name] if setting.name in changes else setting.default_value(invocation, values)
        return cls(**values)
