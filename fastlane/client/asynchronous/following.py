"""Follows a log, or the events of a server, through lost connections: nothing is lost, and nothing comes twice."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, cast

from fastlane.client import contract
from fastlane.client.asynchronous.transport import AsyncTransport
from fastlane.client.contract import Event
from fastlane.client.errors import ClientError, Refused, Unreachable
from fastlane.client.exchange import Attempts, Operation, reconnect_after
from fastlane.client.log_output import Ended, LogEvent, LogQuery, Output, SentEvents, log_event
from fastlane.client.log_search import SearchEnded, SearchEvent, SearchQuery, SearchReader

OnLost = Callable[[ClientError], None]

SILENT_FOR = 60.0
"""Seconds without a byte after which a connection is given up; the server sends a comment every 20."""
SLICE = 5.0
"""The same for a follower with a deadline, which then notices it in time."""
COME_AGAIN = 1.0
"""Seconds after which a follower comes again when the server ended, or said that nothing has started."""


class OutOfTime(TimeoutError):
    """The deadline of a follower has passed."""


async def follow_log(
    transport: AsyncTransport, wanted: LogQuery, *, deadline: float | None = None, on_lost: OnLost | None = None
) -> AsyncGenerator[LogEvent, None]:
    """The events of a log. ``on_lost`` is called with the reason when a connection is lost and made again. Raises the error when no
    connection can be made for the transport's patience; TimeoutError after the ``deadline`` (of ``time.monotonic``)."""
    operation = contract.GET_LOGS_OF_EXECUTION if wanted.only and wanted.execution is not None else contract.GET_LOGS
    cursor: str | None = None
    sent = _sent(transport, operation, wanted.parameters, lambda: wanted.query(cursor), wanted.follow, deadline, on_lost)
    async with aclosing(sent) as events:
        async for kind, data in events:
            event = log_event(kind, data)
            if event is None:
                continue
            if isinstance(event, Output):
                cursor = event.cursor
            yield event
            if isinstance(event, Ended):
                return


async def follow_events(
    transport: AsyncTransport, filters: Mapping[str, Any], since: str | None, on_lost: OnLost | None = None
) -> AsyncGenerator[Event, None]:
    """The events that the filters take, as they happen. Connections are made again as for ``follow_log``."""
    start = {"since": since} if since is not None else await _newest(transport)
    sent = _sent(transport, contract.LIST_EVENTS, {}, lambda: {"follow": 1, **filters, **start}, on_lost=on_lost)
    async with aclosing(sent) as events:
        async for kind, data in events:
            if kind == "event":
                start = {"from": data["id"]}
                yield cast("Event", data)


async def search_logs(transport: AsyncTransport, wanted: SearchQuery, on_lost: OnLost | None = None) -> AsyncGenerator[SearchEvent, None]:
    """The events of a search. Connections are made again as for ``follow_log``. Raises ClientError when the search fails."""
    reader = SearchReader(wanted.limit)

    def query() -> Mapping[str, Any]:
        reader.begin()
        return wanted.query(reader.cursor, reader.hits)

    async with aclosing(_sent(transport, contract.SEARCH_LOGS, {}, query, on_lost=on_lost)) as events:
        async for kind, data in events:
            event = reader.read(kind, data)
            if event is not None:
                yield event
            if isinstance(event, SearchEnded):
                return


async def _newest(transport: AsyncTransport) -> dict[str, str]:
    """The query for events from now on; also for a connection that is made again before anything has happened."""
    page = await transport.call(contract.LIST_EVENTS, None, {"perPage": 1})
    return {"from": page["items"][0]["id"]} if page["items"] else {"since": "1m"}


async def _sent(
    transport: AsyncTransport,
    operation: Operation[Any],
    parameters: Mapping[str, str],
    query: Callable[[], Mapping[str, Any]],
    again: bool = True,
    deadline: float | None = None,
    on_lost: OnLost | None = None,
) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
    """The kind and the data of what the server sends. Each connection has the ``query`` of its beginning. ``again``: also made again when
    the server ended it."""
    attempts = Attempts(transport.patience, time.monotonic(), reached=transport.server_version is not None)
    while True:
        reader = SentEvents()
        try:
            async with transport.stream(operation, parameters, query(), _silent_for(deadline)) as parts:
                async for part in parts:
                    attempts.succeeded(time.monotonic())
                    for event in reader.feed(part):
                        yield event
                    _check(deadline)
            if not again:
                return
            await asyncio.sleep(COME_AGAIN)
        except (Unreachable, Refused) as error:
            _check(deadline)
            delay = reconnect_after(error, attempts)
            if delay is None:
                raise
            if on_lost is not None:
                on_lost(error)
            await asyncio.sleep(delay)


def _silent_for(deadline: float | None) -> float:
    return SILENT_FOR if deadline is None else max(0.05, min(SLICE, deadline - time.monotonic()))


def _check(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise OutOfTime("it has not ended yet")
