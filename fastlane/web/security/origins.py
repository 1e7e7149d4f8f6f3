"""Checks of Host and Origin, the client's address behind proxies, and the base of the URLs in answers.

A server on loopback answers only to loopback names and to the name in ``public_url``, so a page whose host name points to 127.0.0.1 (DNS
rebinding) gets no answer. On other addresses, without users, a page under a rebound name cannot write: the server trusts only names from
the settings, and names that no one can point here: IP addresses and loopback's names. With ``open_reads = false`` it does not answer to any
other name, since a page under a rebound name could read.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest

from fastlane.config.settings import Settings, is_loopback_name
from fastlane.web.http.problems import Problem

Address = IPv4Address | IPv6Address


@lru_cache(maxsize=256)
def read_address(text: str) -> Address | None:
    """An IP address; None for other text. An IPv4 address that is mapped into IPv6, as on a dual-stack socket, is returned as IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=256)
def address_text(text: str) -> str | None:
    """An IP address in its usual form; None for other text."""
    address = read_address(text)
    return None if address is None else str(address)


class Networks:
    """The addresses and networks of a setting: false when there are none, and ``address in networks``."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ip_network(network, strict=False) for network in networks]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_][A-Za-z0-9_.-]{0,252})(?::([0-9]{1,5}))?", re.ASCII)
ORIGIN = re.compile(r"(https?)://(.+)", re.ASCII)
EXPOSED = (
    "Fastlane-Exit-Code, Fastlane-Execution-Id, Fastlane-Status, Fastlane-Truncated, X-Request-Id, X-Fastlane-Version, "
    "Idempotent-Replayed, Retry-After, Accept-Ranges, Content-Range, ETag"
)
"""Our headers that pages of other origins may read."""
READABLE_BY_ALL = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED}
SENDABLE = "Authorization, Content-Type, Idempotency-Key, If-Match, Last-Event-ID, Range, Traceparent, X-Request-Id"
"""The headers that a page of another origin may send in addition to the ones that browsers always allow."""
PREFLIGHT_MAX_AGE = "600"
"""Seconds for which a browser may remember a preflight's answer."""


