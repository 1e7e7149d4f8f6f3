"""Notifications: what triggers them, webhooks and mailboxes with the readers of what people write for them, the addresses that they may
have, webhooks' signatures, and the templates of what is posted. Pure."""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from fastlane.models.status import Status


class NotificationTrigger(StrEnum):
    """The trigger of a webhook or a mailbox: the name of its list in a job."""

    SUCCEEDS = "succeeds"
    FAILS = "fails"
    FINISHES = "finishes"
    LATE = "late"
    RECOVERED = "recovered"
    FIXED = "fixed"
    STARTED = "started"


JOB_TRIGGERS = frozenset({NotificationTrigger.LATE, NotificationTrigger.RECOVERED})
"""Those that are about a job, and not about one of its executions."""
FAILURES = frozenset({Status.FAILED, Status.TIMEDOUT, Status.EXPIRED})


def is_triggered(trigger: NotificationTrigger, status: Status) -> bool:
    """Whether an execution's end with this status triggers the notification."""
    match trigger:
        case NotificationTrigger.SUCCEEDS:
            return status is Status.DONE
        case NotificationTrigger.FAILS:
            return status in FAILURES
        case NotificationTrigger.FINISHES:
            return status.final
    return False  # the others do not follow from the status alone


DEFAULT_RETRIES, MAX_RETRIES = 5, 10
MAX_WEBHOOKS = 10
"""Webhooks of one list."""
MAX_URL = 2048
MAX_BODY = 16 * 1024
"""Bytes of a template."""
MAX_HEADERS, MAX_HEADER = 20, 4096
"""Headers of a webhook, and characters of one value."""

URL = re.compile(r"https?://[!-~]+", re.ASCII)
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
HEADER_VALUE = re.compile(r"[ -~]*", re.ASCII)
OWN_HEADERS = ("host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer")
OWN_PREFIX = "webhook-"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to post when its trigger comes, with which of the user's headers, and how many attempts may follow a failed one. ``body``: a
    template of what is posted in place of the execution, see ``filled``."""

    trigger: NotificationTrigger
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    retries: int = DEFAULT_RETRIES
    body: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def origin(self) -> str:
        """Scheme, host and port of the receiver: what a log may name of it."""
        return origin_of(self.url)


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL."""
    found = urlsplit(url)
    host = found.hostname or ""
    name = f"[{host}]" if ":" in host else host
    return f"{found.scheme}://{name}:{found.port or (443 if found.scheme == 'https' else 80)}"


def read_url(value: object) -> str:
    """A webhook's URL. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError("is not text; write a URL such as https://example.com/hook")
    try:
        usable = URL.fullmatch(value) is not None and bool(urlsplit(value).hostname) and urlsplit(value).port != 0
    except ValueError:
        usable = False
    if not usable or len(value) > MAX_URL:
        raise ValueError(
            f"is not a URL of a webhook; write one such as https://example.com/hook: http or https, at most {MAX_URL} characters, "
            "everything but ASCII percent-encoded"
        )
    return value


def read_headers(value: object) -> dict[str, str]:
    """Headers that go with each request: names to text. Raises ValueError."""
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError('is not an object of texts; write {"Authorization": "Bearer …"}')
    if len(value) > MAX_HEADERS:
        raise ValueError(f"has more than {MAX_HEADERS} headers; leave some out")
    if len({name.lower() for name in value}) < len(value):
        raise ValueError("has a name twice; write each header once")
    for name, text in value.items():
        if not HEADER_NAME.fullmatch(name):
            raise ValueError(f"has a name that is not one of an HTTP header: {name[:80]!r}")
        if name.lower() in OWN_HEADERS or name.lower().startswith(OWN_PREFIX):
            raise ValueError(f"has {name}, which fastlane sets itself; leave it out")
        if len(text) > MAX_HEADER or not HEADER_VALUE.fullmatch(text):
            raise ValueError(f"has a value of {name} that is longer than {MAX_HEADER} characters, or is not printable ASCII")
    return dict(value)


def read_retries(value: object) -> int:
    """How many attempts may follow the first. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_RETRIES:
        raise ValueError(f"is not a whole number from 0 to {MAX_RETRIES}")
    return value


