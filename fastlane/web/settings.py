"""The settings of HTTP."""

from dataclasses import dataclass
from ipaddress import ip_address

from fastlane import __version__
from fastlane.config.access import Token, User
from fastlane.config.settings import Settings


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The settings of HTTP; docs/configuration.md explains them and names their defaults.

    ``max_body`` is in bytes, ``hard_timeout`` in seconds. ``trusted_proxies`` are IP addresses and networks. ``listen_is_loopback``: only
    this machine can reach the server, and only under its own names. ``open_reads``: pages of all sites may read where everyone may.
    ``request_rate``: requests a second of one caller, None: any number.
    ``webhook_allow``: addresses that are not public, to which webhooks may be sent. ``notify_allow``: domains and addresses to which mails
    may be sent; None: there is no mail server.
    ``users`` and ``tokens`` may log in; without any, everyone has access. ``metrics_allow`` are networks that read the metrics without.
    ``shares_port``: other processes serve HTTP on the same port.
    """

    version: str
    listen_is_loopback: bool
    public_url: str | None
    trusted_proxies: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    open_reads: bool
    max_body: int
    hard_retries: int
    hard_timeout: float
    timezone: str
    redact_words: tuple[str, ...]
    per_page: int
    webhook_allow: tuple[str, ...]
    users: tuple[User, ...]
    tokens: tuple[Token, ...]
    metrics_allow: tuple[str, ...] = ()
    notify_allow: tuple[str, ...] | None = None
    request_rate: int | None = None
    shares_port: bool = False

    @property
    def has_auth(self) -> bool:
        """Whether access needs a login."""
        return bool(self.users or self.tokens)


def web_settings(settings: Settings) -> WebSettings:
    """The settings of the web layer."""
    return WebSettings(
        version=__version__,
        listen_is_loopback=ip_address(settings.listen).is_loopback,
        public_url=settings.public_url,
        trusted_proxies=settings.trusted_proxies,
        allowed_origins=settings.allowed_origins,
        open_reads=settings.open_reads,
        users=settings.users,
        tokens=settings.tokens,
        redact_words=settings.redact_words,
        per_page=settings.per_page,
        max_body=settings.max_body,
        hard_retries=settings.hard_retries,
        hard_timeout=settings.hard_timeout,
        timezone=settings.timezone,
        metrics_allow=settings.metrics_allow,
        webhook_allow=settings.webhook_allow,
        request_rate=settings.request_rate,
        notify_allow=None if settings.smtp_host is None else settings.notify_allow,
        shares_port=settings.processes > 1,
    )
