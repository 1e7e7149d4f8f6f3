"""A webhook: a URL to which fastlane posts how an execution ended, and on which occasions. Pure."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from fastlane.models.notify.occasion import Occasion

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
    """Where to post on an occasion, with which headers of the user's, and how many further attempts may follow a failed one. ``body``:
    a template of what is posted in place of the execution, see ``template``."""

    occasion: Occasion
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
