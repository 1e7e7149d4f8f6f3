"""The copying of one watched execution's log: in the background while its container runs, and to the end once it has ended."""

import asyncio

import structlog

from fastlane.clock import Clock
from fastlane.errors import HostDown, LogLost
from fastlane.storage.base import LogStore
from fastlane.streams.pump import LogEnd, Pump

log = structlog.get_logger()

LOG_LOST_AFTER = 5.0
"""Seconds for which a log is requested again after its node has said that it does not have it. The execution keeps its slot."""


class LogCopy:
    """Drives the pump of one execution. ``patience``: seconds for which a host that does not give the log is waited for."""

    def __init__(self, pump: Pump, store: LogStore, clock: Clock, execution_id: str, patience: float) -> None:
        self._pump = pump
        self._store = store
        self._clock = clock
        self._id = execution_id
        self._patience = patience
        self._copying: asyncio.Task[None] | None = None
        self._missing_since: int | None = None

    def start(self, host: str, task_id: str) -> None:
        """Copies what the task writes, from now on; does nothing when that has begun already."""
        if self._copying is None:
            self._copying = asyncio.create_task(self._pump.follow(host, task_id), name=f"pump {self._id}")

    async def close(self) -> None:
        """Ends the copying; what is stored stays."""
        copying, self._copying = self._copying, None
        if copying is not None:
            copying.cancel()
            await asyncio.wait([copying])  # not awaited itself: its cancellation would hide one of ours
            if not copying.cancelled():
                copying.result()

    async def finish(self, host: str, task_id: str) -> LogEnd:
        """Stores the rest of an ended task's log. Raises HostDown while that may still succeed: the task's node may be away although the
        managers know how the task ended, or may not have its log any more."""
        try:
            return await self._pump.finish(host, task_id)
        except (HostDown, LogLost) as error:
            now = self._clock.now()
            self._missing_since = self._missing_since or now
            if now - self._missing_since < 1000 * (LOG_LOST_AFTER if isinstance(error, LogLost) else self._patience):
                raise HostDown(str(error)) from error
            log.warning("log.given_up", execution_id=self._id, error=str(error))
            return LogEnd(await self._store.log_head(self._id), gone=True)
