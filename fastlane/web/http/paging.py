"""Pagination: how every list reads its page from the query and links the pages before and after it.

``nextUrl`` has a page token, ``after``: the key of the page's last row and the list's length, with a checksum over both, the list's URL and
the tasks that its reader may see. A token that was changed, or belongs to another list, is refused. It is not a secret: a forged one shows
only what other pages show.
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
from fastlane.web.http.query import read_integer

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
    ``display``: what else its links carry."""

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
        faults: list[Fault] = []
        numbers: dict[str, int] = {}
        for name, otherwise, top in (("page", 1, MAX_PAGE), ("perPage", default, most)):
            try:
                numbers[name] = read_integer(query, name, otherwise, 1, top)
            except Invalid as error:
                faults += error.faults
        after = self._decode_token(query["after"]) if "after" in query else None
        if "after" in query and after is None:
            faults.append(Fault("after", FOREIGN_TOKEN))
        if faults:
            raise Invalid(faults)
        return Window(numbers["page"], numbers["perPage"], after)

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
