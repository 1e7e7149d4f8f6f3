"""Walks through lists, page by page, at the same cost at every step."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fastlane.client.asynchronous.transport import AsyncTransport
from fastlane.client.operation import Operation

LARGEST_PAGE = 100


async def rows(
    transport: AsyncTransport, operation: Operation[Any], parameters: dict[str, str], query: Mapping[str, Any]
) -> AsyncIterator[Any]:
    """Every row of a list. The next page is asked for when the rows before it have been taken."""
    asked = {"perPage": LARGEST_PAGE, **query}
    while True:
        page = await transport.call(operation, parameters, asked)
        for row in page["items"]:
            yield row
        if page["nextUrl"] is None:
            return
        asked = dict(parse_qsl(urlsplit(page["nextUrl"]).query))
