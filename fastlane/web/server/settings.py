"""What the web layer is given: its settings, and the services that its handlers call. Values only."""

from dataclasses import dataclass

from fastlane.clock import Clock
from fastlane.config.credentials import Token, User
from fastlane.services.jobs.jobs import Jobs
from fastlane.services.jobs.preview import Previews
from fastlane.services.reads.endings import CompletionWaiter
from fastlane.services.reads.find import Find
from fastlane.services.reads.health import Health
from fastlane.services.reads.lists import Lists
from fastlane.services.reads.status import StatusReport
from fastlane.services.reads.why import Why
from fastlane.services.tickets import Tickets
from fastlane.streams.follower import Followers

REDACT_WORDS = ("password", "key", "secret", "token", "client_id")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The settings of HTTP, as docs/configuration.md names them.

    ``max_body`` in bytes. ``hard_retries``: the most retries that a job may ask for.
    ``per_page``: the rows of a page when a request does not say. ``users`` and ``tokens``: who may come in; everybody when there is none.
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
    per_page: int = 10
    users: tuple[User, ...] = ()
    tokens: tuple[Token, ...] = ()

    @property
    def has_auth(self) -> bool:
        """Whether only known users and tokens may come in."""
        return bool(self.users or self.tokens)


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers call."""

    jobs: Jobs
    queries: Find
    lists: Lists
    why: Why
    previews: Previews
    endings: CompletionWaiter
    health: Health
    status: StatusReport
    clock: Clock
    followers: Followers
    tickets: Tickets
