"""Who asks, and under which name: the checked Host, the base of the URLs in answers, proxies, and pages of other sites.

A server on loopback answers only to loopback's names and to that of ``public_url``: a page whose host name was pointed at 127.0.0.1 (DNS
rebinding) gets nothing from it.
"""

import re
from functools import lru_cache
from ipaddress import ip_address, ip_network

from tornado.httputil import HTTPServerRequest

from fastlane.web.problems import Problem
from fastlane.web.settings import WebSettings

HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_][A-Za-z0-9_.-]{0,252})(?::([0-9]{1,5}))?", re.ASCII)
ORIGIN = re.compile(r"(https?)://(.+)", re.ASCII)
EXPOSED = "Fastlane-Exit-Code, Fastlane-Execution-Id, Fastlane-Status, X-Request-Id, X-Fastlane-Version, Retry-After, Content-Range"
"""Our headers that a page of another origin may read too."""


class Addresses:
    """The rules of names and origins under one set of settings."""

    def __init__(self, settings: WebSettings) -> None:
        self._public_url = settings.public_url.rstrip("/") if settings.public_url else None
        self._public_host = _netloc(self._public_url) if self._public_url else None
        self._proxies = [ip_network(proxy, strict=False) for proxy in settings.trusted_proxies]
        self._origins = {origin.rstrip("/").lower() for origin in settings.allowed_origins}
        self._loopback = settings.listen_is_loopback

    def base(self, request: HTTPServerRequest) -> str:
        """The URL before every path in answers. Raises a 400 for a malformed Host, a 403 for one that is not ours."""
        hosts = self._hosts(request)
        for host in hosts:
            self._check(host)
        if self._public_url:
            return self._public_url
        return f"{self._scheme(request)}://{hosts[-1]}"

    def refuse_foreign(self, request: HTTPServerRequest) -> None:
        """Raises a 403 for a write that another site's page sent."""
        origin = request.headers.get("Origin")
        if origin is None:
            foreign = request.headers.get("Sec-Fetch-Site") == "cross-site"
        else:
            own = {_without_default_port(host) for host in self._hosts(request)}
            if self._public_host is not None:
                own.add(self._public_host)
            foreign = _netloc(origin) not in own and origin.lower() not in self._origins
        if foreign:
            who = (origin or "unknown")[:200]
            raise Problem(403, f"a page of another site ({who}) may not do this; allowed_origins would have to name it")

    def reader(self, request: HTTPServerRequest) -> str | None:
        """Which origin's pages may read the answer, as ``Access-Control-Allow-Origin`` says it; None for no other than our own."""
        if not self._loopback:
            return "*"
        origin = request.headers.get("Origin")
        if origin is None:
            return None
        host = _netloc(origin)
        near = host is not None and _is_loopback(_name(host))
        return origin if near or origin.lower() in self._origins else None

    def _hosts(self, request: HTTPServerRequest) -> list[str]:
        """The Host as sent, and the one that a trusted proxy was asked for."""
        forwarded = request.headers.get("X-Forwarded-Host") if self._is_proxy(request) else None
        return [request.host, _last(forwarded)] if forwarded else [request.host]

    def _scheme(self, request: HTTPServerRequest) -> str:
        forwarded = request.headers.get("X-Forwarded-Proto") if self._is_proxy(request) else None
        scheme = _last(forwarded).lower() if forwarded else ""
        return scheme if scheme in ("http", "https") else request.protocol

    def _is_proxy(self, request: HTTPServerRequest) -> bool:
        if not self._proxies:
            return False
        try:
            address = ip_address(request.remote_ip or "")
        except ValueError:
            return False
        return any(address in proxy for proxy in self._proxies)

    def _check(self, host: str) -> None:
        match = HOST.fullmatch(host)
        if not match or (match[2] and not 0 < int(match[2]) < 65_536):
            raise Problem(400, "the Host header is not HOST or HOST:PORT; most clients set it from the URL")
        if not self._loopback or _is_loopback(match[1]):
            return
        if self._public_host is None or match[1].lower() != _name(self._public_host):
            words = f"this server listens on loopback only and does not answer to the name {match[1]!r}; use localhost, or set public_url"
            raise Problem(403, words)


def _last(value: str) -> str:
    return value.rsplit(",", 1)[-1].strip()


def _netloc(origin: str) -> str | None:
    """HOST or HOST:PORT of an origin, lower-case and without its scheme's own port; None when it is not one of the web."""
    match = ORIGIN.fullmatch(origin)
    if match is None or not HOST.fullmatch(match[2]):
        return None
    port = ":443" if match[1] == "https" else ":80"
    return match[2].lower().removesuffix(port)


def _without_default_port(host: str) -> str:
    return host.lower().removesuffix(":443").removesuffix(":80")


def _name(host: str) -> str:
    match = HOST.fullmatch(host)
    return match[1].lower() if match else ""


@lru_cache(maxsize=256)
def _is_loopback(name: str) -> bool:
    name = name.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
