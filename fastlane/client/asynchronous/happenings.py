"""Follows what happens on a server through lost connections: no event is lost, and none comes twice."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, cast

from fastlane.client import contract
from fastlane.client.asynchronous.transport import AsyncTransport
from fastlane.client.contract import Event
from fastlane.client.errors import ClientError, Refused, Unreachable
from fastlane.client.events import data_of
from fastlane.client.operation import Operation
from fastlane.client.retries import Attempts, reconnect_after

SILENT_FOR = 60.0
"""Seconds without a byte after which a connection is given up; the server sends a comment every 20."""
COME_AGAIN = 1.0
"""Seconds after which a follower comes again when the server ended."""


async def follow_events(
    transport: AsyncTransport, filters: Mapping[str, Any], since: str | None, on_lost: Callable[[ClientError], None] | None = None
) -> AsyncGenerator[Event, None]:
    """The events that the filters take, as they happen. ``on_lost`` is told why a connection was lost that is made again. Raises the error
    when no connection can be made for the transport's patience."""
    operation = cast("Operation[None]", contract.LIST_EVENTS)
    start = {"since": since} if since is not None else await _newest(transport)
    attempts = Attempts(transport.patience, time.monotonic(), reached=transport.server_version is not None)
    while True:
        rest = b""
        try:
            async with transport.stream(operation, {}, {"follow": 1, **filters, **start}, SILENT_FOR) as parts:
                async for data in parts:
                    attempts.succeeded(time.monotonic())
                    *blocks, rest = (rest + data).split(b"\n\n")
                    for block in blocks:
                        event = data_of(block, b"event")
                        if event is not None:
                            start = {"from": event["id"]}
                            yield cast("Event", event)
            await asyncio.sleep(COME_AGAIN)
        except (Unreachable, Refused) as error:
            delay = reconnect_after(error, attempts)
            if delay is None:
                raise
            if on_lost is not None:
                on_lost(error)
            await asyncio.sleep(delay)


async def _newest(transport: AsyncTransport) -> dict[str, Any]:
    """Where what happens from now on begins; also for a connection that is made again before anything has happened."""
    page = await transport.call(contract.LIST_EVENTS, None, {"perPage": 1})
    return {"from": page["items"][0]["id"]} if page["items"] else {"since": "1m"}