class RequestOrigins:
    """The rules for hosts and origins under the settings."""

    def __init__(self, settings: Settings) -> None:
        self._public_url = settings.public_url.rstrip("/") if settings.public_url else None
        self._public_host = _netloc("://".join(urlsplit(self._public_url)[:2])) if self._public_url else None
        self._proxies = Networks(settings.trusted_proxies)
        self._origins = {origin.rstrip("/").lower() for origin in settings.allowed_origins}
        self._loopback = settings.listen_is_loopback
        self._has_auth = settings.has_auth
        self._is_exposed = not settings.listen_is_loopback and not settings.has_auth
        self._open = settings.open_reads and self._is_exposed
        self._named = {_name(host) for host in (self._public_host, *map(_netloc, self._origins)) if host}

    def base_url(self, request: HTTPServerRequest) -> str:
        """The URL before every path in answers. Raises a 400 for a malformed Host, and a 403 for one that is not this server's."""
        hosts = self._hosts(request)
        for host in hosts:
            self._check(host)
        if self._is_exposed and not self._open:
            self._check_named(hosts[-1])
        if self._public_url:
            return self._public_url
        return f"{self._scheme(request)}://{hosts[-1]}"

    def refuse_foreign_write(self, request: HTTPServerRequest) -> None:
        """Raises a 403 if a page of another site sent this write."""
        origin = request.headers.get("Origin")
        if origin is None:
            foreign = request.headers.get("Sec-Fetch-Site") == "cross-site"
        else:
            foreign = not self._is_own(request, origin) and not self._is_listed(origin)
        if foreign:
            raise _foreign(origin)

    def allowed_origin(self, request: HTTPServerRequest) -> str | None:
        """The value of ``Access-Control-Allow-Origin``: whose pages may read the answer. None when only this server's own may."""
        if self._open:
            return "*"
        origin = request.headers.get("Origin")
        if origin is None:
            return None
        local = self._loopback and not self._has_auth and _is_loopback(_name(_netloc(origin) or ""))
        return origin if local or self._is_listed(origin) else None

    def cors_headers(self, request: HTTPServerRequest) -> Mapping[str, str]:
        """The headers that let a page of another origin read the answer. Only origins named in the settings may read with the browser's own
        login (HTTP Basic)."""
        origin = self.allowed_origin(request)
        if origin is None or origin == "*":
            return {} if origin is None else READABLE_BY_ALL
        headers = READABLE_BY_ALL | {"Access-Control-Allow-Origin": origin}
        return headers | {"Access-Control-Allow-Credentials": "true"} if self._has_auth else headers

    def allows_websocket(self, request: HTTPServerRequest) -> bool:
        """Whether the page may open a WebSocket. The server must check, because browsers let any page open and read one."""
        origin = request.headers.get("Origin")
        return origin is None or self.allowed_origin(request) is not None or self._is_own(request, origin)

    def preflight_headers(self, request: HTTPServerRequest, methods: Sequence[str]) -> Mapping[str, str]:
        """The headers of a preflight's answer, for a route with these methods. A page that may only read gets the reading methods.
        Raises a 403 for a page that may do nothing."""
        origin = request.headers.get("Origin", "")
        if not (self._is_listed(origin) or self._is_own(request, origin)):
            if self.allowed_origin(request) is None:
                raise _foreign(origin)
            methods = [method for method in methods if method in ("GET", "HEAD")]
        return {
            "Access-Control-Allow-Methods": ", ".join(methods),
            "Access-Control-Allow-Headers": SENDABLE,
            "Access-Control-Max-Age": PREFLIGHT_MAX_AGE,
        }

    def client_address(self, request: HTTPServerRequest) -> str | None:
        """The client's IP address: behind trusted proxies, the last forwarded address that is not itself a trusted proxy."""
        if not self._proxies:
            return address_text(request.remote_ip or "")
        address = read_address(request.remote_ip or "")
        hops = ",".join(request.headers.get_list("X-Forwarded-For")).split(",")
        while hops and address in self._proxies:
            before = read_address(hops.pop().strip())
            if before is None:
                break
            address = before
        return None if address is None else str(address)

    def owner_of_request(self, request: HTTPServerRequest) -> str | None:
        """The key of the client that sent a request, before it has logged in; None for this machine's own address."""
        found = read_address(self.client_address(request) or "")
        return None if found is None or found.is_loopback else str(found)

    def owner_of_connection(self, address: str) -> str | None:
        """The key of a connection's client. None where others may share the address: a proxy's, and this machine's own."""
        found = read_address(address)
        return None if found is None or found.is_loopback or found in self._proxies else str(found)

    def _is_own(self, request: HTTPServerRequest, origin: str) -> bool:
        """Whether the page came from this server."""
        netloc = _netloc(origin)
        if netloc is None:
            return False
        if netloc == self._public_host and self._public_url is not None:
            return not (self._public_url.startswith("https:") and origin.startswith("http:"))
        if origin.startswith("http:") and self._scheme(request) == "https":
            return False  # anyone on the way may have written the page
        return netloc in {_without_default_port(host) for host in self._proven_hosts(request)}

    def _proven_hosts(self, request: HTTPServerRequest) -> list[str]:
        """The hosts of a request that certainly name this server. The owner of any name can point it here, and a proxy may pass any name
        on. With users that does not help a page, since the browser has no login under that name."""
        sent, *forwarded = self._hosts(request)
        if not self._has_auth:
            return [host for host in (sent, *forwarded) if _is_address(host)]
        return [*forwarded, *([sent] if self._public_url is None or _is_address(sent) else [])]

    def _is_listed(self, origin: str) -> bool:
        return origin.lower() in self._origins

    def _hosts(self, request: HTTPServerRequest) -> list[str]:
        """The Host header, and the host that a trusted proxy forwarded."""
        forwarded = request.headers.get("X-Forwarded-Host") if self._is_proxy(request) else None
        return [request.host, _last(forwarded)] if forwarded else [request.host]

    def _scheme(self, request: HTTPServerRequest) -> str:
        forwarded = request.headers.get("X-Forwarded-Proto") if self._is_proxy(request) else None
        scheme = _last(forwarded).lower() if forwarded else ""
        return scheme if scheme in ("http", "https") else request.protocol

    def _is_proxy(self, request: HTTPServerRequest) -> bool:
        return bool(self._proxies) and read_address(request.remote_ip or "") in self._proxies

    def _check(self, host: str) -> None:
        match = HOST.fullmatch(host)
        if not match or (match[2] and not 0 < int(match[2]) < 65_536):
            raise Problem(400, "the Host header is not HOST or HOST:PORT; most clients set it from the URL")
        if not self._loopback or _is_loopback(match[1]):
            return
        if self._public_host is None or match[1].lower() != _name(self._public_host):
            words = f"this server listens on loopback only and does not answer to the name {match[1]!r}; use localhost, or set public_url"
            raise Problem(403, words)

    def _check_named(self, host: str) -> None:
        if not _is_address(host) and _name(host) not in self._named:
            words = "with open_reads = false, this server answers only to IP addresses and to names in its settings"
            raise Problem(403, f"{words}, not to {_name(host)!r}; use its address, set public_url, or name it in allowed_origins")


def _foreign(origin: str | None) -> Problem:
    who = (origin or "unknown")[:200]
    words = "if it is a page of this server, set public_url to the server's address; else allowed_origins would have to name its site"
    return Problem(403, f"a page of another site ({who}) may not do this; {words}")


def _last(value: str) -> str:
    return value.rsplit(",", 1)[-1].strip()


def _netloc(origin: str) -> str | None:
    """The origin's HOST or HOST:PORT, in lower case and without its scheme's default port; None when it is not an HTTP origin."""
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


def _is_address(host: str) -> bool:
    """Whether a host is an IP address or one of loopback's names, which no one else can point here."""
    name = _name(host)
    return _is_loopback(name) or read_address(name.strip("[]")) is not None


_is_loopback = lru_cache(maxsize=256)(is_loopback_name)
