"""Follows a log through lost connections: no byte is lost, and none comes twice."""

import time
from collections.abc import Callable, Generator

from fastlane.client import contract
from fastlane.client.errors import ClientError, Refused, Unreachable
from fastlane.client.events import Ended, EventReader, LogEvent, Output
from fastlane.client.log_query import LogQuery
from fastlane.client.retries import Attempts, reconnect_after
from fastlane.client.synchronous.transport import Transport

SILENT_FOR = 60.0
"""Seconds without a byte after which a connection is given up; the server sends a comment every 20."""
SLICE = 5.0
"""The same for a follower with a deadline, which so sees it in time."""
COME_AGAIN = 1.0
"""Seconds after which a follower comes again when the server said that nothing has started."""


def follow_log(
    transport: Transport, wanted: LogQuery, *, deadline: float | None = None, on_lost: Callable[[ClientError], None] | None = None
) -> Generator[LogEvent, None, None]:
    """The events of a log. ``on_lost`` is told why a connection was lost that is made again. Raises the error when no connection can be
    made for the transport's patience; TimeoutError after the ``deadline`` (of ``time.monotonic``)."""
    operation = contract.GET_LOGS_OF_EXECUTION if wanted.only and wanted.execution is not None else contract.GET_LOGS
    cursor: str | None = None
    attempts = Attempts(transport.patience, time.monotonic(), reached=transport.server_version is not None)
    while True:
        reader = EventReader()
        try:
            with transport.stream(operation, wanted.parameters, wanted.query(cursor), _silent_for(deadline)) as parts:
                for data in parts:
                    attempts.succeeded(time.monotonic())
                    for event in reader.feed(data):
                        if isinstance(event, Output):
                            cursor = event.cursor
                        yield event
                        if isinstance(event, Ended):
                            return
                    _check(deadline)
            if not wanted.follow:
                return
            time.sleep(COME_AGAIN)
        except (Unreachable, Refused) as error:
            _check(deadline)
            delay = reconnect_after(error, attempts)
            if delay is None:
                raise
            if on_lost is not None:
                on_lost(error)
            time.sleep(delay)


def _silent_for(deadline: float | None) -> float:
    return SILENT_FOR if deadline is None else max(0.05, min(SLICE, deadline - time.monotonic()))


def _check(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise TimeoutError("it has not ended yet")
