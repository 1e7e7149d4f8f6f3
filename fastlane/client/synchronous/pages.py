"""Walks through lists, page by page, at the same cost at every step."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fastlane.client.operation import Operation
from fastlane.client.synchronous.transport import Transport

LARGEST_PAGE = 100


def rows(transport: Transport, operation: Operation[Any], parameters: dict[str, str], query: Mapping[str, Any]) -> Iterator[Any]:
    """Every row of a list. The next page is asked for when the rows before it have been taken."""
    asked = {"perPage": LARGEST_PAGE, **query}
    while True:
        page = transport.call(operation, parameters, asked)
        for row in page["items"]:
            yield row
        if page["nextUrl"] is None:
            return
        asked = dict(parse_qsl(urlsplit(page["nextUrl"]).query))
