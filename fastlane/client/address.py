"""A server's address, and the credentials for it."""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from fastlane import __version__
from fastlane.client.errors import WrongAddress

DEFAULT_URL = "http://127.0.0.1:10000"


@dataclass(frozen=True, slots=True)
class Address:
    """A server's URL, and a token, or a user and a password. ``ca_file``: certificates to trust in place of the system's."""

    url: str = DEFAULT_URL
    token: str | None = field(default=None, repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> "Address":
        """From FASTLANE_URL, and FASTLANE_TOKEN (or FASTLANE_TOKEN_FILE), or FASTLANE_USER and FASTLANE_PASSWORD, and FASTLANE_CA_FILE."""
        token = environment.get("FASTLANE_TOKEN")
        if not token and (file := environment.get("FASTLANE_TOKEN_FILE")):
            token = read_secret(file)
        return cls(
            environment.get("FASTLANE_URL") or DEFAULT_URL,
            token or None,
            environment.get("FASTLANE_USER") or None,
            environment.get("FASTLANE_PASSWORD"),
            environment.get("FASTLANE_CA_FILE") or None,
        )

    @property
    def shown(self) -> str:
        """The URL without a password, for people."""
        url = self.checked_url()
        return str(url.copy_with(username=None, password=None)).rstrip("/")

    def checked_url(self) -> httpx.URL:
        """The URL. Raises WrongAddress if it is not valid."""
        try:
            url = httpx.URL(self.url)
        except (httpx.InvalidURL, TypeError) as error:
            raise WrongAddress(f"the server's URL is wrong: {error}; write http://HOST:10000") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise WrongAddress("the server's URL must begin with http:// or https:// and name a host; write http://HOST:10000")
        return url

    def options(self) -> dict[str, object]:
        """The options of a client of httpx."""
        url = self.checked_url()
        auth = None
        if self.user is not None:
            auth = httpx.BasicAuth(self.user, self.password or "")
        elif url.username:
            auth = httpx.BasicAuth(url.username, url.password)
        headers = {"User-Agent": f"fastlane/{__version__}"}
        if self.token is not None:
            auth, headers["Authorization"] = None, f"Bearer {_header_value(self.token)}"
        return {"auth": auth, "headers": headers, "verify": self._verify(url), "follow_redirects": False}

    def _verify(self, url: httpx.URL) -> ssl.SSLContext | bool:
        if url.scheme != "https":
            return False  # loads no certificates, which takes a while
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise WrongAddress(f"the certificates of {self.ca_file} cannot be read: {error.strerror or error}") from None


def read_secret(file: str) -> str:
    """The one line of a file. Raises WrongAddress when it cannot be read."""
    try:
        return Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongAddress(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}") from None


def _header_value(token: str) -> str:
    if not token.isascii() or not token.isprintable():
        raise WrongAddress("the token has characters that no token has; is it the token itself, not its hash or a file's name?")
    return token
