"""Measures what one watched execution's container uses, while it runs."""

import asyncio

import structlog

from fastlane.clock import Clock
from fastlane.errors import FastlaneError, OrderRefused, ServiceGone
from fastlane.executors.base import EngineTask, Executor
from fastlane.models.usage import Usage

log = structlog.get_logger()

FIRST = 1.0
"""Seconds until the first sample, and between two samples at least. Most containers that end sooner than that cost nothing."""
SHARE = 0.25
"""The next sample comes after this part of the time for which the container has been measured, so that what the end of a container is not
measured of is a small part of the whole."""


class UsageMeter:
    """Takes samples of one container, and the more seldom the longer it runs. ``every``: seconds between two samples at most; 0: takes
    none."""

    def __init__(self, executor: Executor, clock: Clock, execution_id: str, every: float) -> None:
        self._executor = executor
        self._clock = clock
        self._id = execution_id
        self._every = every
        self._measuring: asyncio.Task[None] | None = None
        self.usage: Usage | None = None
        """What it has used, as far as it was measured."""

    def start(self, host: str, task: EngineTask) -> None:
        """Measures the task's container from now on; does nothing when that has begun already."""
        if self._measuring is None and self._every:
            self._measuring = asyncio.create_task(self._measure(host, task), name=f"measure {self._id}")

    async def close(self) -> None:
        """Ends the measuring."""
        measuring, self._measuring = self._measuring, None
        if measuring is not None:
            measuring.cancel()
            await asyncio.wait([measuring])  # not awaited itself: its cancellation would hide one of ours

    async def _measure(self, host: str, task: EngineTask) -> None:
        """Measures until it is cancelled. Whatever goes wrong, the execution ends as it would without."""
        try:
            await self._take_samples(host, task)
        except Exception:
            log.exception("usage.failed", execution_id=self._id, host=host)

    async def _take_samples(self, host: str, task: EngineTask) -> None:
        measured = 0.0
        while True:
            pause = min(self._every, max(FIRST, SHARE * measured))
            await self._clock.sleep(pause)
            measured += pause
            try:
                sample = await self._executor.usage(host, task)
            except (OrderRefused, ServiceGone) as error:  # it has ended, or a proxy does not let the question through
                log.debug("usage.refused", execution_id=self._id, host=host, error=str(error))
                return
            except FastlaneError as error:
                log.debug("usage.not_measured", execution_id=self._id, host=host, error=str(error))
                continue
            if sample is not None:
                self.usage = sample if self.usage is None else self.usage.then(sample)
