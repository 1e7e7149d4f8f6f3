"""The pagination of every list: read from the query, and told in the answer.

``nextUrl`` carries an ``after``: the key of the page's last row and how long the list is, sealed with the list's own name. What was
changed on the way, or belongs to another list, is refused. It is no secret: who makes one up reads nothing that a page would not show.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import orjson

from fastlane.errors import Fault, Invalid
from fastlane.models.paging import After, Key, Page, Window
from fastlane.web.http.query import read_whole

NAMES = frozenset({"page", "perPage", "after"})
MOST_PAGE = 1_000_000_000
MOST_ROWS = 100
SEAL = 8
"""Bytes of a token before its JSON."""
LARGEST = 2**63
LONGEST_TOKEN = 1_000
TOKEN = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_TOKEN}}}", re.ASCII)
FOREIGN = "is not what the nextUrl of this list had; leave it out to begin at the list's start"

BY_TIME = (int, str)
BY_NUMBER = (int, int)
"""What the two parts of a list's key are: a moment and an id, or two numbers."""


@dataclass(frozen=True, slots=True)
class ListUrl:
    """A list as its URLs name it: the whole URL of its route (one that ends in a slash), and the filters in its query. ``kinds``: the types
    of its key's parts."""

    url: str
    filters: Mapping[str, str] = field(default_factory=dict)
    kinds: tuple[type, type] = BY_TIME

    @classmethod
    def of_query(cls, url: str, query: Mapping[str, str], kinds: tuple[type, type] = BY_TIME) -> "ListUrl":
        """The list at this URL, under the filters of a query."""
        return cls(url, {name: value for name, value in query.items() if name not in NAMES}, kinds)

    def window(self, query: Mapping[str, str], *, default: int, most: int = MOST_ROWS) -> Window:
        """``page``, ``perPage`` and ``after``; all faults at once."""
        faults: list[Fault] = []
        numbers: dict[str, int] = {}
        for name, otherwise, top in (("page", 1, MOST_PAGE), ("perPage", default, most)):
            try:
                numbers[name] = read_whole(query, name, otherwise, 1, top)
            except Invalid as error:
                faults += error.faults
        after = self._opened(query["after"]) if "after" in query else None
        if "after" in query and after is None:
            faults.append(Fault("after", FOREIGN))
        if faults:
            raise Invalid(faults)
        return Window(numbers["page"], numbers["perPage"], after)

    def next_url(self, page: Page[Any]) -> str | None:
        """The URL of the page after this one; None after the last."""
        return None if page.next is None else self._link(page, page.window.page + 1, {"after": self._sealed(page.next)})

    def prev_url(self, page: Page[Any]) -> str | None:
        """The URL of the page before this one; None before the first."""
        return None if page.window.page == 1 else self._link(page, page.window.page - 1, {})

    def _link(self, page: Page[Any], number: int, more: Mapping[str, str]) -> str:
        return f"{self.url}?{urlencode({**self.filters, 'page': number, 'perPage': page.window.per_page, **more})}"

    def _sealed(self, after: After) -> str:
        text = orjson.dumps([after.total, *after.key])
        return urlsafe_b64encode(self._seal(text) + text).decode().rstrip("=")

    def _opened(self, token: str) -> After | None:
        """What a token says; None when it is not one that this list gave."""
        if not TOKEN.fullmatch(token) or len(token) % 4 == 1:
            return None
        data = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        text = data[SEAL:]
        if data[:SEAL] != self._seal(text) or urlsafe_b64encode(data).decode().rstrip("=") != token:
            return None
        try:
            total, *key = orjson.loads(text)
        except (ValueError, TypeError):
            return None
        return After(total, tuple(key)) if type(total) is int and 0 <= total < LARGEST and self._fits(tuple(key)) else None

    def _fits(self, key: Key) -> bool:
        """Whether this can be the key of one of the list's rows."""
        return tuple(map(type, key)) == self.kinds and all(abs(part) < LARGEST for part in key if isinstance(part, int))

    def _seal(self, text: bytes) -> bytes:
        path = "/" + self.url.split("/", 3)[3]
        name = orjson.dumps([path, sorted(self.filters.items())])
        return sha256(name + b"\n" + text).digest()[:SEAL]
