"""Reads a request's query, path parameters and Range header strictly, and names every fault. ``check_length`` bounds the URL and the
headers. ``ListUrl`` reads the page that a query asks for, and makes the URLs of the pages before and after.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from typing import Any
from urllib.parse import urlencode

import orjson
from tornado.httputil import HTTPServerRequest

from fastlane.errors import Fault, Invalid, NotFound, nearest, quoted
from fastlane.models.job import task_id_fault
from fastlane.models.paging import After, Key, Page, Window
from fastlane.models.schedule import read_duration, read_moment
from fastlane.web.http.problems import Problem

FLAGS = {"1": True, "true": True, "0": False, "false": False}
MAX_NAMES = 50
"""Names in a query that are read: more than any route has. Later ones are ignored, since one of the first must be unknown."""


def read_query(request: HTTPServerRequest, known: Collection[str]) -> dict[str, str]:
    """The query's values by name. Raises Invalid for an unknown name and for one that is repeated."""
    values: dict[str, str] = {}
    faults: list[Fault] = []
    for name, given in islice(request.query_arguments.items(), MAX_NAMES):
        if name not in known:
            faults.append(Fault(name[:80], f"is not a query parameter of this route; {_known_names(name, known)}"))
        elif len(given) > 1:
            faults.append(Fault(name, "appears twice; leave one out"))
        else:
            values[name] = given[0].decode("utf-8", "replace")
    if faults:
        raise Invalid(faults)
    return values


def _known_names(name: str, known: Collection[str]) -> str:
    if near := nearest(name, known):
        return f'the nearest one is "{near}"'
    return f"it takes {', '.join(sorted(known))}" if known else "it takes none"


def read_flag(values: Mapping[str, str], name: str) -> bool:
    """Whether a flag is on. One that is absent is off."""
    text = values.get(name, "0").lower()
    if text not in FLAGS:
        raise Invalid([Fault(name, "is neither on (1, true) nor off (0, false)")])
    return FLAGS[text]


def read_text(values: Mapping[str, str], name: str, most: int) -> str | None:
    """Text of 1 to ``most`` characters; None when it is absent."""
    text = values.get(name)
    if text is not None and not 1 <= len(text) <= most:
        raise Invalid([Fault(name, f"has {len(text)} characters; write 1 to {most}, or leave it out")])
    return text


def read_words(values: Mapping[str, str], name: str, known: Collection[str]) -> frozenset[str]:
    """Some of a few words, separated by commas; none when it is absent."""
    words = values[name].split(",") if name in values else []
    if fault := unknown_word(name, words, known):
        raise Invalid([fault])
    return frozenset(words)


def unknown_word(name: str, words: Sequence[str], known: Collection[str]) -> Fault | None:
    """The fault of the first word that is not known, with the nearest known one, or else with all; None when each is known."""
    word = next((word for word in words if word not in known), None)
    if word is None:
        return None
    near = nearest(word, known)
    hint = f"the nearest is {near!r}" if near else f"it is not one of {', '.join(known)}"
    return Fault(name, f"has {quoted(word)}; {hint} (separate several with commas)")


def read_integer(values: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number from ``least`` to ``most``; ``default`` when it is absent."""
    text = values.get(name)
    if text is None:
        return default
    number = int(text) if re.fullmatch(r"[0-9]{1,100}", text, re.ASCII) else least - 1
    if number < least:
        raise Invalid([Fault(name, f"is not a whole number from {least} to {most}")])
    if number > most:
        raise Invalid([Fault(name, f"is too large; write a whole number from {least} to {most}")])
    return number


def read_since(values: Mapping[str, str], now: int, name: str = "since") -> int | None:
    """The time (in milliseconds) that ``since``, or another ``name``, names: by itself or by a duration before ``now``; None when it is
    absent."""
    if name not in values:
        return None
    try:
        return read_moment(values[name])
    except ValueError as error:
        with suppress(ValueError):
            return max(0, now - round(read_duration(values[name]) * 1000))
        raise Invalid([Fault(name, f'{error}, or a duration ago ("1h")')]) from None


def read_all(*reads: Callable[[], Any]) -> list[Any]:
    """The results of several reads. Raises Invalid with the faults of all of them."""
    faults: list[Fault] = []
    values = []
    for read in reads:
        try:
            values.append(read())
        except Invalid as error:
            faults += error.faults
    if faults:
        raise Invalid(faults)
    return values


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Where the requested bytes start and end (exclusive). None for all bytes: without a Range, and for one that is not supported (several
    ranges, another unit), as RFC 9110 allows. Raises a 416 for a range past the end."""
    match = re.fullmatch(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", header or "", re.ASCII)
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        start, end = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    else:
        start, end = max(0, size - int(match[2])), size
    if start >= size or start >= end:
        words = f"the range starts past the end; there are {size} bytes so far"
        raise Problem(416, words, headers={"Content-Range": f"bytes */{size}"})
    return start, end


NAMES = frozenset({"page", "perPage", "after"})
DISPLAY = frozenset({"pretty"})
"""Names in a query that do not change which rows a list has."""
MAX_PAGE = 1_000_000_000
MAX_ROWS = 100
CHECKSUM_SIZE = 8
"""Bytes of a token before its JSON."""
LARGEST = 2**63
MAX_TOKEN = 1_000
TOKEN = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_TOKEN}}}", re.ASCII)
FOREIGN_TOKEN = "is not from a nextUrl of this list; leave it out to start at the beginning of the list"

BY_TIME = (int, str)
BY_NUMBER = (int, int)
"""The types of the two parts of a list's key: a time and an id, or two numbers."""