def read_body(value: object) -> dict[str, Any]:
    """A template of what is posted. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError('is not an object; write {"text": "{{taskId}}: {{status}}"}')
    if len(json.dumps(value)) > MAX_BODY:
        raise ValueError(f"is longer than {MAX_BODY >> 10} KiB; shorten it")
    return value


READERS: Mapping[str, Callable[[object], object]] = {
    "url": read_url,
    "headers": read_headers,
    "retries": read_retries,
    "body": read_body,
}
"""The fields of a webhook in a list."""


RETRIES = 7
"""How many attempts may follow a failed one: with the waits between them, some 7 hours, as many servers are down for an hour or two."""
MAX_MAILBOXES = 20
"""Addresses of one list."""
MAX_ADDRESS = 254

ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*",
    re.ASCII,
)
MAX_LOCAL = 64
ANY = "*"
"""What the setting ``notify_allow`` lists when any address may get mails."""
SUBDOMAINS = "*."
ROUTED = frozenset("%!")
"""Characters by which some mail servers read another address out of the part before the ``@``: ``victim%example.org@example.com``."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address, and what triggers a mail to it."""

    trigger: NotificationTrigger
    address: str = field(repr=False)

    @property
    def origin(self) -> str:
        """What a log may name of it: its domain."""
        return f"mailto:{self.address.rpartition('@')[2].lower()}"

    @property
    def url(self) -> str:
        """The address as a URL."""
        return f"mailto:{self.key}"

    @property
    def key(self) -> str:
        """The address in lower case: no server distinguishes the two."""
        return self.address.lower()

    @property
    def retries(self) -> int:
        """How many attempts may follow a failed one."""
        return RETRIES


def read_address(value: object) -> str:
    """An e-mail address. Raises ValueError."""
    if not isinstance(value, str) or len(value) > MAX_ADDRESS or not ADDRESS.fullmatch(value) or len(value.rpartition("@")[0]) > MAX_LOCAL:
        raise ValueError("is not an e-mail address; write one such as team@example.com, in ASCII and without a name beside it")
    return value


def read_allowed(text: str) -> str:
    """What ``notify_allow`` lists: an address, a domain, ``*.`` and a domain for its subdomains, or ``*``. Raises ValueError."""
    try:
        if "@" in text and not text.startswith(ANY):
            read_address(text)
        elif text != ANY:
            read_address(f"any@{text.removeprefix(SUBDOMAINS)}")
    except ValueError:
        raise ValueError(f"{text!r} is not a domain such as example.com, nor an address such as team@example.com") from None
    return text.lower()


def may_mail(address: str, allowed: Sequence[str]) -> bool:
    """Whether an address may get mails: it, its domain, or a domain above that is listed. One that a server may read as the address of
    another domain has to be listed itself."""
    address = address.lower()
    if ANY in allowed or address in allowed:
        return True
    local, _, domain = address.rpartition("@")
    above = (domain[place:] for place, letter in enumerate(domain) if letter == ".")
    return not ROUTED & set(local) and (domain in allowed or any(f"*{one}" in allowed for one in above))


def one_each(mailboxes: Sequence[Mailbox]) -> list[Mailbox]:
    """The first mailbox of each address: an address in two lists gets one mail."""
    return list({mailbox.key: mailbox for mailbox in reversed(mailboxes)}.values())[::-1]


IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_GLOBAL = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is in public use (RFC 4291 and IANA's register). What lies outside, such as the old ``fec0::/10``, is somebody's own."""
_NOT_PUBLIC = (
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure's own services for a virtual machine
    ipaddress.IPv6Network("3fff::/20"),  # for documentation (RFC 9637), which not every Python knows
)
_EMBEDDED = (ipaddress.IPv6Network("::/96"), ipaddress.IPv6Network("::ffff:0:0:0/96"))
"""IPv4-compatible (RFC 4291) and translated (RFC 2765) addresses, which end with an IPv4 address."""
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
"""The bits before the last 32 of an address of a host that tunnels IPv6 in IPv4 (RFC 5214)."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def may_post(address: str, allowed: Sequence[str]) -> bool:
    """Whether a webhook may be sent to this IP address. ``allowed``: addresses and networks that may be private. An IPv6 address that
    stands for an IPv4 address is treated like that one."""
    networks = [ipaddress.ip_network(one) for one in allowed]
    return all(_is_public(one) or any(one in network for network in networks) for one in _meant(_parsed(address)))


def literal_address(url: str) -> str | None:
    """The IP address that a URL has in place of a name, in any form that a system resolves without a name server; None for a name."""
    host = urlsplit(url).hostname or ""
    try:
        return str(_parsed(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))  # such as 127.1, 0x7f000001 and 2130706433
    except OSError:
        return None


def _parsed(address: str) -> IpAddress:
    return ipaddress.ip_address(address.partition("%")[0])


def _meant(address: IpAddress) -> Iterator[IpAddress]:
    """The addresses that packets to this one may reach: itself or, where it contains IPv4 addresses, those."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
    elif address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo
    elif address in _NAT64 or (any(address in network for network in _EMBEDDED) and int(address) > 0xFFFF):
        yield ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    else:
        yield address
        if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
            yield ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)


def _is_public(address: IpAddress) -> bool:
    is_used = isinstance(address, ipaddress.IPv4Address) or address in _GLOBAL
    return is_used and address.is_global and not address.is_multicast and not any(address in network for network in _NOT_PUBLIC)


PREFIX = "whsec_"
MAX_SECRETS = 2
"""The current secret of a pool and the one before it, while receivers change over."""
SHORTEST, LONGEST = 24, 64
"""Bytes of a secret."""


def read_secret(text: str) -> bytes:
    """The key in a secret like ``whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw``. Raises ValueError, without the secret."""
    words = f"is not a webhook secret: {PREFIX} and {SHORTEST} to {LONGEST} random bytes in base64; make one with: openssl rand -base64 32"
    if not text.startswith(PREFIX):
        raise ValueError(words)
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(words) from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(words)
    return key


def signature(secrets: Sequence[str], id: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature``: one signature for each secret. ``timestamp`` in seconds."""
    signed = f"{id}.{timestamp}.".encode() + body
    digests = (hmac.digest(read_secret(secret), signed, hashlib.sha256) for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


NAME = re.compile(r"\{\{\s*([A-Za-z0-9_.-]{1,200})\s*\}\}")
MAX_POST = 1024 * 1024
"""Bytes that a template may become."""


class TooLong(ValueError):
    """A template would become longer than ``MAX_POST``."""

    def __init__(self) -> None:
        super().__init__(f"would become longer than {MAX_POST >> 20} MiB with the job's values; name fewer fields in it, or shorter ones")


def filled(template: Any, event: Mapping[str, Any]) -> Any:
    """The template with an event's values. A field that the event does not have is null, and nothing in a longer text. Raises TooLong as
    soon as it would become too long, and holds no more than that until then."""
    return _Filling(event, MAX_POST - _size(template)).fill(template)


class _Filling:
    """Fills the parts of a template with an event's values. ``room``: how many bytes they may add."""

    def __init__(self, event: Mapping[str, Any], room: int) -> None:
        self._event = event
        self._room = room
        self._texts: dict[str, tuple[str, int]] = {}

    def fill(self, template: Any) -> Any:
        match template:
            case str():
                whole = NAME.fullmatch(template)
                return self._value(whole[1]) if whole else NAME.sub(lambda found: self._text(found[1]), template)
            case dict():
                return {key: self.fill(value) for key, value in template.items()}
            case list():
                return [self.fill(value) for value in template]
            case _:
                return template

    def _value(self, name: str) -> Any:
        self._text(name)  # takes at least as much room
        return _value(self._event, name)

    def _text(self, name: str) -> str:
        if name not in self._texts:
            text = _text(_value(self._event, name))
            self._texts[name] = (text, _size(text))
        text, size = self._texts[name]
        self._room -= size
        if self._room < 0:
            raise TooLong
        return text


def _size(value: Any) -> int:
    """Bytes of a value as JSON."""
    return len(json.dumps(value, ensure_ascii=False).encode(errors="replace"))


def _value(event: Mapping[str, Any], name: str) -> Any:
    found: Any = event
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
