"""The settings of the web layer, as values."""

from dataclasses import dataclass

from fastlane.config.credentials import Token, User

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
