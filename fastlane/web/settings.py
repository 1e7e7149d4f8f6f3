"""What the web layer is given: its settings, and the services that its handlers call. Values only."""

from dataclasses import dataclass

from fastlane.clock import Clock
from fastlane.services.health import Health
from fastlane.services.jobs import Jobs
from fastlane.services.queries import Queries
from fastlane.services.status import StatusReport

REDACT_WORDS = ("password", "key", "secret", "token", "client_id")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The settings of HTTP, as docs/configuration.md names them.

    ``max_body`` in bytes. ``hard_retries``: the most retries that a job may ask for.
    ``trusted_proxies`` are IP addresses and networks. ``listen_is_loopback``: only this machine can reach the
    server, and only under its own names.
    """

    version: str
    listen_is_loopback: bool
    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    max_body: int = 1024 * 1024
    hard_retries: int = 10
    redact_words: tuple[str, ...] = REDACT_WORDS


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers call."""

    jobs: Jobs
    queries: Queries
    health: Health
    status: StatusReport
    clock: Clock