@dataclass(frozen=True, slots=True)
class ListUrl:
    """A list as its URLs name it: the full URL of its route, which ends in a slash, and the filters in its query. ``key_types`` are the
    types of its key's parts. ``visible``: the pattern of the task ids that a list over several tasks shows to its reader; None: all.
    ``display``: the other parameters in its links."""

    url: str
    filters: Mapping[str, str] = field(default_factory=dict)
    key_types: tuple[type, type] = BY_TIME
    visible: str | None = None
    display: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_query(
        cls, url: str, query: Mapping[str, str], key_types: tuple[type, type] = BY_TIME, *, visible: str | None = None
    ) -> "ListUrl":
        """The list at this URL, with the filters of a query."""
        display = {name: value for name, value in query.items() if name in DISPLAY}
        return cls(url, {name: value for name, value in query.items() if name not in NAMES | DISPLAY}, key_types, visible, display)

    def window(self, query: Mapping[str, str], *, default: int, most: int = MAX_ROWS) -> Window:
        """The page that a query asks for. ``default`` and ``most`` are for ``perPage``. Raises Invalid with every fault."""
        page, per_page, after = read_all(
            lambda: read_integer(query, "page", 1, 1, MAX_PAGE),
            lambda: read_integer(query, "perPage", default, 1, most),
            lambda: self._read_after(query),
        )
        return Window(page, per_page, after)

    def next_url(self, page: Page[Any]) -> str | None:
        """The URL of the page after this one; None after the last."""
        return None if page.next is None else self._link(page, page.window.page + 1, {"after": self._encode_token(page.next)})

    def prev_url(self, page: Page[Any]) -> str | None:
        """The URL of the page before this one; None before the first."""
        return None if page.window.page == 1 else self._link(page, page.window.page - 1, {})

    def _link(self, page: Page[Any], number: int, more: Mapping[str, str]) -> str:
        return f"{self.url}?{urlencode({**self.filters, **self.display, 'page': number, 'perPage': page.window.per_page, **more})}"

    def _encode_token(self, after: After) -> str:
        text = orjson.dumps([after.total, *after.key])
        return urlsafe_b64encode(self._checksum(text) + text).decode().rstrip("=")

    def _read_after(self, query: Mapping[str, str]) -> After | None:
        after = self._decode_token(query["after"]) if "after" in query else None
        if after is None and "after" in query:
            raise Invalid([Fault("after", FOREIGN_TOKEN)])
        return after

    def _decode_token(self, token: str) -> After | None:
        """The position in a token; None when the token is not from this list."""
        if not TOKEN.fullmatch(token) or len(token) % 4 == 1:
            return None
        data = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        text = data[CHECKSUM_SIZE:]
        if data[:CHECKSUM_SIZE] != self._checksum(text) or urlsafe_b64encode(data).decode().rstrip("=") != token:
            return None
        try:
            total, *key = orjson.loads(text)
        except (ValueError, TypeError):
            return None
        return After(total, tuple(key)) if type(total) is int and 0 <= total < LARGEST and self._fits(tuple(key)) else None

    def _fits(self, key: Key) -> bool:
        """Whether this can be the key of a row in this list."""
        return tuple(map(type, key)) == self.key_types and all(abs(part) < LARGEST for part in key if isinstance(part, int))

    def _checksum(self, text: bytes) -> bytes:
        path = "/" + self.url.split("/", 3)[3]
        name = orjson.dumps([path, sorted(self.filters.items()), *([self.visible] if self.visible else [])])
        return sha256(name + b"\n" + text).digest()[:CHECKSUM_SIZE]


UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def is_uuid(text: str) -> bool:
    """Whether it is a UUID, in either case."""
    return UUID.fullmatch(text.lower()) is not None


UUIDS = frozenset({"job_id", "execution_id", "delivery_id"})
MAX_HEAD = 64 * 1024
"""Bytes that the URL may take, and that the headers may take."""


def read_path(path: Mapping[str, str], *, chooses_job_id: bool) -> dict[str, str]:
    """The path's parameters by name, with UUIDs in lower case. Raises NotFound for an id that nothing can have, and Invalid where the
    request itself chooses the id."""
    return {name: _read_parameter(name, value, chooses_job_id) for name, value in path.items()}


MAX_HEADERS = 100
"""Different headers of a request."""


def check_length(request: HTTPServerRequest) -> None:
    """Raises a 414 for a URL and a 431 for headers that are too long. (Tornado does not read much longer ones at all.)"""
    if len(request.uri or "") > MAX_HEAD:
        raise Problem(414, f"the URL is longer than {MAX_HEAD} bytes; send what it says in the request's body instead")
    if len(request.headers) > MAX_HEADERS:
        raise Problem(431, f"there are more than {MAX_HEADERS} headers; leave out those that fastlane does not read")
    if sum(len(name) + len(value) for name, value in request.headers.get_all()) > MAX_HEAD:
        raise Problem(431, f"the headers take more than {MAX_HEAD} bytes; leave out those that fastlane does not read, such as cookies")


def _read_parameter(name: str, value: str, chooses_job_id: bool) -> str:
    if name == "task_id":
        if fault := task_id_fault(value):
            raise Invalid([Fault("taskId", fault)])
        return value
    if name not in UUIDS:
        return value
    id = value.lower()
    if UUID.fullmatch(id):
        return id
    if name == "job_id" and chooses_job_id:
        raise Invalid([Fault("jobId", f"is not a UUID: {value[:80]!r}; make one, such as 6c84fb90-12c4-11e1-840d-7b25c5ee775a")])
    raise NotFound(f"there is no {name.removesuffix('_id')} {value[:80]!r}; its id is a UUID")
